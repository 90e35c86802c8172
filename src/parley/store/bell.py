"""The bell: one link per process and server that hears every entry of the logs listened to, as it is written.

The script that appends an entry also publishes it on the channel that has the log's name. Hearing is fast and
cheap but not lossless: a link that breaks loses what was said meanwhile, so `on_reset` tells the listeners to look
into their logs again, and every listener checks the chain of entries by itself.

In a cluster the channels are those of sharded pub/sub (Redis 7): an entry goes to those who listen at the node that has
the log, and to no other node. When a slot moves the node ends its subscriptions, and says who has it when asked again.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from redis.crc import key_slot

from parley.core.errors import Unavailable
from parley.core.event import Entry
from parley.store.cluster import Cluster
from parley.store.connect import Client
from parley.store.keys import Keys
from parley.store.link import Link, Refusal, code, pack
from parley.store.nodes import Nodes
from parley.store.outposts import Outposts
from parley.store.scripts import PASSING, TRANSIENT
from parley.store.waiting import Flag
from parley.wire.frames import parse_bell

# How long to wait before a link is made anew, in seconds; doubled each time.
SHORTEST, LONGEST = 0.02, 0.5
# A link on which a PING stays unanswered for so long is dead, whatever the socket says.
PING_SECONDS = 5.0
# Channels that changed over to another node, together, are told of once, so many seconds later.
TOGETHER = 0.05


class Channel:
    """A conversation that is listened to."""

    def __init__(self, conversation: str, name: bytes) -> None:
        self.conversation = conversation
        self.name = name
        self.ear: Ear  # where it is heard now
        self.awaited = 0  # SUBSCRIBEs sent on its present link and not confirmed yet
        self.moved = False  # it changed over to another link, and something may have been missed
        self.stands = Flag()


class Bell:
    """Hears entries.

    Args:
        client: gives the connections' parameters; the bell opens connections of its own.
        on_entry: called with the conversation and the entry, in the order of the link.
        on_reset: called when a new link stands in place of a lost one: entries may have been missed.
    """

    def __init__(
        self,
        client: Nodes,
        keys: Keys,
        on_entry: Callable[[str, Entry], None],
        on_reset: Callable[[], None],
    ) -> None:
        self.nodes = client
        self.on_entry = on_entry
        self.on_reset = on_reset
        self._keys = keys
        self._channels: dict[bytes, Channel] = {}
        self.ears = Outposts(client, lambda server: Ear(server, self))
        self._telling: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Hold the links, for ever; makes them anew when they are lost."""
        try:
            await self.ears.run()
        finally:
            if self._telling is not None:
                self._telling.cancel()
                self._telling = None

    async def listen(self, conversation: str, *, patience: float = 3.0) -> None:
        """Hear a conversation from now on; returns when the subscription stands.

        Raises:
            Unavailable: the store is out of reach.
        """
        name = self._keys.log(conversation)
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(conversation, name)
            self.ears.of(name).take(channel)
        try:
            await asyncio.wait_for(channel.stands.wait(), patience)
        except TimeoutError as error:
            raise Unavailable("store_unreachable", "The store is out of reach.", retry_after=1) from error

    async def unlisten(self, conversation: str) -> None:
        """Hear a conversation no more."""
        channel = self._channels.pop(self._keys.log(conversation), None)
        if channel is None:
            return
        channel.stands.set()  # nobody is to wait for it
        channel.ear.drop(channel)

    def tell(self) -> None:
        """Something may have been missed by channels that stand again."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TOGETHER, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self.on_reset()


class Ear:
    """Listens at one server."""

    def __init__(self, client: Client, bell: Bell) -> None:
        self._client = client
        self._bell = bell
        self._channels: dict[bytes, Channel] = {}
        self._awaited: set[bytes] = set()  # channels that do not stand yet
        self._all_stand = asyncio.Event()
        self._link: Link | None = None
        self._sharded = False
        self._old = False  # a server of a cluster that has no sharded channels
        self._answered = True

    async def run(self) -> None:
        """Hold the link, as long as the server is one of ours; makes it anew when it is lost."""
        delay = SHORTEST
        while True:
            link: Link | None = None
            try:
                link = await Link.open(self._client, self._take)
                self._link, self._answered = link, True
                self._sharded = self._bell.nodes.clustered and not self._old
                self._old = False
                if await self._resubscribe(link):
                    delay = SHORTEST
                    self._bell.on_reset()
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
            over = self._bell.ears.deserted(self._client)
            for channel in list(self._channels.values()):
                self._change(channel, self._bell.ears.of(channel.name))
            if over:
                return
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, LONGEST)

    def take(self, channel: Channel) -> None:
        """Listen to a channel from now on."""
        self._channels[channel.name] = channel
        channel.ear = self
        if self._link:
            # A link that just broke is made anew by run(), which subscribes to every channel.
            self._subscribe(self._link, [channel])

    def drop(self, channel: Channel) -> None:
        """Listen to a channel no more."""
        self._forget(channel)
        if self._link:
            self._link.send(pack(("SUNSUBSCRIBE" if self._sharded else "UNSUBSCRIBE", channel.name)))

    def _forget(self, channel: Channel) -> None:
        self._channels.pop(channel.name, None)
        self._stand(channel.name)

    def _change(self, channel: Channel, ear: "Ear") -> None:
        """Have a channel be heard elsewhere."""
        if ear is self:
            return
        self._forget(channel)
        channel.stands.clear()
        channel.awaited = 0
        channel.moved = True
        ear.take(channel)

    def _subscribe(self, link: Link, channels: Iterable[Channel]) -> None:
        """Subscribe to channels (of one slot, where they are sharded)."""
        names = []
        for channel in channels:
            channel.awaited += 1
            names.append(channel.name)
        self._awaited.update(names)
        self._all_stand.clear()
        link.send(pack(("SSUBSCRIBE" if self._sharded else "SUBSCRIBE", *names)))

    async def _resubscribe(self, link: Link) -> bool:
        """Subscribe to everything and wait for all of it; tells whether all of it stands."""
        self._awaited.clear()
        if not self._channels:
            return True
        if self._sharded:
            by_slot = sorted(self._channels.values(), key=_slot)
            for _, channels in groupby(by_slot, _slot):
                self._subscribe(link, channels)
        else:
            self._subscribe(link, self._channels.values())
        standing = asyncio.create_task(self._await_all())
        try:
            await asyncio.wait([standing, link.lost], timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return standing.done()
        finally:
            standing.cancel()

    async def _await_all(self) -> None:
        await self._all_stand.wait()

    def _stand(self, name: bytes) -> None:
        self._awaited.discard(name)
        if not self._awaited:
            self._all_stand.set()

    def _take(self, reply: Any) -> None:
        if not isinstance(reply, list):  # a PONG outside of subscribed mode, or a refusal
            self._answered = True
            if isinstance(reply, Refusal):
                self._refused(str(reply))
            return
        kind = reply[0]
        if kind == b"message" or kind == b"smessage":
            channel = self._channels.get(reply[1])
            if channel:
                self._bell.on_entry(channel.conversation, parse_bell(reply[2]))
        elif kind in (b"subscribe", b"ssubscribe"):
            channel = self._channels.get(reply[1])
            if channel:
                channel.awaited -= 1
                if channel.awaited <= 0:
                    self._heard(channel)
        elif kind == b"sunsubscribe" and reply[1] in self._channels and self._link:
            # The slot was given away: asked again, the server says to whom.
            channel = self._channels[reply[1]]
            channel.stands.clear()
            channel.moved = True
            self._subscribe(self._link, [channel])
        else:
            self._answered = True

    def _heard(self, channel: Channel) -> None:
        """A subscription stands."""
        channel.stands.set()
        self._stand(channel.name)
        if channel.moved:
            channel.moved = False
            self._bell.tell()

    def _refused(self, message: str) -> None:
        nodes = self._bell.nodes
        if not isinstance(nodes, Cluster):
            return
        if code(message) == "MOVED":
            slot = int(message.split()[1])
            ear = self._bell.ears.at(nodes.redirected(message, self._client))
            for channel in [each for each in self._channels.values() if each.awaited and _slot(each) == slot]:
                self._change(channel, ear)
        elif "unknown command" in message.lower():
            self._old = True
            self._cut()
        elif code(message) in PASSING:
            self._cut()

    def _cut(self) -> None:
        if self._link:
            self._link.cut()

    async def _watch(self, link: Link) -> None:
        """Wait until the link is lost; one that does not answer is."""
        while not link.lost.done():
            await asyncio.wait([link.lost], timeout=PING_SECONDS)
            if not self._answered:
                return
            self._answered = False
            link.send(pack(("PING",)))


def _slot(channel: Channel) -> int:
    return int(key_slot(channel.name))
