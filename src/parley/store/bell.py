"""The bell: one link per process that hears every entry of the logs listened to, as it is written.

The script that appends an entry also publishes it on the channel that has the log's name. Hearing is fast and
cheap but not lossless: a link that breaks loses what was said meanwhile, so `on_reset` tells the listeners to look
into their logs again, and every listener checks the chain of entries by itself.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import redis.asyncio

from parley.core.errors import Unavailable
from parley.core.event import Entry
from parley.store.keys import Keys
from parley.store.link import Link, pack
from parley.store.scripts import TRANSIENT
from parley.wire.frames import parse_bell

# How long to wait before a link is made anew, in seconds; doubled each time.
SHORTEST, LONGEST = 0.02, 0.5
# A link on which a PING stays unanswered for so long is dead, whatever the socket says.
PING_SECONDS = 5.0


class _Channel:
    """A conversation that is listened to."""

    def __init__(self, conversation: str) -> None:
        self.conversation = conversation
        self.awaited = 0  # SUBSCRIBEs sent on the present link and not confirmed yet
        self.stands = asyncio.Event()


class Bell:
    """Hears entries.

    Args:
        client: gives the connection's parameters; the bell opens a connection of its own.
        on_entry: called with the conversation and the entry, in the order of the link.
        on_reset: called when a new link stands in place of a lost one: entries may have been missed.
    """

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        keys: Keys,
        on_entry: Callable[[str, Entry], None],
        on_reset: Callable[[], None],
    ) -> None:
        self._client = client
        self._keys = keys
        self._on_entry = on_entry
        self._on_reset = on_reset
        self._channels: dict[bytes, _Channel] = {}
        self._link: Any = None
        self._answered = True

    async def run(self) -> None:
        """Hold the link, for ever; makes it anew when it is lost."""
        delay = SHORTEST
        while True:
            link: Link | None = None
            try:
                link = await Link.open(self._client, self._take)
                self._link, self._answered = link, True
                if await self._resubscribe(link):
                    delay = SHORTEST
                    self._on_reset()
                    await self._watch(link)
            except TRANSIENT:
                pass
            finally:
                self._link = None
                for channel in self._channels.values():
                    channel.stands.clear()
                    channel.awaited = 0
                if link is not None:
                    link.cut()
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, LONGEST)

    async def listen(self, conversation: str, *, patience: float = 3.0) -> None:
        """Hear a conversation from now on; returns when the subscription stands.

        Raises:
            Unavailable: the store is out of reach.
        """
        name = self._keys.log(conversation)
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel(conversation)
            self._subscribe(channel, name)
        try:
            await asyncio.wait_for(channel.stands.wait(), patience)
        except TimeoutError as error:
            raise Unavailable("store_unreachable", "The store is out of reach.", retry_after=1) from error

    async def unlisten(self, conversation: str) -> None:
        """Hear a conversation no more."""
        name = self._keys.log(conversation)
        channel = self._channels.pop(name, None)
        if channel is None:
            return
        channel.stands.set()  # nobody is to wait for it
        if self._link:
            self._link.send(pack(("UNSUBSCRIBE", name)))

    def _subscribe(self, channel: _Channel, name: bytes) -> None:
        if self._link:
            channel.awaited += 1
            # A link that just broke is made anew by run(), which subscribes to every channel.
            self._link.send(pack(("SUBSCRIBE", name)))

    async def _resubscribe(self, link: Link) -> bool:
        """Subscribe to everything and wait for all of it; tells whether all of it stands."""
        if not self._channels:
            return True
        waiting = list(self._channels.values())
        for channel in waiting:
            channel.awaited = 1
        link.send(pack(("SUBSCRIBE", *self._channels)))
        standing = asyncio.create_task(self._stand(waiting))
        try:
            await asyncio.wait([standing, link.lost], timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return standing.done()
        finally:
            standing.cancel()

    async def _stand(self, channels: list[_Channel]) -> None:
        for channel in channels:
            await channel.stands.wait()

    def _take(self, reply: Any) -> None:
        if not isinstance(reply, list):  # a PONG outside of subscribed mode, or a refusal
            self._answered = True
            return
        kind = reply[0]
        if kind == b"message":
            channel = self._channels.get(reply[1])
            if channel:
                self._on_entry(channel.conversation, parse_bell(reply[2]))
        elif kind == b"subscribe":
            channel = self._channels.get(reply[1])
            if channel:
                channel.awaited -= 1
                if channel.awaited <= 0:
                    channel.stands.set()
        else:
            self._answered = True

    async def _watch(self, link: Link) -> None:
        """Wait until the link is lost; one that does not answer is."""
        while not link.lost.done():
            await asyncio.wait([link.lost], timeout=PING_SECONDS)
            if not self._answered:
                return
            self._answered = False
            link.send(pack(("PING",)))
