"""The brief: which model answers a turn, and what it is given. Pure, but for looking the window up."""

from collections.abc import Mapping

from msgspec import Struct

from parley.core.assistant import Assistant
from parley.core.blocks import answer_messages, input_messages
from parley.core.message import Message, Parameters, Transcript
from parley.core.turn import NOTED, Turn
from parley.core.window import Exchange, Window, reach, select
from parley.models.model import ModelError
from parley.store.runs import Grant, Runs

# A turn that ended like this and said something is an exchange a model may be shown.
ANSWERED = frozenset({"completed", "incomplete", "cancelled"})


Assistants = Mapping[str, Assistant]


class Brief(Struct, frozen=True):
    """What is settled before a model is asked."""

    model: str
    instructions: str
    window: Window
    parameters: Parameters


def settle(grant: Grant, assistants: Assistants) -> Brief:
    """The turn's own wishes first, then the conversation's, then its assistant's.

    Raises:
        ModelError: `assistant_not_found`.
    """
    request, private, about = grant.turn.request, grant.private, grant.about
    name = request.assistant or about.assistant
    assistant = assistants.get(name) if name else Assistant("")
    if assistant is None:
        raise ModelError("assistant_not_found", f"There is no assistant named {name[:100]!r}.")
    return Brief(
        request.model or about.model or assistant.model,
        private.instructions or about.instructions or assistant.instructions,
        Window(tokens=0) if private.whole else assistant.window,
        private.parameters.over(about.parameters).over(assistant.parameters),
    )


async def transcript(runs: Runs, grant: Grant, brief: Brief) -> Transcript:
    """The transcript of a turn, without the part of its answer that may stand already."""
    turns, size = reach(brief.window)
    path = await runs.path(grant, turns=turns or 1 << 20, size=size or 1 << 30)
    exchanges = [exchange for turn in path if (exchange := said(turn))]
    window = select([*exchanges, Exchange(grant.turn.request.input)], brief.window)
    instructions = (Message("system", brief.instructions),) if brief.instructions else ()
    return Transcript(instructions + window, brief.parameters)


def said(turn: Turn) -> Exchange | None:
    """A turn as an exchange; None when it came to nothing: it failed, or was withdrawn."""
    outcome = turn.outcome
    if outcome is None or turn.status not in ANSWERED:
        return None
    answer = answer_messages(turn)
    if not answer and not turn.removed and outcome.finish_reason != NOTED:
        return None
    messages = (*input_messages(turn), *answer)
    return Exchange(messages) if messages else None
