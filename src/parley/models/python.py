"""A model that is a Python function: an asynchronous generator of text, registered by name or found by reference.

@model("shout")
async def shout(messages, **options):
    for word in messages[-1].content.upper().split():
        yield word + " "
"""

import asyncio
import importlib
import inspect
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from parley.core.message import Parameters, Transcript
from parley.core.pieces import Piece
from parley.models.model import Answer, Finish, ModelError, Recovery, Waiting
from parley.models.patience import Patience

log = logging.getLogger(__name__)

# Takes the messages (a tuple of `Message`) and, by keyword, those of the options it names, or all of them when it
# takes **options: the parameters that are set, and `partial` when an answer is to be continued.
ModelFunction = Callable[..., AsyncIterator[Any]]
F = TypeVar("F", bound=ModelFunction)

REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
REGISTERED: dict[str, ModelFunction] = {}


def model(name: str) -> Callable[[F], F]:
    """Register an asynchronous generator function as the model `name`; the function itself stays as it is.

    Raises:
        ValueError: the name is empty or taken by another function.
        TypeError: it is not an asynchronous generator function, or no name was given.
    """
    if callable(name):
        raise TypeError('a model has a name: write @model("name")')
    if not name or not name.isprintable():
        raise ValueError("a model needs a printable name")

    def register(function: F) -> F:
        _check(function, name)
        known = REGISTERED.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(f"the model name {name!r} is taken by {known.__module__}:{known.__qualname__}")
        REGISTERED[name] = function
        return function

    return register


def load(reference: str) -> ModelFunction:
    """Find a model function: by the name it was registered under, else by ``package.module:function``.

    Raises:
        ValueError: there is no such function, its module cannot be imported, or it is no model function.
    """
    if reference in REGISTERED:
        return REGISTERED[reference]
    if not REFERENCE.fullmatch(reference):
        raise ValueError(f"no model function is registered as {reference!r}, and it is not package.module:function")
    module, _, path = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise ValueError(f"cannot import {module!r} for the model function {reference!r}: {error}") from error
    except AttributeError:
        raise ValueError(f"{module!r} has no {path!r}") from None
    try:
        _check(found, reference)
    except TypeError as error:
        raise ValueError(str(error)) from None
    function: ModelFunction = found
    return function


class PythonModel:
    """A model that calls a function.

    Args:
        recovery: "continue" only if the function goes on behind the option `partial`.
        first_token, stall: seconds until the first piece, and of silence in mid-answer.
        concurrency, parameters: as for `OpenAIModel`.

    What the function yields: text, `Piece`, `Waiting`, or as its last a `Finish`. An exception in it ends the answer
    with upstream_error; its text goes to the log only.
    """

    def __init__(
        self,
        name: str,
        function: ModelFunction,
        *,
        recovery: Recovery = "regenerate",
        concurrency: int = 0,
        first_token: float = 120.0,
        stall: float = 60.0,
        parameters: Parameters | None = None,
    ) -> None:
        _check(function, name)
        self._name = name
        self._function = function
        self._recovery = recovery
        self._concurrency = concurrency
        self._first_token = first_token
        self._stall = stall
        self._parameters = parameters or Parameters()
        names = inspect.signature(function).parameters.values()
        self._takes_all = any(each.kind is each.VAR_KEYWORD for each in names)
        self._takes = {each.name for each in names if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)}

    @property
    def name(self) -> str:
        return self._name

    @property
    def recovery(self) -> Recovery:
        return self._recovery

    @property
    def concurrency(self) -> int:
        return self._concurrency

    async def answer(self, transcript: Transcript) -> Answer:
        """Stream what the function yields; see `Model`.

        Raises:
            ModelError: while iterating.
        """
        if transcript.partial and self._recovery != "continue":
            raise ModelError("continue_refused", "this model cannot continue a partial answer")
        patience = Patience(self._first_token, self._stall)
        pieces = self._function(transcript.messages, **self._options(transcript))
        try:
            while (item := await self._next(pieces, patience)) is not None:
                if isinstance(item, Piece):
                    patience.piece()
                else:
                    patience.progress()
                yield item
                if isinstance(item, Finish):
                    return
            yield Finish()
        finally:
            aclose = getattr(pieces, "aclose", None)
            if aclose is not None:
                await aclose()

    async def close(self) -> None:
        """Nothing is held open."""

    async def _next(self, pieces: AsyncIterator[Any], patience: Patience) -> Piece | Waiting | Finish | None:
        """The next item that says something; None at the end."""
        try:
            while True:
                async with asyncio.timeout_at(patience.until) as limit:
                    item = await anext(pieces)
                if isinstance(item, str):
                    item = Piece(item)
                if not isinstance(item, Piece | Waiting | Finish):
                    kind = type(item).__name__
                    raise ModelError("upstream_invalid", f"the model function yielded {kind}, not text")
                if not isinstance(item, Piece) or item.text:
                    return item
        except StopAsyncIteration:
            return None
        except ModelError:
            raise
        except TimeoutError as error:
            if limit.expired():
                raise patience.exhausted() from None
            raise _failed(self._name, error) from error
        except Exception as error:
            raise _failed(self._name, error) from error

    def _options(self, transcript: Transcript) -> dict[str, Any]:
        parameters = transcript.parameters.over(self._parameters)
        options = {name: getattr(parameters, name) for name in parameters.__struct_fields__}
        options["partial"] = transcript.partial
        return {
            name: value
            for name, value in options.items()
            if value not in (None, (), "") and (self._takes_all or name in self._takes)
        }


def _failed(name: str, error: Exception) -> ModelError:
    log.error("the model function of %r failed", name, exc_info=error)
    return ModelError("upstream_error", f"the model function failed with {type(error).__name__}")


def _check(function: object, name: str) -> None:
    if not inspect.isasyncgenfunction(function) and not inspect.isasyncgenfunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object may be the function
    ):
        raise TypeError(f"the model {name!r} must be an asynchronous generator function (async def with yield)")
