"""Settings: one frozen object, read once, handed down as plain values.

Later wins: defaults, the file (`parley.toml` or --config), the environment (`PARLEY_<NAME>`, names of nested
values joined: `PARLEY_TIMING_LEASE`; a `.env` file in the working directory counts as environment that the real
one overrides), flags. A secret may also be given as the name of a file: `PARLEY_ACCESS_KEY_FILE`. The names that
the two seeds of this project use (`REDIS_URL`, `REDIS_HOST`, `REDIS_PREFIX`, ...) count where ours is not set.
"""

import difflib
import ipaddress
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta, Struct

from parley.cli.sources import (
    KUBERNETES,
    PREFIX,
    Environment,
    SettingsError,
    Value,
    data_directory,
    read_file,
)
from parley.core.assistant import Assistant
from parley.core.limits import Lifetimes, Limits, Timing
from parley.models.secret import Secret
from parley.models.settings import ModelSettings
from parley.server import passwords
from parley.server.root_path import FORWARDED, ROOT
from parley.server.theme import Theme
from parley.store import address

Port = Annotated[int, Meta(ge=1, le=65535)]
# As browsers write one, and as a header may hold it.
ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")
Processes = Annotated[int, Meta(ge=0, le=64)]

# Groups of values; in the file they are tables.
GROUPS: dict[str, type[Limits | Lifetimes | Timing]] = {
    "limits": Limits,
    "lifetimes": Lifetimes,
    "timing": Timing,
}
SECRETS = ("access_key", "redis", "model_key")
# Of groups of values: those that may be zero, which means that there is no limit.
ENDLESS = (
    "lifetimes.cap",
    *(f"limits.{name}" for name in ("posts", "posts_per_address", "sessions", "logins", "session_tokens")),
)
LISTS = ("origins", "hosts", "embed_origin", "proxies")  # separated by commas, where they are one text
# Only a file can hold them.
TABLES = ("models", "assistants", "users")
# What is known besides what can be set.
FOUND = ("sources", "looks")
# Variables of ours that are not settings of a server.
OTHER_VARIABLES = ("PARLEY_CONFIG", "PARLEY_URL", "PARLEY_TOKEN", "PARLEY_SETTINGS_FD")


class Settings(Struct, frozen=True, kw_only=True):
    """Everything an operator can set. `redis` empty: an embedded server. `models` empty: they are searched for.

    `model_url`, `model` and `model_key` describe one model without a file; it is the default one, before
    `models`. `sources` tells where each value came from, by its dotted name; what is not in it is a default. `looks`
    is what was in the file `theme` when it was read, which a supervisor does once for all its children.
    """

    host: str = "127.0.0.1"  # address to bind; another than loopback needs an access key
    port: Port = 8000  # of page and API
    access_key: Secret = Secret()  # whoever shows it is the owner; none: everyone on this machine is
    redis: Secret = Secret()  # URL of a Redis or Valkey server; none: one of our own
    prefix: str = "parley:"  # what every key in Redis begins with
    shards: Annotated[int, Meta(ge=1, le=256)] = 16  # work queues; the same for all processes, for ever
    data: Path  # where our own Redis keeps conversations, and the built-in model is kept
    serves: Processes = 1  # web server processes of `parley up`
    workers: Processes = 1  # worker processes of `parley up`
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 256  # turns a worker runs at once
    origins: tuple[str, ...] = ()  # more origins whose pages may speak to us (https://chat.example)
    hosts: tuple[str, ...] = ()  # more names we answer to, besides localhost and IP addresses; *: any
    embed_origin: tuple[str, ...] = ()  # origins whose pages may embed ours
    theme: str = ""  # a CSS file with your colours, name and logo for the page
    root_path: str = ""  # the path a proxy serves us below (/chat); x-forwarded-prefix: what that header of it says
    proxies: tuple[str, ...] = ()  # proxies (addresses, networks) that are believed whom they speak for
    model_url: str = ""  # an OpenAI-compatible server; none: one is searched for
    model: str = ""  # which of its models (the first), or a function of yours: module:function
    model_key: Secret = Secret()  # what that server wants to be shown
    models: tuple[ModelSettings, ...] = ()  # tables: several models, each with its own server
    assistants: tuple[Assistant, ...] = ()  # tables: named models with instructions, window and parameters
    users: dict[str, Secret] = {}  # a table: who may log in, and the hash of each password (`parley password`)
    greeting: str = "Hello from {name}."  # what an assistant says before anything is said to it
    limits: Limits = Limits()
    lifetimes: Lifetimes = Lifetimes()
    timing: Timing = Timing()
    sources: dict[str, str] = {}
    looks: Theme | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    def source(self, name: str) -> str:
        """Where a value came from."""
        return self.sources.get(name, "default")


def load(flags: Mapping[str, object], variables: Mapping[str, str], directory: Path) -> Settings:
    """Read the settings.

    Args:
        flags: what the command line set, by the settings' names, and `config`; None: not given. A `Value` says
            itself where it is from.
        variables: the environment.
        directory: the working directory, where `parley.toml` and `.env` are looked for.

    Raises:
        SettingsError: something cannot be used.
    """
    environment = Environment(variables, directory)
    given = {name: value for name, value in flags.items() if value is not None}
    config = given.pop("config", None) or environment.text("PARLEY_CONFIG") or None
    layers = [
        dict(_from_seeds(environment)),
        dict(_from_file(*read_file(str(config) if config else None, directory))),
        dict(_from_environment(environment)),
        {name: _given(name, value) for name, value in given.items()},
    ]
    merged = {name: value for layer in layers for name, value in layer.items()}
    if "data" not in merged:
        merged["data"] = Value(str(data_directory(variables, sys.platform)), "default")
    settings = _build(merged)
    _check(settings)
    return settings


def is_loopback(host: str) -> bool:
    """Whether a host to bind is this machine's alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names() -> tuple[str, ...]:
    """The dotted names of everything that can be set by environment or file."""
    plain = [name for name in Settings.__struct_fields__ if name not in (*GROUPS, *TABLES, *FOUND)]
    return (*plain, *(f"{group}.{name}" for group, kind in GROUPS.items() for name in kind.__struct_fields__))


def _given(name: str, value: object) -> Value:
    return _listed(name, value if isinstance(value, Value) else Value(value, f"--{name.replace('_', '-')}"))


def _listed(name: str, found: Value) -> Value:
    """A value, taken apart at its commas if it is a list in one text."""
    if name not in LISTS or not isinstance(found.value, str):
        return found
    return Value([part.strip() for part in found.value.split(",") if part.strip()], found.source)


def _from_seeds(environment: Environment) -> Iterator[tuple[str, Value]]:
    """The variables of the two seeds: the course's and the tutorial's."""
    found = environment.get("REDIS_URL") or environment.get("REDIS_HOST")
    if found is not None:
        text = str(found.value)
        port = environment.text("REDIS_PORT")
        if "REDIS_HOST" in found.source and port:
            text = f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
        user, password = environment.text("REDIS_USER"), environment.text("REDIS_PASSWORD")
        try:
            yield "redis", Value(address.normalise(text, user, password), found.source)
        except ValueError as error:
            raise SettingsError(f"{found.source} cannot be used: {error}") from None
    if prefix := environment.get("REDIS_PREFIX"):
        yield "prefix", prefix


def _from_file(content: dict[str, Any], name: str) -> Iterator[tuple[str, Value]]:
    known = (*names(), *TABLES)
    for key, value in content.items():
        if key in GROUPS:
            if not isinstance(value, dict):
                raise SettingsError(f"{key} in {name} must be a table")
            for inner, each in value.items():
                _known(f"{key}.{inner}", known, f"{key}.{inner}", name)
                yield f"{key}.{inner}", Value(each, name)
        else:
            _known(key, known, key, name)
            yield key, Value(value, name)


def _from_environment(environment: Environment) -> Iterator[tuple[str, Value]]:
    variables = {f"{PREFIX}{name.replace('.', '_').upper()}": name for name in names()}
    files = tuple(f"{PREFIX}{name.upper()}_FILE" for name in SECRETS)
    for variable in environment:
        if variable.startswith(PREFIX) and not KUBERNETES.fullmatch(variable):
            _known(variable, (*variables, *files, *OTHER_VARIABLES), variable, "the environment")
    for variable, name in variables.items():
        found = environment.secret(variable) if name in SECRETS else environment.get(variable)
        if found is None or (name == "port" and str(found.value).startswith("tcp://")):  # Kubernetes again
            continue
        yield name, _listed(name, found)


def _known(key: str, known: tuple[str, ...], shown: str, where: str) -> None:
    if key not in known:
        near = difflib.get_close_matches(key, known, 1, 0.5)
        hint = f": did you mean {near[0]}?" if near else ""
        raise SettingsError(f"{shown} in {where} is not a setting{hint}")


def _build(merged: dict[str, Value]) -> Settings:
    hints = get_type_hints(Settings, include_extras=True)
    kinds = {group: get_type_hints(kind) for group, kind in GROUPS.items()}
    values: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for name, found in merged.items():
        group, _, inner = name.partition(".")
        if inner:
            groups[group][inner] = _convert(name, found, kinds[group][inner])
        else:
            values[name] = _convert(name, found, hints[name])
    values |= {group: kind(**groups[group]) for group, kind in GROUPS.items()}
    sources = {name: found.source for name, found in merged.items() if found.source != "default"}
    return Settings(**values, sources=sources)


def _convert(name: str, found: Value, kind: Any) -> Any:
    try:
        value = msgspec.convert(found.value, kind, strict=not isinstance(found.value, str), dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name} (from {found.source}) cannot be used: {error}") from None
    if "." in name:
        _positive(name, value, found.source)
    return value


def _decode(kind: type, value: Any) -> Any:
    if kind in (Secret, Path) and isinstance(value, str):
        return Secret(value) if kind is Secret else Path(value).expanduser()
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")


def _positive(name: str, value: float, source: str) -> None:
    if not math.isfinite(value) or value < 0 or (value == 0 and name not in ENDLESS):
        raise SettingsError(f"{name} (from {source}) cannot be used: it must be above zero, not {value}")


def _check(settings: Settings) -> None:
    def refuse(name: str, reason: object) -> SettingsError:
        return SettingsError(f"{name} (from {settings.source(name)}) cannot be used: {reason}")

    try:
        address.validate_prefix(settings.prefix)
    except ValueError as error:
        raise refuse("prefix", error) from None
    if settings.redis:
        try:
            address.normalise(settings.redis.reveal())
        except ValueError as error:
            raise refuse("redis", error) from None
    if not settings.host or any(character.isspace() for character in settings.host):
        raise refuse("host", "it must be an address to bind")
    if not settings.loopback and not settings.access_key:
        advice = "set an access key (PARLEY_ACCESS_KEY), or bind 127.0.0.1"
        raise refuse("host", f"{settings.host} can be reached by others: {advice}")
    if settings.root_path and settings.root_path != FORWARDED and not ROOT.fullmatch(settings.root_path):
        raise refuse("root_path", f"it must be a path like /chat, without a slash at its end, or {FORWARDED}")
    for origin in settings.embed_origin:
        if not ORIGIN.fullmatch(origin):
            raise refuse("embed_origin", f"{origin!r} is no origin: write it like https://shop.example")
    for proxy in settings.proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError as error:
            raise refuse("proxies", error) from None
    for user, password in settings.users.items():
        if not passwords.is_user(user):
            raise refuse("users", f"{user[:100]!r} cannot be a user's name: no spaces, no colon, not {passwords.GUEST}")
        if not passwords.is_hash(password.reveal()):
            raise refuse("users", f"that of {user!r} is not the hash of a password: make one with `parley password`")
    try:
        _check_models(settings.models)
    except ValueError as error:
        raise refuse("models", error) from None
    known = {model.name for model in settings.models} | {settings.model}
    seen: set[str] = set()
    for assistant in settings.assistants:
        if not assistant.name or assistant.name in seen:
            raise refuse("assistants", f"the name {assistant.name!r} is empty or there twice")
        seen.add(assistant.name)
        if settings.models and assistant.model and assistant.model not in known:
            raise refuse("assistants", f"{assistant.name!r} asks for the model {assistant.model!r}, not among models")
        if min(assistant.window.last, assistant.window.tokens) < 0:
            raise refuse("assistants", f"the window of {assistant.name!r} has a negative limit")


def _check_models(models: Sequence[ModelSettings]) -> None:
    """Make what can be made of them here: the functions of Python models are imported by the workers alone.

    Raises:
        ValueError.
    """
    if not models:
        return
    from parley.models.registry import build  # not what every command has to wait for

    for each in models:
        if each.kind != "python":
            try:
                build(each)
            except ValueError as error:
                raise ValueError(f"{each.name!r}: {error}") from None
