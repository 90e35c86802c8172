"""Settings as the course's code reads them: what is in `args`, else the environment."""

import os
from collections.abc import Mapping
from typing import Any

from parley.core.limits import Lifetimes
from parley.models import ollama
from parley.models.secret import Secret
from parley.store import address

Args = Mapping[str, Any]

DEFAULT_SHARDS = 16


class SettingsError(ValueError):
    """A setting is missing or cannot be used. One line: which, and what is expected. It holds no secret."""


def text(args: Args, *names: str) -> str:
    """The first of these that is set and not empty, in `args` or else the environment; empty when none is."""
    for source in (args, os.environ):
        for name in names:
            value = source.get(name)
            if value is not None and value != "":
                return str(value)
    return ""


def upstream(args: Args) -> tuple[str, Secret]:
    """The URL of the server of models, and the key to show it.

    Raises:
        SettingsError: none is named, or it cannot be used.
    """
    host = text(args, *ollama.HOSTS)
    if not host:
        raise SettingsError("OLLAMA_HOST is missing: the host of an Ollama, or of any OpenAI-compatible server")
    try:
        return ollama.locate(
            host, text(args, *ollama.AUTHS), proto=text(args, "OLLAMA_PROTO"), token=text(args, "OLLAMA_TOKEN")
        )
    except ValueError as error:
        raise SettingsError(f"OLLAMA_HOST cannot be used: {error}") from None


def store(args: Args) -> tuple[str, str, int]:
    """The URL of Redis, the prefix, and the number of shards, which is the deployment's.

    Raises:
        SettingsError: one is missing or cannot be used.
    """
    url, prefix = text(args, "REDIS_URL"), text(args, "REDIS_PREFIX")
    if not url:
        raise SettingsError("REDIS_URL is missing: redis://[user:password@]host:port")
    if not prefix:
        raise SettingsError("REDIS_PREFIX is missing: every key begins with it, for instance msciab:")
    try:
        return address.normalise(url), address.validate_prefix(prefix), _shards(args)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL, REDIS_PREFIX or PARLEY_SHARDS cannot be used: {error}") from None


def _shards(args: Args) -> int:
    found = text(args, "PARLEY_SHARDS") or str(DEFAULT_SHARDS)
    if not found.isascii() or not found.isdigit() or not 1 <= int(found) <= 256:
        raise ValueError("the shards are a number from 1 to 256")
    return int(found)


def lifetimes(args: Args) -> Lifetimes:
    """How long conversations that begin here live; by the names that the server reads.

    Raises:
        SettingsError: a number cannot be used.
    """
    given: dict[str, int] = {}
    for field, name in (("conversation", "PARLEY_LIFETIMES_CONVERSATION"), ("cap", "PARLEY_LIFETIMES_CAP")):
        if found := text(args, name):
            if not found.isascii() or not found.isdigit() or (field == "conversation" and not int(found)):
                raise SettingsError(f"{name} is a number of seconds, not {found[:20]!r}")
            given[field] = int(found)
    return Lifetimes(**given)
