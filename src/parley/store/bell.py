"""The bell: one link per process that hears every entry of the logs listened to, as it is written.

The script that appends an entry also publishes it on the channel that has the log's name. Hearing is fast and
cheap but not lossless: a link that breaks loses what was said meanwhile, so `on_reset` tells the listeners to look
into their logs again, and every listener checks the chain of entries by itself.
"""

import asyncio
import contextlib
import math
import random
from collections.abc import Callable
from typing import Any

import redis.asyncio

from parley.core.errors import Unavailable
from parley.core.event import Entry
from parley.store.keys import Keys
from parley.store.scripts import TRANSIENT
from parley.wire.frames import parse_bell

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
        delay = 0.02
        while True:
            pool: Any = self._client.connection_pool
            link = pool.make_connection()
            watch: asyncio.Task[None] | None = None
            try:
                await link.connect()
                self._link, self._answered = link, True
                await self._resubscribe(link)
                watch = asyncio.create_task(self._watch(link))
                delay = 0.02
                while True:
                    self._take(await link.read_response(timeout=math.inf))
            except TRANSIENT:
                pass
            finally:
                self._link = None
                for channel in self._channels.values():
                    channel.stands.clear()
                    channel.awaited = 0
                if watch:
                    watch.cancel()
                with contextlib.suppress(*TRANSIENT):
                    await link.disconnect(nowait=True)
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, 0.5)

    async def listen(self, conversation: str, *, patience: float = 3.0) -> None:
        """Hear a conversation from now on; returns when the subscription stands.

        Raises:
            Unavailable: the store is out of reach.
        """
        name = self._keys.log(conversation)
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel(conversation)
            await self._subscribe(channel, name)
        try:
            await asyncio.wait_for(channel.stands.wait(), patience)
        except TimeoutError as error:
            raise Unavailable("store_unreachable", "The store is out of reach.", retry_after=1) from error

    async def unlisten(self, conversation: str) -> None:
        """Hear a conversation no more."""
        name = self._keys.log(conversation)
        if self._channels.pop(name, None) and self._link:
            with contextlib.suppress(*TRANSIENT):
                await self._link.send_command("UNSUBSCRIBE", name)

    async def _subscribe(self, channel: _Channel, name: bytes) -> None:
        if self._link:
            channel.awaited += 1
            # A link that just broke is made anew by run(), which subscribes to every channel.
            with contextlib.suppress(*TRANSIENT):
                await self._link.send_command("SUBSCRIBE", name)

    async def _resubscribe(self, link: Any) -> None:
        """Subscribe to everything, wait for all of it, and say that entries may have been missed."""
        names = list(self._channels)
        if not names:
            return
        for channel in self._channels.values():
            channel.awaited = 1
        await link.send_command("SUBSCRIBE", *names)
        while not all(self._channels[name].stands.is_set() for name in names if name in self._channels):
            self._take(await link.read_response(timeout=PING_SECONDS))
        self._on_reset()

    def _take(self, reply: Any) -> None:
        if not isinstance(reply, list):  # a PONG outside of subscribed mode, or a read that timed out
            self._answered = True
            if reply is None:
                raise TimeoutError("the bell's link is silent")
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

    async def _watch(self, link: Any) -> None:
        """Cut a link that does not answer."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            if not self._answered:
                await link.disconnect(nowait=True)
                return
            self._answered = False
            with contextlib.suppress(*TRANSIENT):
                await link.send_command("PING")
