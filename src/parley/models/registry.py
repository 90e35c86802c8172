"""The models of a deployment, by name, made from settings."""

import msgspec

from parley.models.backend import Backend, backend_of
from parley.models.endpoint import parse
from parley.models.fallback import FallbackModel
from parley.models.huggingface import HuggingFaceModel
from parley.models.model import Model, ModelError
from parley.models.openai import OpenAIModel
from parley.models.python import PythonModel, load
from parley.models.settings import ModelSettings


class Models:
    """All models by name; the first is the default.

    Raises:
        ValueError: the settings cannot work: an unknown kind, a name twice, a fallback that is unknown or leads
            back to itself, an unusable URL, backend, function or number. The message names the model.
    """

    def __init__(self, settings: tuple[ModelSettings, ...]) -> None:
        if not settings:
            raise ValueError("at least one model is needed")
        self._settings: dict[str, ModelSettings] = {}
        for each in settings:
            if not each.name or not each.name.isprintable() or len(each.name) > 200:
                raise ValueError(f"a model's name must be 1 to 200 printable characters, not {each.name[:50]!r}")
            if each.name in self._settings:
                raise ValueError(f"two models are named {each.name!r}")
            self._settings[each.name] = each
        self._default = settings[0].name
        self._plain: dict[str, Model] = {}
        for each in settings:
            try:
                self._plain[each.name] = build(each)
            except (ValueError, TypeError) as error:
                raise ValueError(f"model {each.name!r}: {error}") from error
        self._models: dict[str, Model] = {}
        for each in settings:
            self._with_fallbacks(each.name, ())

    def get(self, name: str = "") -> Model:
        """The model of that name; the default one for the empty name.

        Raises:
            ModelError: model_not_found.
        """
        found = self._models.get(name or self._default)
        if found is None:
            raise ModelError("model_not_found", f"there is no model named {name[:100]!r}")
        return found

    def names(self) -> tuple[str, ...]:
        """All names, the default first."""
        return tuple(self._settings)

    async def close(self) -> None:
        """Close each model's connections."""
        for model in self._plain.values():
            await model.close()

    def _with_fallbacks(self, name: str, above: tuple[str, ...]) -> Model:
        """The model of that name together with its fallbacks, and theirs."""
        if name in above:
            raise ValueError(f"the fallbacks of {name!r} lead back to it: {' > '.join((*above, name))}")
        if name not in self._models:
            plain, fallbacks = self._plain[name], self._settings[name].fallbacks
            for fallback in fallbacks:
                if fallback not in self._settings:
                    raise ValueError(f"model {name!r} falls back on {fallback!r}, which is not there")
            others = [self._with_fallbacks(fallback, (*above, name)) for fallback in fallbacks]
            self._models[name] = FallbackModel((plain, *others)) if others else plain
        return self._models[name]


def build(settings: ModelSettings) -> Model:
    """Make one model, without its fallbacks.

    Raises:
        ValueError: it cannot be made from these settings.
    """
    _check_numbers(settings)
    match settings.kind:
        case "openai":
            return _openai(settings)
        case "huggingface":
            return HuggingFaceModel(
                settings.name,
                settings.url,
                api_key=settings.api_key,
                stream=settings.stream,
                recovery=settings.recovery or "continue",
                concurrency=settings.concurrency,
                connect=settings.connect,
                first_token=settings.first_token,
                stall=settings.stall,
                tries=settings.tries,
                parameters=settings.parameters,
            )
        case "python":
            return PythonModel(
                settings.name,
                load(settings.model or settings.name),
                recovery=settings.recovery or "regenerate",
                concurrency=settings.concurrency,
                first_token=settings.first_token,
                stall=settings.stall,
                parameters=settings.parameters,
            )
        case other:
            raise ValueError(f"unknown kind {other!r}; known are openai, huggingface, python")


def _openai(settings: ModelSettings) -> Model:
    if not settings.model:
        raise ValueError("the upstream's name of the model (`model`) is missing")
    backend = backend_of(parse(settings.url).url, settings.backend)
    if settings.recovery == "continue" and not backend.prefill:
        raise ValueError("this backend is not known to continue a partial answer; name one that is (`backend`)")
    if settings.recovery == "regenerate":
        backend = _without_prefill(backend)
    return OpenAIModel(
        settings.name,
        settings.url,
        settings.model,
        api_key=settings.api_key,
        backend=backend,
        concurrency=settings.concurrency,
        connect=settings.connect,
        first_token=settings.first_token,
        stall=settings.stall,
        tries=settings.tries,
        parameters=settings.parameters,
    )


def _without_prefill(backend: Backend) -> Backend:
    return msgspec.structs.replace(backend, prefill="", echoes=False)


def _check_numbers(settings: ModelSettings) -> None:
    for name in ("connect", "first_token", "stall"):
        value = getattr(settings, name)
        if not 0 < value < 1e6:
            raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
    if settings.tries < 1:
        raise ValueError(f"tries must be at least 1, not {settings.tries!r}")
    if settings.concurrency < 0:
        raise ValueError(f"concurrency may not be negative, not {settings.concurrency!r}")
