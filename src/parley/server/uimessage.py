"""The AI SDK's UI message stream: /ai/chat (docs/reference/ui-protocols.md).

Whoever leaves stops nothing; whoever comes back gets the whole of the message that is being written.
"""

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from parley.core import ids
from parley.core.errors import Gone, NotFound
from parley.core.message import Parameters
from parley.core.turn import TERMINAL_STATUSES, Private
from parley.server import bodies
from parley.server.api import answer, private
from parley.server.auth import Principal
from parley.server.endpoints import Endpoints
from parley.server.parts import Parts
from parley.server.retelling import DONE, retell
from parley.server.threads import Place, Saying, Threads, check_replayed
from parley.wire.lines import Line, continues, function_tools, line_ids
from parley.wire.openai.response import Subject
from parley.wire.uichunks import HEADER, VERSION, Chunks
from parley.wire.uimessage import PostChat, StopChat, ui_messages

HEADERS = {HEADER: VERSION}
# Turns of one message, each behind the calls of the one before; and turns that are loaded at most.
MOST_STEPS, MOST_LOADED = 64, 1_000


class Chats(Endpoints):
    """The endpoints."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.threads = Threads(parts)
        self.conversations = parts.service.conversations

    async def post(self, request: Request, who: Principal) -> Response:
        """POST /ai/chat"""
        key = self.key(request)
        body = await self.body(request, PostChat)
        lines, tools = body.lines(), function_tools(body.tools or [])
        self.service.require_choice(body.model or "", body.assistant or "")
        conversation = await self.threads.make(who, body.id)
        asked = Asked(body, lines, Private(parameters=Parameters(tools=tools)), key)
        turn = await self._say(who, conversation, asked)
        return await self._stream(who, conversation, turn, whole=False)

    async def resume(self, request: Request, who: Principal) -> Response:
        """GET /ai/chat/{id}/stream"""
        conversation, turn = await self._unfinished(request, who)
        if not turn:
            return Response(status_code=204)
        if request.method == "HEAD":
            return Response(headers=HEADERS, media_type="text/event-stream")
        return await self._stream(who, conversation, turn[0], whole=True)

    async def stop(self, request: Request, who: Principal) -> Response:
        """POST /ai/chat/{id}/stop, DELETE /ai/chat/{id}/stream"""
        body = await self.body(request, StopChat, optional=True)
        conversation, turns = await self._unfinished(request, who)
        if body.activeStreamId is not None:
            turns = [turn for turn in turns if ids.response_id(conversation, turn) == body.activeStreamId]
        # The newest first: none of them is to begin because the one before it was stopped.
        stopped = [(await self.conversations.cancel(conversation, turn))[0] for turn in reversed(turns)]
        return answer({"success": True, "stopped": any(stopped)})

    async def messages(self, request: Request, who: Principal) -> Response:
        """GET /ai/chat/{id}/messages"""
        most = bodies.integer(request.query_params, "turns", MOST_LOADED, 1, MOST_LOADED)
        conversation = await self.threads.find(who, request.path_params["id"])
        if conversation is None:
            return answer([])
        head = (await self.conversations.snapshot(conversation, turns=0)).head
        return answer(ui_messages(conversation, await self.threads.path(conversation, head, most) if head else []))

    async def _unfinished(self, request: Request, who: Principal) -> tuple[str, list[str]]:
        """The conversation that a path names, and its turns that have not ended."""
        conversation = await self.threads.find(who, request.path_params["id"])
        if conversation is None:
            return "", []
        try:
            return conversation, list((await self.conversations.snapshot(conversation, turns=0)).waiting)
        except (NotFound, Gone):
            return "", []

    async def _stream(self, who: Principal, conversation: str, turn: str, *, whole: bool) -> Response:
        async def make(subject: Subject) -> Chunks:
            return Chunks(subject, await self._steps(subject), whole=whole)

        return await retell(self.parts, who, conversation, turn, make, end=DONE, headers=HEADERS)

    async def _steps(self, subject: Subject) -> list[Subject]:
        """The responses that the message of a response began with."""
        if not continues(subject.turn):
            return []
        path = await self.conversations.path(subject.conversation, subject.turn.id, turns=MOST_STEPS)
        first = next((at for at in range(len(path) - 1, -1, -1) if not continues(path[at][0])), 0)
        return [Subject(subject.conversation, *step, subject.default) for step in path[first:]]

    async def _say(self, who: Principal, conversation: str, asked: "Asked") -> str:
        """Say what is new; replies the turn that answers it, which a repeat does not post again."""
        place = await self.threads.place(conversation, asked.lines, deep=asked.anew or asked.edits)
        if asked.anew and asked.key is None and (rival := rival_of(place, asked)) is not None:
            return rival
        saying = asked.saying(place)
        found = await self.threads.turn(conversation, saying.key)
        while found is not None and asked.key is None and asked.answers and found.status in ENDED_BADLY:
            # What came of the outputs of calls may be tried again: nothing else can be done about it.
            saying = msgspec.structs.replace(saying, key=f"outputs\n{found.id}")
            found = await self.threads.turn(conversation, saying.key)
        if found is not None:
            if not asked.answers:
                check_replayed(found, asked.last.said[-1])
            return found.id
        choice = (asked.body.model or "", asked.body.assistant or "")
        return await self.threads.say(who, place, saying, asked.private, choice=choice)


ENDED_BADLY = frozenset({"failed", "cancelled", "incomplete"})


class Asked(msgspec.Struct, frozen=True):
    """What a client asks. `key`: its own, if it gave one."""

    body: PostChat
    lines: list[Line]
    private: Private
    key: str | None

    @property
    def last(self) -> Line:
        """The newest line."""
        return self.lines[-1]

    @property
    def answers(self) -> bool:
        """Whether it tells what the calls of the last answer gave, and nothing else."""
        return self.last.role == "assistant"

    @property
    def anew(self) -> bool:
        """Whether it asks for another answer to the newest line."""
        return not self.answers and self.body.trigger == "regenerate-message"

    @property
    def edits(self) -> bool:
        """Whether the newest line takes the place of an older one of its id."""
        return not self.answers and not self.anew and self.body.messageId == self.last.id

    def saying(self, place: Place) -> Saying:
        """What is to be said. Repeated, it has the same key."""
        if self.answers:
            last = place.last.id if place.last is not None else ""
            return Saying(self.key or f"outputs\n{last}", last or None, (), place.outputs)
        if self.anew:
            named = ids.parse_response_id(self.body.messageId or "")
            instead = named[1] if named is not None else place.behind[-1][0].id if place.behind else ""
            parent, lines = place.beside()
            return Saying(self.key or f"again\n{self.last.id}\n{instead}", parent, lines, place.untold)
        if self.edits:
            parent, lines = place.beside()
            return Saying(self.key or f"edit\n{self._digest(parent)}", parent, lines, place.untold)
        return Saying(self.key or f"say\n{self.last.id}", place.parent, place.new, place.untold)

    def _digest(self, parent: str) -> str:
        """Tells two edits of one message apart."""
        body = self.body
        said = (self.last.id, self.last.said, body.model, body.assistant, self.private, parent)
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


def rival_of(place: Place, asked: Asked) -> str | None:
    """The newest turn, if it answers the newest line anew just now: who asks for that without naming the answer to
    replace is given this one.
    """
    if not place.behind or ids.parse_response_id(asked.body.messageId or "") is not None:
        return None
    turn, private = place.behind[-1]
    said = line_ids(place.conversation, turn, private)
    return turn.id if turn.status not in TERMINAL_STATUSES and asked.last.id in said else None


def routes(parts: Parts) -> list[BaseRoute]:
    """The routes."""
    chats = Chats(parts)
    one = "/ai/chat/{id:path}"
    return [
        private(parts, "/ai/chat", {"POST": chats.post}),
        private(parts, one + "/stream", {"GET": chats.resume, "DELETE": chats.stop}),
        private(parts, one + "/stop", {"POST": chats.stop}),
        private(parts, one + "/messages", {"GET": chats.messages}),
    ]
