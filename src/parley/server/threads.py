"""Threads: conversations of clients that name them themselves and send their whole copy with each request.

Of what they send only the new is said. Where it goes on is told by the last answer of ours that it holds; what was
said behind that one meanwhile, elsewhere, is not said again.
"""

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from parley.core import ids
from parley.core.errors import Conflict, InvalidRequest
from parley.core.message import Message
from parley.core.turn import ROOT, TERMINAL_STATUSES, Private, Request, Turn
from parley.server.auth import LOCAL, Principal
from parley.server.bodies import KEY
from parley.server.exchange import Exchange
from parley.server.parts import Parts
from parley.wire.lines import Form, Line, Marks, Output, called_in, calls_of, counts, echo_of, line_ids

# How many turns it is looked back for what was said: as a rule they are near, and it costs as much as there are.
NEAR, FAR = 32, 1_000
# How many answers of a client's copy are looked up, the newest first, until one is there.
MOST_ANSWERS = 32

Path = list[tuple[Turn, Private]]


class Place(Struct, frozen=True):
    """Where a client's copy of a conversation goes on.

    Args:
        last: the turn whose answer is the last one that the client knows; None: it knows none.
        off: the client shows another branch than the one the newest turn stands on.
        behind: the turns between that one, or the beginning, and the newest, with it.
        lines: what the client's copy holds behind that answer.
        outputs: what calls of that answer gave, by the client's copy.
    """

    conversation: str
    last: Turn | None
    off: bool
    behind: Path
    lines: tuple[Line, ...]
    outputs: tuple[Output, ...]

    @property
    def new(self) -> tuple[Line, ...]:
        """The lines that were not said yet."""
        said = {name for turn, private in self.behind for name in line_ids(self.conversation, turn, private)}
        return tuple(line for line in self.lines if line.id not in said)

    @property
    def untold(self) -> tuple[Output, ...]:
        """The outputs that no model will be shown unless they are told now."""
        told = {each.call for turn, _ in self.behind if counts(turn) for each in turn.request.input}
        return tuple(output for output in self.outputs if output.message.call not in told)

    @property
    def parent(self) -> str | None:
        """What a turn follows that goes on where the conversation does: the newest turn, or that other branch."""
        return self.last.id if self.off and self.last is not None else None

    def beside(self) -> tuple[str, tuple[Line, ...]]:
        """What a turn follows that says the last line again, beside the one that said it, or that goes on where the
        client's copy does; and what it says: the last line at least.
        """
        new = {line.id for line in self.new}
        for turn, private in reversed(self.behind):
            said = line_ids(self.conversation, turn, private)
            if self.lines and self.lines[-1].id in said:
                return turn.parent, tuple(line for line in self.lines if line.id in said or line.id in new)
        parent, lines = self.last.id if self.last is not None else ROOT, self.lines
        for turn, private in self.behind:
            said = line_ids(self.conversation, turn, private)
            if not said or not counts(turn) or not {line.id for line in lines}.issuperset(said):
                break
            parent, lines = turn.id, tuple(line for line in lines if line.id not in said)
        return parent, lines


class Saying(Struct, frozen=True):
    """What is to be said: some lines, behind what calls gave, in the turn that a key stands for, behind another."""

    key: str
    parent: str | None
    lines: tuple[Line, ...]
    outputs: tuple[Output, ...] = ()


class Threads:
    """Finds conversations by their clients' names, and says in them what is new."""

    def __init__(self, parts: Parts) -> None:
        self._service = parts.service
        self._conversations = parts.service.conversations
        self._exchange = Exchange(parts)
        self._shards = len(parts.store.keys.shards)
        self._most = parts.config.limits.key_chars

    # Names.

    async def find(self, who: Principal, name: str, param: str = "id") -> str | None:
        """The conversation of a name; None when nothing was said under it yet.

        Raises:
            InvalidRequest: it cannot be a name. NotFound: it is the id of a conversation that is not theirs.
        """
        if len(name) > self._most or KEY.fullmatch(name) is None:
            message = f"`{param}` must have 1 to {self._most} visible ASCII characters."
            raise InvalidRequest("invalid_value", message, param=param)
        if ids.is_conversation_id(name):
            await self._service.require(who, name)
            return name
        conversation = ids.conversation_id(seed(who, name), self._shards)
        return None if await self._conversations.owner(conversation) is None else conversation

    async def make(self, who: Principal, name: str, param: str = "id") -> str:
        """The conversation of a name, made now if there is none.

        Raises:
            InvalidRequest, NotFound: as `find`. Gone: it was deleted a moment ago.
        """
        found = await self.find(who, name, param)
        return found if found is not None else await self._service.begin(who, seed(who, name))

    # Places.

    async def place(self, conversation: str, lines: Sequence[Line], *, deep: bool = False) -> Place:
        """Where a client's copy of a conversation goes on.

        Args:
            deep: look far back for what was said, even where no answer of ours tells how far.
        """
        snapshot = await self._conversations.snapshot(conversation, turns=0)
        last, at = await self._last_answer(conversation, lines) if snapshot.total else (None, -1)
        rest = tuple(lines[at + 1 :])
        if last is None and snapshot.total:
            # It has names for the answers that are not ours: what it brings behind the last one is new.
            own = [number for number, line in enumerate(rest) if line.role == "assistant"]
            rest = rest[own[-1] + 1 :] if own else rest
        behind: Path | None = []
        if snapshot.head and (last is None or last.id != snapshot.head):
            behind = await self._behind(conversation, last, snapshot.head, deep=deep)
        given = lines[at].outputs if last is not None else ()
        outputs = tuple(each for each in given if last is not None and called_in(each.message.call) == last.id)
        return Place(conversation, last, behind is None, behind or [], rest, outputs)

    async def _last_answer(self, conversation: str, lines: Sequence[Line]) -> tuple[Turn | None, int]:
        answers = [number for number, line in enumerate(lines) if line.responses]
        for number in answers[: -MOST_ANSWERS - 1 : -1]:
            for name in lines[number].responses:
                parsed = ids.parse_response_id(name)
                if parsed is not None and parsed[0] == conversation:
                    found = await self._conversations.turn(*parsed)
                    if found is not None:
                        return found[0], number
        return None, -1

    async def _behind(self, conversation: str, last: Turn | None, head: str, *, deep: bool) -> Path | None:
        """The turns behind one, up to the newest; None when that stands on another branch."""
        path: Path = []
        for most in (NEAR, FAR) if deep or last is not None else (NEAR,):
            path = await self.path(conversation, head, most)
            at = next(
                (number for number, (turn, _) in enumerate(path) if last is not None and turn.id == last.id), None
            )
            if at is not None:
                return path[at + 1 :]
            if len(path) < most:
                break
        return path if last is None else None

    async def path(self, conversation: str, turn: str, most: int) -> Path:
        """The turns that lead to a turn, oldest first, with it; at most so many."""
        found = await self._conversations.turn(conversation, turn)
        path = await self._conversations.path(conversation, turn, turns=most - 1) if most > 1 else []
        return [*path, *filter(None, [found])]

    # Saying.

    async def turn(self, conversation: str, key: str) -> Turn | None:
        """The turn that a key stands for, if there is one."""
        found = await self._conversations.turn(conversation, ids.turn_id(conversation, key))
        return None if found is None else found[0]

    async def say(
        self, who: Principal, place: Place, saying: Saying, private: Private, *, choice: tuple[str, str] = ("", "")
    ) -> str:
        """Post a turn; replies its id.

        Args:
            choice: the model and the assistant.

        Raises:
            ParleyError.
        """
        self._service.require_choice(*choice)
        messages, marks = self._said(who, place.last, saying)
        marked = msgspec.structs.replace(private, echo=echo_of(marks))
        turn = ids.turn_id(place.conversation, saying.key)
        request = Request(messages, *choice)
        await self._service.post(who, place.conversation, turn, request, marked, parent=saying.parent)
        return turn

    def _said(self, who: Principal, last: Turn | None, saying: Saying) -> tuple[tuple[Message, ...], Marks]:
        """The messages, checked, and what is kept of how they were said."""
        given = [("", "messages", output) for output in saying.outputs]
        given += [(line.id, line.param, Output(message)) for line in saying.lines for message in line.said]
        check_outputs(last, [output.message for _, _, output in given])
        messages: list[Message] = []
        names: list[str] = []
        forms: list[Form] = []
        for name, param, output in given:
            # A session speaks as user only, but may tell what the calls gave that were made to it.
            speaker = LOCAL if output.message.role == "tool" else who
            for checked in self._exchange.check_said(speaker, [(param, output.message)]):
                messages.append(checked)
                names.append(name)
                forms.append(output.form)
        if not messages:
            raise InvalidRequest("nothing_new", "There is nothing new in `messages`.", param="messages")
        return tuple(messages), Marks(tuple(names), tuple(forms))


def seed(who: Principal, name: str) -> bytes:
    """What the conversation of a name is made of: that which an idempotency key makes on the native protocol."""
    return hashlib.sha256(f"{who.owner}\n{name}".encode()).digest()[:16]


def check_outputs(last: Turn | None, said: Sequence[Message]) -> None:
    """Refuse outputs that are not those of the calls of the last answer, or of answers that come along.

    Raises:
        InvalidRequest, Conflict.
    """
    told = {message.call for message in said if message.role == "tool"}
    if not told:
        return
    if last is not None and last.status not in TERMINAL_STATUSES:
        raise Conflict("turn_in_progress", "The answer that made the calls has not ended yet.")
    called = set(calls_of(last)) if last is not None else set()
    brought = {call.id for message in said for call in message.calls}
    if told - called - brought:
        raise InvalidRequest("tool_call_not_found", "There is no such tool call to answer.", param="messages")
    if called - told:
        message = "There are calls in the last answer whose output is missing."
        raise InvalidRequest("tool_output_missing", message, param="messages")


def check_replayed(found: Turn, said: Message) -> None:
    """Refuse another message with a key that was used.

    Raises:
        Conflict.
    """
    if found.request.input[-1] != said:
        raise Conflict("idempotency_key_reused", "This id was used for another message.")
