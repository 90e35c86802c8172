"""Links by which a conversation is read: who makes them, what they are made of, and whom they show it.

A link ends in a token: the conversation's id without its prefix, and 132 random bits. Only a hash of the token is at
rest, in the conversation itself, so that the link is gone with it. There is one link at a time.
"""

import hashlib
import hmac
import re
import secrets

from parley.core.errors import NotFound
from parley.server.auth import Principal
from parley.server.outbox import Frame, Outbox, frame
from parley.server.service import Service
from parley.wire import shared

PREFIX = "conv_"
TOKEN = re.compile(r"([0-9a-f]{34})[A-Za-z0-9_-]{22}")
# Who reads through a link is nobody in particular.
OWNER = "link:"
# The close code of a link that leads nowhere, or no longer.
GONE = 4404
NO_LONGER = "this link does not lead anywhere any more"

# No search engine is to list what is behind a link.
UNLISTED = {"x-robots-tag": "noindex, nofollow"}


def link_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


class Sharing:
    """The links of one deployment."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def share(self, who: Principal, conversation: str) -> str:
        """The token of a new link to someone's conversation; the one before it leads nowhere from now on.

        Raises:
            NotFound, Gone: no such conversation.
        """
        await self._service.require(who, conversation)
        token = conversation.removeprefix(PREFIX) + secrets.token_urlsafe(16)
        await self._service.conversations.share(conversation, link_of(token))
        return token

    async def revoke(self, who: Principal, conversation: str) -> None:
        """Let nobody read someone's conversation through a link; those who do so now are sent away.

        Raises:
            NotFound, Gone: no such conversation.
        """
        await self._service.require(who, conversation)
        await self._service.conversations.share(conversation, "")

    async def find(self, token: str) -> "Link":
        """The link that ends in a token.

        Raises:
            NotFound: `link_not_found`: it leads nowhere, or no longer.
            Unavailable: the store is out of reach.
        """
        match = TOKEN.fullmatch(token)
        kept = await self._service.conversations.shared(PREFIX + match[1]) if match else ""
        if match is None or not hmac.compare_digest(kept, link_of(token)):
            raise unknown_link()
        return Link(PREFIX + match[1], kept)


class Link:
    """A link that leads somewhere."""

    def __init__(self, conversation: str, kept: str) -> None:
        self.conversation = conversation
        self.kept = kept

    @property
    def reader(self) -> Principal:
        """Whoever reads through it."""
        return Principal(OWNER + self.kept, "")

    def outbox(self, limit: int) -> Outbox:
        """An outbox for one reader."""
        return SharedOutbox(limit, self.kept)


class SharedOutbox(Outbox):
    """The frames on their way to who reads through a link: less than the owner is sent, and none once it is over.

    What is sent begins with a snapshot and follows the log, so that the end of the link comes in its place: nothing
    that was written behind it is shown.
    """

    __slots__ = ("_link",)

    def __init__(self, limit: int, link: str) -> None:
        super().__init__(limit)
        self._link = link

    def put(self, frame: Frame) -> None:
        """Send a frame as it may be seen; close where the link ends."""
        told = link_in(frame)
        if told is not None and told != self._link:
            super().put(UNSHARED)
            self.close(GONE, NO_LONGER)
            return
        data = shared.shown(frame.kind, frame.data)
        super().put(frame if data is frame.data else Frame(frame.kind, data, frame.cursor, frame.turn))


def link_in(frame: Frame) -> str | None:
    """What a frame says of the link; None: nothing."""
    return shared.link(frame.kind, frame.data)


UNSHARED = frame("unshared")


def unknown_link() -> NotFound:
    """Unknown, revoked, or of a conversation that is gone: never told apart."""
    return NotFound("link_not_found", "This link does not lead anywhere, or no longer.")
