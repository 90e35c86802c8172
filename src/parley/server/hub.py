"""The hub: hands each entry that is written to everyone who follows its conversation, encoded once.

One link to the store per process hears all conversations that anyone here follows (store.bell); each follower checks
the chain and repairs itself (server.follower). Nothing happens per client for an entry but a comparison and a place
in its outbox. Once a second one timer looks after silence, stalled clients, and turns that no worker takes.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence

from parley.core.errors import ParleyError, TooMany, Unavailable
from parley.core.event import Entry
from parley.server.auth import Principal
from parley.server.config import Config, Store
from parley.server.follower import PAGE, Follower
from parley.server.line import Line
from parley.server.outbox import RESTART, SLOW, TOO_SLOW, UNAUTHENTICATED, Frame, Outbox, entry_frame, frame
from parley.store.bell import Bell
from parley.store.cancelling import cancel
from parley.store.conversations import Conversations
from parley.wire import frames

log = logging.getLogger(__name__)

# A client that took nothing for so long is gone, whatever its connection says.
STALLED_SECONDS = 30
# A conversation that nobody follows is still listened to for so long: readers come back.
LINGER_SECONDS = 5
# How many conversations are looked at together, to learn what waits in them.
LOOKS = 32


class Feed:
    """A conversation that is followed here."""

    def __init__(self, conversation: str, conversations: Conversations) -> None:
        self.conversation = conversation
        self.followers: set[Follower] = set()
        self.line = Line()
        self.deserted = 0  # seconds without a follower
        self._conversations = conversations
        self._reads: dict[str, asyncio.Task[Sequence[Frame] | None]] = {}

    def hear(self, entry: Entry) -> None:
        """Hand an entry on."""
        made = entry_frame(self.conversation, entry)
        self.line.hear(entry, made)
        for follower in self.followers:
            follower.hear(entry, made)

    async def read(self, after: str) -> Sequence[Frame] | None:
        """What the log holds behind a cursor. Followers that ask at one moment share one reading.

        Only those: a reading that has begun may miss what a later follower has heard of.
        """
        task = self._reads.get(after)
        if task is None:
            task = self._reads[after] = asyncio.create_task(self._read(after))
            # Seen here for the case that all who asked have gone.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _read(self, after: str) -> Sequence[Frame] | None:
        del self._reads[after]
        entries = await self._conversations.read(self.conversation, after, count=PAGE)
        return None if entries is None else [entry_frame(self.conversation, entry) for entry in entries]

    async def snapshot(self, turns: int, name: str | None) -> Frame:
        """A snapshot as a frame, with the client's name of the command it answers."""
        snapshot = await self._conversations.snapshot(self.conversation, turns=turns)
        self.line.restore(snapshot)
        body = frames.snapshot_frame(snapshot)
        if name is not None:
            body["id"] = name
        return Frame("snapshot", frames.encode(body), snapshot.cursor)

    async def look(self) -> None:
        """Learn anew which turns wait."""
        snapshot = await self._conversations.snapshot(self.conversation, turns=0)
        self.line.restore(snapshot)
        if self.line.head and not self.line.since:
            found = await self._conversations.turn(self.conversation, self.line.head)
            if found is not None:
                self.line.since = found[0].created_at


class Hub:
    """All feeds and outboxes of one process."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._conversations = store.conversations
        self._sessions = store.sessions
        self._feeds: dict[str, Feed] = {}
        self._outboxes: set[Outbox] = set()
        self._bell = Bell(store.client, store.keys, self._on_entry, self._on_reset)
        self._seconds = 0
        self._sessions_due = False  # the sessions of open connections are to be looked up again
        self._chores: asyncio.Task[None] | None = None
        self.draining = False

    async def run(self) -> None:
        """Hold the link and the timer until cancelled."""
        bell = asyncio.create_task(self._bell.run())
        try:
            while True:
                await asyncio.sleep(1)
                if bell.done():
                    log.error("the link to the store failed, making it anew", exc_info=bell.exception())
                    bell = asyncio.create_task(self._bell.run())
                self._tick()
        finally:
            await cancel(bell, *filter(None, [self._chores]))

    # Connections.

    def admit(self, who: Principal, make: Callable[[int], Outbox] = Outbox) -> Outbox:
        """Take a connection in; whoever gets the outbox gives it back with `disconnect`.

        Args:
            make: makes an outbox in which so many bytes may wait.

        Raises:
            Unavailable, TooMany: there are as many as may be.
        """
        if self.draining:
            raise Unavailable("restarting", "The server is about to restart.", retry_after=1)
        if len(self._outboxes) >= self._config.connections:
            raise Unavailable("overloaded", "The server has as many connections as it takes.", retry_after=5)
        outbox = make(self._config.limits.client_queue_bytes)
        self.assign(outbox, who)
        self._outboxes.add(outbox)
        return outbox

    def assign(self, outbox: Outbox, who: Principal) -> None:
        """Say whose connection it is.

        Raises:
            TooMany: a session has as many as may be.
        """
        if who.token:
            held = sum(other.owner == who.owner for other in self._outboxes if other is not outbox)
            if held >= self._config.session_connections:
                raise TooMany("too_many_connections", "This session has too many connections open.", retry_after=5)
        outbox.owner, outbox.token = who.owner, who.token

    def disconnect(self, outbox: Outbox) -> None:
        """The connection is over."""
        self._outboxes.discard(outbox)

    def expel(self, token: str) -> None:
        """Close the connections of a session that is over."""
        for outbox in self._outboxes:
            if outbox.token == token:
                outbox.close(UNAUTHENTICATED, "the session is over")

    def drain(self) -> bool:
        """Send everyone away: the server goes. Tells whether there was anyone."""
        self.draining = True
        for outbox in self._outboxes:
            retry = random.randint(100, 1000)
            outbox.put(frame("bye", reason="restart", retry_ms=retry))
            outbox.close(RESTART, "restart: come back with your cursor")
        return bool(self._outboxes)

    # Following.

    async def listen(self, conversation: str) -> Feed:
        """Hear a conversation; returns when the subscription stands.

        Raises:
            Unavailable: the store is out of reach.
        """
        feed = self._feeds.get(conversation)
        if feed is None:
            feed = self._feeds[conversation] = Feed(conversation, self._conversations)
        feed.deserted = 0
        await self._bell.listen(conversation)
        return feed

    async def follow(
        self,
        conversation: str,
        outbox: Outbox,
        *,
        after: str | None = None,
        turns: int = 50,
        opening: Frame | None = None,
        name: str | None = None,
    ) -> Follower:
        """Follow a conversation from a cursor, else from a snapshot; see `Follower.begin`.

        Raises:
            NotFound, Gone: no such conversation. Unavailable: the store is out of reach.
        """
        feed = await self.listen(conversation)
        follower = Follower(conversation, outbox, feed.read, feed.snapshot, turns)
        # From here on it hears, and only then it reads: no entry can fall between.
        feed.followers.add(follower)
        try:
            await follower.begin(after, opening, name)
        except BaseException:
            self.leave(follower)
            raise
        return follower

    def leave(self, follower: Follower) -> None:
        """Follow no more."""
        follower.leave()
        feed = self._feeds.get(follower.conversation)
        if feed is not None:
            feed.followers.discard(follower)

    def _on_entry(self, conversation: str, entry: Entry) -> None:
        feed = self._feeds.get(conversation)
        if feed is not None:
            feed.hear(entry)

    def _on_reset(self) -> None:
        for feed in self._feeds.values():
            feed.line.forget()
            for follower in feed.followers:
                follower.repair()

    # The timer.

    def _tick(self) -> None:
        self._seconds += 1
        self._sessions_due |= self._seconds % self._config.session_check_seconds == 0
        quiet = self._config.quiet_seconds
        ping: Frame | None = None
        for outbox in self._outboxes:
            outbox.quiet += 1
            if outbox.sending:
                if outbox.quiet >= STALLED_SECONDS:
                    outbox.close(SLOW, TOO_SLOW)
            elif outbox.quiet >= quiet:
                ping = ping or frame("ping", at=int(time.time() * 1000))
                outbox.put(ping)
        for feed in self._feeds.values():
            feed.deserted = 0 if feed.followers else feed.deserted + 1
            if feed.line.tick(quiet):
                self._say_waiting(feed)
            say_present(feed)
        if self._chores is None or self._chores.done():
            self._chores = asyncio.create_task(self._do_chores())

    def _say_waiting(self, feed: Feed) -> None:
        seconds = max(0, round(time.time() - feed.line.since / 1000))
        told = frame(
            "status",
            conversation=feed.conversation,
            turn=feed.line.head,
            state="waiting_for_worker",
            seconds=seconds,
        )
        told.turn = feed.line.head
        for follower in feed.followers:
            if not follower.behind:
                follower.outbox.put(told)

    async def _do_chores(self) -> None:
        """What the timer leaves to be done with the store, one thing after the other."""
        for feed in list(self._feeds.values()):
            if feed.deserted >= LINGER_SECONDS and not feed.followers:
                del self._feeds[feed.conversation]
                await self._bell.unlisten(feed.conversation)
        unknown = [feed for feed in self._feeds.values() if feed.line.unknown and feed.followers]
        for at in range(0, len(unknown), LOOKS):
            # A server that does not answer keeps only its own waiting.
            await asyncio.gather(*map(self._look, unknown[at : at + LOOKS]))
        if self._sessions_due:
            self._sessions_due = False
            for token in {outbox.token for outbox in self._outboxes if outbox.token}:
                with contextlib.suppress(ParleyError):
                    if await self._sessions.find(token) is None:
                        self.expel(token)

    async def _look(self, feed: Feed) -> None:
        # An expired conversation is told to its followers when they look themselves.
        with contextlib.suppress(ParleyError):
            await feed.look()


def say_present(feed: Feed) -> None:
    """Tell those who look at a conversation how many do, here, when that has changed."""
    present = [follower for follower in feed.followers if follower.present]
    told: Frame | None = None
    for follower in present:
        if follower.told != len(present):
            told = told or frame("presence", conversation=feed.conversation, watching=len(present))
            follower.told = len(present)
            follower.outbox.put(told)
