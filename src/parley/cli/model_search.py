"""Which model answers when `parley up` is all that was said? The first of these that is there:

    1. --model-url, PARLEY_MODEL_URL or `model_url` in the file
    2. the models in the file
    3. OPENAI_BASE_URL (and OPENAI_API_KEY)
    4. OLLAMA_HOST: Ollama's own form (``host:port``), or the course's (``AUTH=uid:secret``, https)
    5. MODEL_URL and HUGGINFACE_INFERENCE_TOKEN, as the tutorial spells it
    6. a server on this machine: Ollama, vLLM, llama.cpp, LM Studio on their usual ports
    7. the small built-in model

`--model` names the one to use where a server offers several; without it the first one listed is the default and
all of them can be chosen. Where no server is named it may also name a function of yours, `package.module:function`:
that is the model then (parley.models.python).
"""

import importlib.util
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from msgspec import Struct

from parley.cli.settings import Settings
from parley.cli.sources import Environment, SettingsError
from parley.models import ollama, python
from parley.models.discovery import Offer, offered
from parley.models.endpoint import redacted
from parley.models.secret import Secret
from parley.models.settings import ModelSettings

# Where servers listen when nobody told them otherwise.
PORTS = {11434: "Ollama", 8000: "vLLM", 8080: "llama.cpp", 1234: "LM Studio"}

LOOK = 0.3  # seconds for a server on this machine
ASK = 3.0  # seconds for one that was named

TOKENS = ("HUGGINFACE_INFERENCE_TOKEN", "HUGGINGFACE_INFERENCE_TOKEN", "HF_TOKEN")


class Choice(Struct, frozen=True):
    """The models to serve, the default first; none: the built-in one. `why` is for people, `notes` too."""

    models: tuple[ModelSettings, ...]
    why: str
    notes: tuple[str, ...] = ()


class Unanswered(Exception):
    """A server that was named by a variable of another program does not answer: the search goes on."""


def search(settings: Settings, environment: Environment) -> Choice:
    """Find the models; see above for the order.

    Raises:
        SettingsError: a model of our own settings cannot be used.
    """
    if settings.model_url:
        first = _at(settings.model_url, settings.model_key, settings.model, settings.source("model_url"))
        others = tuple(model for model in settings.models if model.name not in {each.name for each in first})
        return Choice((*first, *others), f"{redacted(settings.model_url)} ({settings.source('model_url')})")
    if function := _function(settings):
        return Choice((function, *settings.models), f"a function of yours ({settings.source('model')})")
    if settings.models:
        return Choice(_preferred(settings), settings.source("models"))
    notes: list[str] = []
    for named in (_openai, _ollama, _huggingface):
        try:
            choice = named(settings, environment)
        except Unanswered as reason:
            notes.append(str(reason))
            continue
        if choice is not None:
            return Choice(choice.models, choice.why, tuple(notes))
    for choice in _look(settings):
        return Choice(choice.models, choice.why, tuple(notes))
    return Choice((), "built in", tuple(notes))


def look_here() -> None:
    """Let the modules in the working directory be found, behind all others: none of ours is shadowed."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)


def _function(settings: Settings) -> ModelSettings | None:
    """The function that `model` names; None: it names none (Ollama's names have a colon, too).

    Raises:
        SettingsError: its module is there, and it cannot be used.
    """
    look_here()
    package = settings.model.partition(":")[0].partition(".")[0]
    listed = any(model.name == settings.model for model in settings.models)
    if listed or not python.REFERENCE.fullmatch(settings.model) or importlib.util.find_spec(package) is None:
        return None
    try:
        function = python.load(settings.model)
    except ValueError as error:
        raise SettingsError(f"model (from {settings.source('model')}) cannot be used: {error}") from None
    names = [name for name, registered in python.REGISTERED.items() if registered is function]
    return ModelSettings(name=names[0] if names else function.__name__, kind="python", model=settings.model)


def _preferred(settings: Settings) -> tuple[ModelSettings, ...]:
    if not settings.model:
        return settings.models
    first = [model for model in settings.models if model.name == settings.model]
    if not first:
        known = ", ".join(model.name for model in settings.models)
        source = settings.source("model")
        raise SettingsError(f"model (from {source}) cannot be used: {settings.model!r} is not among {known}")
    return (*first, *(model for model in settings.models if model.name != settings.model))


def _at(url: str, key: Secret, model: str, source: str) -> tuple[ModelSettings, ...]:
    """The models at a URL: the one named, else all it lists."""
    try:
        offer = Offer((model,)) if model else offered(url, key, ASK)
    except ValueError as error:
        raise SettingsError(f"model_url (from {source}) cannot be used: {error}") from None
    except OSError as error:
        reason = _reason(error)
        advice = "is it running? Name the model with --model to start without asking"
        raise SettingsError(f"{redacted(url)} (from {source}) does not list its models: {reason}; {advice}") from None
    if not offer.names:
        raise SettingsError(f"{redacted(url)} (from {source}) lists no model: name one with --model")
    return _models(url, key, offer)


def _models(url: str, key: Secret, offer: Offer) -> tuple[ModelSettings, ...]:
    return tuple(
        ModelSettings(name=name, url=url, model=name, api_key=key, backend=offer.backend) for name in offer.names
    )


def _named(url: str, key: Secret, settings: Settings, source: str) -> Choice:
    """As `_at`, for a server that a variable of another program names."""
    try:
        return Choice(_at(url, key, settings.model, source), f"{redacted(url)} ({source})")
    except SettingsError as error:
        raise Unanswered(str(error)) from None


def _openai(settings: Settings, environment: Environment) -> Choice | None:
    base = environment.get("OPENAI_BASE_URL")
    if base is None:
        return None
    return _named(base.value, Secret(environment.text("OPENAI_API_KEY")), settings, base.source)


def _ollama(settings: Settings, environment: Environment) -> Choice | None:
    host = environment.get(*ollama.HOSTS)
    if host is None:
        return None
    auth, proto = environment.text(*ollama.AUTHS), environment.text("OLLAMA_PROTO")
    try:
        url, key = ollama.locate(host.value, auth, proto=proto, token=environment.text("OLLAMA_TOKEN"))
    except ValueError as error:
        raise Unanswered(f"{host.source} cannot be used: {error}") from None
    return _named(url, key, settings, host.source)


def _huggingface(settings: Settings, environment: Environment) -> Choice | None:
    url, token = environment.get("MODEL_URL"), environment.get(*TOKENS)
    if url is None or token is None:
        return None
    path = urlsplit(url.value).path.strip("/")
    name = settings.model or path.removeprefix("models/") or "huggingface"
    model = ModelSettings(name=name, kind="huggingface", url=url.value, api_key=Secret(token.value))
    return Choice((model,), f"{redacted(url.value)} ({url.source})")


def _look(settings: Settings) -> Iterator[Choice]:
    """What answers on this machine, in the order of the ports, all asked at once."""

    def ask(port: int) -> Offer:
        try:
            return offered(f"http://127.0.0.1:{port}", Secret(), LOOK)
        except OSError:
            return Offer(())

    ports = [port for port in PORTS if port != settings.port]
    with ThreadPoolExecutor(len(PORTS) + 1) as pool:
        offers = list(pool.map(ask, ports))
    for port, offer in zip(ports, offers, strict=True):
        if settings.model:
            offer = Offer(tuple(name for name in offer.names if name == settings.model), offer.backend)
        if offer.names:
            models = _models(f"http://127.0.0.1:{port}", Secret(), offer)
            yield Choice(models, f"{PORTS[port]} at 127.0.0.1:{port}")


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
