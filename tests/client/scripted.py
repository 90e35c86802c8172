"""A small server of the native protocol whose conversations are written by the test, and which can be broken.

    async with ScriptedServer() as server:
        server.answer = ["Ro", "me"]            # said by whoever asks; or drive a turn by hand:
        turn = await server.asked()
        server.delta(turn, "Ro"); server.drop(); server.delta(turn, "me"); server.end(turn)

It keeps a log per conversation and follows the rules of docs/reference/protocol.md, so that what a client shows
is decided by the protocol and not by the double.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Self

from aiohttp import WSMsgType, web

TERMINAL = {"completed", "incomplete", "failed", "cancelled"}


class Turn:
    def __init__(self, conversation: "Conversation", name: str, said: Any, fields: dict[str, Any]) -> None:
        self.conversation, self.name, self.said, self.fields = conversation, name, said, fields
        self.status, self.gen, self.text, self.reasoning = "queued", 1, "", ""
        self.error: dict[str, str] | None = None
        self.usage: dict[str, int] | None = None

    @property
    def length(self) -> int:
        return len((self.text + self.reasoning).encode())

    def shown(self) -> dict[str, Any]:
        said = [{"role": "user", "content": self.said}] if isinstance(self.said, str) else self.said
        body: dict[str, Any] = {
            "turn": self.name, "response": f"resp_{self.name}", "parent": "", "created_at": 1,
            "request": {"input": said}, "status": self.status, "gen": self.gen, "length": self.length,
            "text": self.text,
        }  # fmt: skip
        if self.reasoning:
            body["reasoning"] = self.reasoning
        if self.status in TERMINAL:
            body |= {"error": self.error, "usage": self.usage, "model": "scripted"}
        return body


class Conversation:
    def __init__(self, name: str, about: dict[str, Any]) -> None:
        self.name, self.about = name, about
        self.turns: dict[str, Turn] = {}
        self.log: list[dict[str, Any]] = []
        self.nonce = 1000
        self.trimmed = -1  # nobody can go on from a cursor up to this number

    @property
    def cursor(self) -> str:
        return str(self.log[-1]["cursor"]) if self.log else "0-0"

    def body(self) -> dict[str, Any]:
        described = ("title", "assistant", "model", "metadata")
        keep = {name: value for name, value in self.about.items() if name in described}
        names = list(self.turns)
        return {"id": self.name, "object": "conversation", "created_at": 1, "expires_at": 2, **keep,
                "turns": len(names), "head": names[-1] if names else "", "status": "idle"}  # fmt: skip

    def snapshot(self, turns: int = 50) -> dict[str, Any]:
        shown = list(self.turns.values())[-turns:]
        return {
            "type": "snapshot", "conversation": self.name, "cursor": self.cursor, "about": self.body(),
            "first": len(self.turns) - len(shown), "total": len(self.turns),
            "turns": [turn.shown() for turn in shown], "waiting": [],
        }  # fmt: skip


class Line:
    """One client's socket: what is sent keeps its order."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.sent: dict[str, int] = {}  # conversation -> entries sent
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def write(self) -> None:
        try:
            while True:
                await self.socket.send_json(await self.queue.get())
        except (ConnectionError, RuntimeError):
            pass  # the reader ends as well


class ScriptedServer:
    """See the module.

    Attributes:
        answer: deltas of the reply that each message gets by itself; None: the test speaks.
        received: every command and request, in order.
        mute: commands of these types are accepted and not answered.
        refuse: errors to answer the next commands of a type with, as (type, code, message).
    """

    def __init__(self, answer: Sequence[str] | None = None, *, token: str = "") -> None:
        self.answer = answer
        self.token = token
        self.conversations: dict[str, Conversation] = {}
        self.received: list[dict[str, Any]] = []
        self.mute: set[str] = set()
        self.refuse: dict[str, list[tuple[str, str, str]]] = {}
        self.connections = 0
        self.snapshot_turns = 50
        self.port = 0
        self._sockets: dict[web.WebSocketResponse, Line] = {}
        self._asked: asyncio.Queue[Turn] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        for task in self._tasks:
            task.cancel()

    async def start(self) -> None:
        """Listen; on the port it had before, when it had one."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/socket", self._socket),
                web.post("/api/conversations", self._create),
                web.get("/api/conversations", self._list),
                web.get("/api/conversations/{id}", self._get),
                web.patch("/api/conversations/{id}", self._change),
                web.delete("/api/conversations/{id}", self._delete),
                web.get("/api/conversations/{id}/turns/{turn}", self._turn),
                web.get("/api/models", self._models),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and cut every line, as a process that is killed does."""
        self.drop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # What the test does.

    def drop(self) -> None:
        """Cut every line without a word."""
        for socket in list(self._sockets):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """Close every line in order."""
        for socket in list(self._sockets):
            await socket.close(code=code, message=reason.encode())

    def create(self, name: str = "conv_" + "0" * 34, **about: Any) -> Conversation:
        return self.conversations.setdefault(name, Conversation(name, about))

    async def asked(self) -> Turn:
        """The next turn that was asked for."""
        async with asyncio.timeout(10):
            return await self._asked.get()

    def event(self, conversation: Conversation, **fields: Any) -> str:
        conversation.nonce += 1
        cursor = f"{len(conversation.log) + 1}-{conversation.nonce}"
        conversation.log.append({"conversation": conversation.name, "cursor": cursor, **fields})
        self._push(conversation)
        return cursor

    def started(self, turn: Turn) -> None:
        turn.status = "in_progress"
        self.event(turn.conversation, type="started", turn=turn.name)

    def delta(self, turn: Turn, text: str, channel: str = "text") -> None:
        if turn.status == "queued":
            self.started(turn)
        extra = {} if channel == "text" else {"channel": channel}
        offset = turn.length
        if channel == "text":
            turn.text += text
        else:
            turn.reasoning += text
        self.event(
            turn.conversation, type="delta", turn=turn.name, gen=turn.gen, offset=offset, text=text, **extra
        )  # fmt: skip

    def rewind(self, turn: Turn, offset: int) -> None:
        turn.gen += 1
        turn.text = turn.text.encode()[: offset - len(turn.reasoning.encode())].decode()
        self.event(turn.conversation, type="rewind", turn=turn.name, gen=turn.gen, offset=offset)

    def end(
        self, turn: Turn, status: str = "completed", *, tokens: int = 0, error: tuple[str, str] | None = None
    ) -> None:
        turn.status = status
        turn.usage = {"input_tokens": 1, "output_tokens": tokens} if tokens else None
        turn.error = {"code": error[0], "message": error[1]} if error else None
        extra = {name: value for name, value in (("usage", turn.usage), ("error", turn.error)) if value}
        self.event(
            turn.conversation, type="end", turn=turn.name, status=status, length=turn.length, model="scripted", **extra
        )  # fmt: skip

    def forget_log(self, conversation: Conversation) -> None:
        """Trim the log: who comes back must take a snapshot."""
        conversation.trimmed = len(conversation.log)

    # What clients do.

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            body = {
                "error": {"message": "No.", "type": "authentication_error", "code": "unauthenticated", "param": None}
            }
            return web.json_response(body, status=401)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        line = self._sockets[socket] = Line(socket)
        writer = asyncio.create_task(line.write())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._command(line, json.loads(message.data))
        finally:
            writer.cancel()
            self._sockets.pop(socket, None)
        return socket

    def _command(self, line: Line, frame: dict[str, Any]) -> None:
        self.received.append({**frame, "at": asyncio.get_running_loop().time()})
        kind, name = frame["type"], frame.get("id")
        if self.refuse.get(kind):
            refused = self.refuse[kind].pop(0)
            self._error(line, name, *refused)
            return
        found = self.conversations.get(frame.get("conversation", ""))
        if kind == "ping":
            line.queue.put_nowait({"type": "pong", "id": name})
        elif found is None:
            self._error(line, name, "not_found_error", "conversation_not_found", "No such conversation.")
        elif kind == "follow":
            self._follow(line, found, frame)
        elif kind == "unfollow":
            line.sent.pop(found.name, None)
        elif kind == "say":
            receipt = self._say(found, frame)
            if "say" not in self.mute:
                line.queue.put_nowait({**receipt, "id": name})
        elif kind == "cancel":
            turn = found.turns[frame["turn"]]
            changed = turn.status not in TERMINAL
            if changed:
                self.end(turn, "cancelled")
            answer = {"type": "cancelled", "id": name, "conversation": found.name, "turn": turn.name}
            line.queue.put_nowait({**answer, "status": turn.status, "changed": changed})

    def _error(self, line: Line, name: Any, kind: str, code: str, message: str) -> None:
        error = {"message": message, "type": kind, "code": code, "param": None}
        line.queue.put_nowait({"type": "error", "id": name, "error": error})

    def _follow(self, line: Line, found: Conversation, frame: dict[str, Any]) -> None:
        after = frame.get("after")
        cursors = ["0-0", *(entry["cursor"] for entry in found.log)]
        at = cursors.index(after) if after in cursors else -1
        if at > found.trimmed:
            opening = {"type": "following", "id": frame["id"], "conversation": found.name, "cursor": after}
            line.sent[found.name] = at
        else:
            opening = {**found.snapshot(self.snapshot_turns), "id": frame["id"]}
            line.sent[found.name] = len(found.log)
        line.queue.put_nowait(opening)
        self._push(found)

    def _say(self, found: Conversation, frame: dict[str, Any]) -> dict[str, Any]:
        name = hashlib.sha256(f"{found.name}\n{frame['key']}".encode()).hexdigest()[:16]
        replayed, cursor = name in found.turns, ""
        if not replayed:
            turn = found.turns[name] = Turn(found, name, frame["input"], frame)
            asked = turn.shown()["request"]
            cursor = self.event(found, type="queued", turn=name, parent="", request=asked)
            self._asked.put_nowait(turn)
            if self.answer is not None:
                task = asyncio.create_task(self._speak(turn, self.answer))
                self._tasks.add(task)
        return {"type": "receipt", "conversation": found.name, "turn": name, "response": f"resp_{name}",
                "status": found.turns[name].status, "cursor": cursor, "position": 0, "durability": "fsync",
                "replayed": replayed, "key": frame["key"]}  # fmt: skip

    async def _speak(self, turn: Turn, answer: Sequence[str]) -> None:
        for text in answer:
            await asyncio.sleep(0)
            self.delta(turn, text)
        self.end(turn, tokens=len(answer))

    def _push(self, conversation: Conversation) -> None:
        for line in self._sockets.values():
            if conversation.name in line.sent:
                for entry in conversation.log[line.sent[conversation.name] :]:
                    line.queue.put_nowait(entry)
                line.sent[conversation.name] = len(conversation.log)

    # JSON.

    def _found(self, request: web.Request) -> Conversation:
        found = self.conversations.get(request.match_info["id"])
        if found is None:
            body = {"message": "No such conversation.", "type": "not_found_error", "code": "x", "param": None}
            raise web.HTTPNotFound(text=json.dumps({"error": body}))
        return found

    async def _create(self, request: web.Request) -> web.Response:
        about = await request.json()
        key = request.headers["Idempotency-Key"]
        self.received.append({"type": "create", "key": key, **about})
        name = "conv_00" + hashlib.sha256(key.encode()).hexdigest()[:32]
        return web.json_response(self.create(name, **about).body(), status=201)

    async def _list(self, request: web.Request) -> web.Response:
        data = [one.body() for one in reversed(self.conversations.values())]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._found(request).snapshot())

    async def _change(self, request: web.Request) -> web.Response:
        found, fields = self._found(request), await request.json()
        self.received.append({"type": "change", **fields})
        found.about |= fields
        return web.json_response(found.body())

    async def _delete(self, request: web.Request) -> web.Response:
        found = self._found(request)
        self.event(found, type="deleted")
        del self.conversations[found.name]
        return web.json_response({"id": found.name, "object": "conversation.deleted", "deleted": True})

    async def _turn(self, request: web.Request) -> web.Response:
        return web.json_response(self._found(request).turns[request.match_info["turn"]].shown())

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"models": [{"id": "small"}, {"id": "large"}], "assistants": [], "default": "small"})
