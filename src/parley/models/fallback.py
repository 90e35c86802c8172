"""A named model with others to fall back on."""

from collections.abc import Sequence
from contextlib import aclosing

from parley.core.message import Transcript
from parley.core.pieces import Piece
from parley.models.model import Answer, Model, ModelError, Recovery, Waiting

# Failures that trying the same model again will not mend, but another one may.
ANOTHER_MAY = frozenset(
    {
        "upstream_unreachable",
        "upstream_auth",
        "upstream_rate_limited",
        "upstream_gone",
        "upstream_invalid",
        "model_not_found",
    }
)


class FallbackModel:
    """Asks its models in order until one begins to answer; from the first piece on there is no going back.

    Each model first makes its own tries. It has the first model's name, recovery and concurrency. A partial answer
    is given only to models that can continue one; when those fail and others are left, the answer ends with
    continue_refused, so that it is asked for again without the partial.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        if not models:
            raise ValueError("a model with fallbacks needs at least one model")
        self._models = tuple(models)

    @property
    def name(self) -> str:
        return self._models[0].name

    @property
    def recovery(self) -> Recovery:
        return self._models[0].recovery

    @property
    def concurrency(self) -> int:
        return self._models[0].concurrency

    async def answer(self, transcript: Transcript) -> Answer:
        """Stream the answer of the first model that begins one; see `Model`.

        Raises:
            ModelError: while iterating; the failure of the last model tried.
        """
        able = [model for model in self._models if not transcript.partial or model.recovery == "continue"]
        for model in able:
            started = False
            try:
                async with aclosing(model.answer(transcript)) as answer:
                    async for item in answer:
                        started = started or isinstance(item, Piece)
                        yield item
                return
            except ModelError as error:
                if started or not (error.retryable or error.code in ANOTHER_MAY):
                    raise
                if model is able[-1] and len(able) == len(self._models):
                    raise
                yield Waiting(f"{error.message}; trying another model", 0.0)
        raise ModelError("continue_refused", "no model that is left can continue a partial answer")

    async def close(self) -> None:
        """Close each of the models."""
        for model in self._models:
            await model.close()
