"""The asynchronous client: conversations, replies that survive, and following from a cursor."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import msgspec

from parley.client.address import Address
from parley.client.chat import AsyncChat
from parley.client.duration import seconds
from parley.client.errors import CLOSED, Closed, Error, InvalidRequest
from parley.client.feed import Feed
from parley.client.follower import Follower
from parley.client.http import Http
from parley.client.idle import Idle
from parley.client.link import Link
from parley.client.progress import Notice, Progress
from parley.client.reply import AsyncReply
from parley.client.values import (
    Conversation,
    Event,
    Models,
    Policy,
    Receipt,
    Said,
    Snapshot,
    Turn,
    messages,
    read,
)
from parley.core.cursor import is_cursor
from parley.core.message import Parameters

if TYPE_CHECKING:
    from parley.client.own_server import OwnServer

PATIENCE = 60.0
# How long a client that is closed waits for the receipts of what was said last.
FLUSH = 3.0
# How long after its end a message is remembered that is only in a server's memory: on disk or with a replica it is in a
# second or two, if the server keeps an append-only file or has replicas.
SETTLED = 3.0
# Turns in one answer, as many as a server gives; bytes in one request, which one more turn may exceed.
PAGE, RESTORED = 200, 500_000
# Characters of a name, each that is not plain ASCII written as three or more: it goes as an idempotency key.
NAME = 255
# What a server's ids begin with; anything else is a name that a program gave.
PREFIX = "conv_"


class AsyncClient:
    """A client of one server, for one event loop.

        async with AsyncClient("http://127.0.0.1:8000") as client:
            chat = await client.conversation(system="I name a country, you name its capital.")
            async for delta in chat.say("Italy"):
                print(delta, end="")

    One WebSocket carries everything; it comes back by itself and goes on where it was. A message that was said is
    kept and sent until there is a receipt, with one key, so that it is asked once.

    Args:
        url: of the server; None takes PARLEY_URL, else http://127.0.0.1:8000. Where neither is and ``async with``
            opens the client, it starts a server (``parley up``) that goes when the client is closed; what was said
            is kept for the next one.
        token: the access key or a session token; None takes PARLEY_TOKEN.
        patience: seconds to wait for a server that was there and is not, before what waits fails as `Unreachable`.
            A server that was never reached fails at once.

    Raises:
        InvalidRequest: the URL or the token cannot be one.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, patience: float = PATIENCE) -> None:
        self._address = Address(url, token)
        self._patience = patience
        self._http = Http(self._address, patience)
        self._links: list[Link] = []
        self._link = self._new_link()
        self._link.listen(self._line)
        self._feeds: dict[str, Feed] = {}
        self._live: dict[
            Progress, dict[str, Any] | None
        ] = {}  # replies that have not ended, and how they were asked for
        self._finding: set[Progress] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._own: OwnServer | None = None  # a server that this client started
        self._closed = False

    def __repr__(self) -> str:
        return f"<AsyncClient of {self.url}>"

    @property
    def url(self) -> str:
        """Of the server."""
        return self._address.url

    @property
    def connected(self) -> bool:
        """Whether there is a line to the server just now."""
        return self._link.up

    async def connect(self) -> None:
        """Wait for the line to the server; nothing needs this, but one learns early that there is none.

        Raises:
            Unreachable, NotAllowed: there is none to be had.
        """
        await self._link.open()

    async def aclose(self) -> None:
        """Let go of the server, once it has what was said last. What was accepted is answered all the same.

        A client that was closed is of no more use.
        """
        await self._flush()
        self._closed = True
        self._http.close()
        for link in self._links:
            await link.close()
        for task in list(self._tasks):
            task.cancel()
        for progress in list(self._live):
            progress.fail(Closed(CLOSED))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._own is not None:
            await self._own.stop()

    async def __aenter__(self) -> "AsyncClient":
        self._still_open()
        if self._address.default:
            from parley.client.own_server import OwnServer, runs

            if not await runs(self._address):
                self._own = OwnServer()
                await self._own.start()
                self._address.move(self._own.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # Conversations.

    async def conversation(
        self,
        id: str | None = None,  # noqa: A002  (what everybody calls it)
        *,
        system: str = "",
        title: str = "",
        assistant: str = "",
        model: str = "",
        parameters: Parameters | None = None,
        metadata: dict[str, str] | None = None,
        expire: str | int | timedelta | None = None,
    ) -> AsyncChat:
        """A conversation to speak in: a new one, or one that is known by its id or by a name of yours.

        Args:
            id: the server's id (``conv_...``), or any name: the first use of a name makes the conversation, and
                later ones find it again. What is said of it besides counts when it is made. None: a new one.
            system: the instructions for the model.
            expire: how long it is kept after it was last used: seconds, a `timedelta`, or ``90s 30m 12h 7d``;
                None leaves it to the server.

        Raises:
            NotFound: there is no conversation of that id, or it is not yours.
        """
        if id is not None and id.startswith(PREFIX):
            return AsyncChat(self, (await self.get(id, turns=0)).conversation)
        if id is not None and not (id.strip() and len(quote(id)) <= NAME):
            reason = f"cannot be empty, nor longer than {NAME} characters, of which those that are not ASCII count more"
            raise InvalidRequest(f"A conversation's name {reason}.", param="id")
        made = await self.create(
            title=title, assistant=assistant, model=model, instructions=system, parameters=parameters,
            metadata=metadata, ttl=None if expire is None else seconds(expire), key=id and quote(id),
        )  # fmt: skip
        return AsyncChat(self, made.id)

    async def create(
        self,
        *,
        title: str = "",
        assistant: str = "",
        model: str = "",
        instructions: str = "",
        parameters: Parameters | None = None,
        metadata: dict[str, str] | None = None,
        ttl: int | None = None,
        key: str | None = None,
    ) -> Conversation:
        """Begin a conversation.

        Args:
            ttl: seconds it lives after it was last used; None leaves it to the server.
            key: the same key is the same conversation.
        """
        body = _given(
            title=title, assistant=assistant, model=model, instructions=instructions,
            parameters=parameters, metadata=metadata, ttl=ttl,
        )  # fmt: skip
        answer = await self._http.request("POST", "/conversations", body, key=key or secrets.token_hex(16))
        return read(answer, Conversation)

    async def conversations(self, *, limit: int = 50, offset: int = 0) -> list[Conversation]:
        """Your conversations, the one last spoken in first."""
        answer = await self._http.request("GET", f"/conversations?limit={limit}&offset={offset}")
        return read(answer, list[Conversation], "data")

    async def get(self, conversation: str, *, turns: int = 50) -> Snapshot:
        """A conversation as it stands, with its newest turns."""
        return read(await self._http.request("GET", f"{_path(conversation)}?turns={turns}"), Snapshot)

    async def change(
        self,
        conversation: str,
        *,
        title: str | None = None,
        assistant: str | None = None,
        model: str | None = None,
        instructions: str | None = None,
        parameters: Parameters | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Conversation:
        """Describe a conversation anew; None leaves a thing as it is."""
        fields = {
            "title": title, "assistant": assistant, "model": model, "instructions": instructions,
            "parameters": parameters, "metadata": metadata,
        }  # fmt: skip
        body = {name: value for name, value in fields.items() if value is not None}
        return read(await self._http.request("PATCH", _path(conversation), body), Conversation)

    async def rename(self, conversation: str, title: str) -> Conversation:
        """Give a conversation another title."""
        return await self.change(conversation, title=title)

    async def delete(self, conversation: str) -> None:
        """Forget a conversation."""
        await self._http.request("DELETE", _path(conversation))

    async def share(self, conversation: str) -> str:
        """The URL of a new link by which anyone can read a conversation, as it is written; the one before it ends."""
        token = read(await self._http.request("POST", f"{_path(conversation)}/share"), str, "token")
        return f"{self.url}/s/{token}"

    async def unshare(self, conversation: str) -> None:
        """Let nobody read a conversation through a link any more, from now on."""
        await self._http.request("DELETE", f"{_path(conversation)}/share")

    async def turn(self, conversation: str, turn: str) -> Turn:
        """One turn with as much of its reply as there is."""
        answer = await self._http.request("GET", f"{_path(conversation)}/turns/{quote(turn, safe='')}")
        return read(answer, Turn)

    async def history(self, conversation: str) -> list[Turn]:
        """All turns, oldest first."""
        found: list[Turn] = []
        before = ""
        while True:
            path = f"{_path(conversation)}/turns?limit={PAGE}{before}"
            answer = await self._http.request("GET", path)
            found = read(answer, list[Turn], "data") + found
            first = read(answer, int, "first")
            if first == 0:
                return found
            before = f"&before={first}"

    async def restore(self, conversation: str, turns: list[Turn]) -> None:
        """Write turns that have ended into a conversation, as they stand elsewhere; what is there already stays.

        Raises:
            InvalidRequest: a turn has not ended, or answers one that is not there.
            NotAllowed: only the owner of the deployment may do it.
        """
        path = f"{_path(conversation)}/turns/restore"
        batch: list[bytes] = []
        for turn in turns:
            batch.append(msgspec.json.encode(turn))
            if sum(map(len, batch)) > RESTORED:
                await self._http.request("POST", path, {"turns": list(map(msgspec.Raw, batch))})
                batch = []
        if batch:
            await self._http.request("POST", path, {"turns": list(map(msgspec.Raw, batch))})

    async def models(self) -> Models:
        """The models and assistants to choose from."""
        return read(await self._http.request("GET", "/models"), Models)

    # Speaking.

    def say(
        self,
        conversation: str,
        said: Said,
        *,
        key: str | None = None,
        model: str = "",
        assistant: str = "",
        instructions: str = "",
        parameters: Parameters | None = None,
        parent: str | None = None,
        policy: Policy = "enqueue",
    ) -> AsyncReply:
        """Say something; it is sent at once, whether the reply is looked at or not.

        Args:
            said: a text, or messages with `role` and `content`.
            key: the same key in the same conversation is the same message, asked once.
            parent: the turn to answer behind; None: the newest, "": none, a new beginning.
            policy: what to do while another reply runs: wait, be refused, or stop that one.

        Raises:
            InvalidRequest: what is said is neither a text nor messages.
            Closed: this client was closed. What else may go wrong is raised where the reply is looked at.
        """
        self._still_open()
        command = _given(
            type="say", conversation=conversation, key=key or secrets.token_hex(16), model=model, assistant=assistant,
            instructions=instructions, parameters=parameters, policy=policy,
        )  # fmt: skip
        command["input"] = messages(said)
        if parent is not None:
            command["parent"] = parent
        progress = Progress(conversation)
        self._live[progress] = command
        if self._link.broken:
            progress.notice(Notice("disconnected"))
        self._task(self._ask(progress, command))
        return AsyncReply(progress, self._stop)

    def attach(self, conversation: str, turn: str) -> AsyncReply:
        """The reply of a turn that was asked for earlier, from here or elsewhere, and goes on as it does."""
        self._still_open()
        progress = Progress(conversation, turn)
        self._live[progress] = None
        self._task(self._wait(progress, None))
        return AsyncReply(progress, self._stop)

    async def cancel(self, conversation: str, turn: str) -> bool:
        """Stop a reply, or withdraw a message that waits. Tells whether this did it."""
        command = {"type": "cancel", "conversation": conversation, "turn": turn}
        return read(await self._link.request(command), bool, "changed")

    async def follow(
        self, conversation: str, *, after: str | None = None, until: Literal["idle"] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Everything that happens in a conversation, in order, until it is deleted.

        Lost lines are made good: nothing is missed and nothing comes twice. Where the log cannot go on from where
        one is, an event of type `snapshot` holds what replaces everything; `after=None` begins with one.

        Args:
            conversation: its id, or a name that `conversation` knows it by.
            after: the cursor of the last event that was seen.
            until: "idle" ends once nothing waits or runs in it; None never ends.

        Raises:
            InvalidRequest: that is no cursor.
            NotFound: there is no such conversation.
            Unreachable: the server was away longer than this client's patience.
        """
        if after is not None and not (isinstance(after, str) and is_cursor(after)):
            raise InvalidRequest(f"{after!r} is no cursor: take that of an event, or None.", param="after")
        if not conversation.startswith(PREFIX):
            conversation = (await self.conversation(conversation)).id
        idle = Idle(await self.get(conversation)) if until == "idle" else None
        if idle is not None and idle.at(after):
            return
        link = self._free_link(conversation)
        follower = Follower(link, conversation, after)
        link.watch(follower)
        try:
            while True:
                event = await follower.next()
                if idle is not None:
                    idle.fold(event)
                yield event
                if event.type == "deleted" or (idle is not None and idle.at(event.cursor)):
                    return
        finally:
            link.unwatch(follower)

    # The life of a reply.

    def _still_open(self) -> None:
        if self._closed:
            raise Closed(CLOSED)

    async def _ask(self, progress: Progress, command: dict[str, Any]) -> None:
        try:
            receipt = read(await self._link.request(command), Receipt)
        except Error as error:
            self._live.pop(progress, None)
            progress.fail(error)
            return
        progress.accept(receipt)
        # A message that was known already may have been answered by now: a snapshot tells.
        await self._wait(progress, None if receipt.replayed else receipt.cursor or None)
        if receipt.durability == "memory" and progress.failure is None:
            await self._make_sure(command)

    async def _wait(self, progress: Progress, after: str | None) -> None:
        feed = self._feeds.get(progress.conversation)
        if feed is None:
            link = self._free_link(progress.conversation)
            feed = self._feeds[progress.conversation] = Feed(link, progress.conversation, self._lost)
        feed.join(progress, after)
        try:
            while not progress.ended:
                await progress.change()
        finally:
            self._live.pop(progress, None)
            if feed.leave(progress):
                self._feeds.pop(progress.conversation, None)

    async def _make_sure(self, command: dict[str, Any]) -> None:
        """Say it again behind its end, until a receipt tells that the database knew it still: it may have lost it."""
        stands = False
        with contextlib.suppress(Error):
            while not stands:
                await asyncio.sleep(SETTLED)
                receipt = read(await self._link.request(command), Receipt)
                stands = receipt.replayed or receipt.durability != "memory"

    async def _stop(self, progress: Progress) -> None:
        await progress.accepted()
        if progress.failure is not None:
            raise progress.failure
        await self.cancel(progress.conversation, progress.turn)

    async def _flush(self) -> None:
        """Wait a little for the receipts of what was said last."""
        waiting = [each for each, command in self._live.items() if command and not each.turn and not each.ended]
        if waiting and not self._link.broken:
            await asyncio.wait([asyncio.ensure_future(each.accepted()) for each in waiting], timeout=FLUSH)

    def _lost(self, progress: Progress) -> None:
        if progress not in self._finding:
            self._finding.add(progress)
            self._task(self._find(progress))

    async def _find(self, progress: Progress) -> None:
        """A snapshot does not show the turn: it is older than that, or the database was restored to before it.

        Said again with the same key it is the same turn, or is asked anew.
        """
        try:
            command = self._live.get(progress)
            if command is not None:
                await self._link.request(command)
            turn = await self.turn(progress.conversation, progress.turn)
            if turn.ended:
                progress.restore(turn)
            elif feed := self._feeds.get(progress.conversation):
                feed.join(progress, None)
        except Error as error:
            progress.fail(error)
        finally:
            self._finding.discard(progress)

    def _line(self, up: bool) -> None:
        for progress in list(self._live):
            progress.notice(Notice("reconnected" if up else "disconnected"))

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _new_link(self) -> Link:
        link = Link(self._address, self._patience)
        self._links.append(link)
        return link

    def _free_link(self, conversation: str) -> Link:
        """A link on which the conversation is not followed: a server feeds each one once a socket."""
        return next((link for link in self._links if link.follows(conversation) is None), None) or self._new_link()


def _given(**fields: Any) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value not in ("", None, {})}


def _path(conversation: str) -> str:
    if not conversation:
        raise InvalidRequest("A conversation has an id.", param="conversation")
    return f"/conversations/{quote(conversation, safe='')}"
