"""The replies of one conversation that this client waits for, fed from one follow."""

from collections.abc import Callable

import msgspec

from parley.client.errors import Error, NotFound, ServerFault
from parley.client.fold import Gap
from parley.client.link import Link
from parley.client.progress import Notice, Progress
from parley.client.values import Frame, snapshot_decoder
from parley.core.cursor import sequence
from parley.wire.frames import decode_event


class Feed:
    """Hands the frames of a conversation to the replies they are about.

    A reply folds what it is given twice only once, so following from an earlier cursor for the sake of one reply
    does no harm to the others.

    Args:
        lost: called with a reply that a snapshot does not show; whoever asked finds out what became of it.
    """

    def __init__(self, link: Link, conversation: str, lost: Callable[[Progress], None]) -> None:
        self.conversation = conversation
        self._link = link
        self._lost = lost
        self._cursor: str | None = None
        self._replies: set[Progress] = set()
        self._following = False

    def join(self, reply: Progress, after: str | None) -> None:
        """Feed a reply whose turn was accepted at the cursor `after`; None: from a snapshot."""
        self._replies.add(reply)
        if self._following and self._cursor is None:
            return  # a snapshot is on its way
        if self._following and after and self._cursor and sequence(self._cursor) < sequence(after):
            return  # what follows will come
        self._follow(after)

    def leave(self, reply: Progress) -> bool:
        """Feed a reply no more. Tells whether nobody is left."""
        self._replies.discard(reply)
        if not self._replies:
            self._following = False
            self._link.unwatch(self)
        return not self._replies

    def position(self) -> str | None:
        """The cursor to follow from."""
        return self._cursor

    def frame(self, frame: Frame) -> None:
        """Hand a frame on."""
        if frame.type == "snapshot":
            self._snapshot(frame)
            return
        if frame.type == "deleted":
            self.refused(NotFound("The conversation was deleted.", code="conversation_deleted"))
            return
        for reply in [one for one in self._replies if one.turn == frame.turn]:
            if frame.type == "status":
                reply.notice(Notice("waiting", seconds=frame.seconds))
            else:
                self._fold(reply, frame)
        # A gap has set it to None: then it is a snapshot that goes on.
        if frame.cursor and self._cursor is not None:
            self._cursor = frame.cursor

    def refused(self, error: Error) -> None:
        """The conversation cannot be followed."""
        self._following = False
        for reply in list(self._replies):
            reply.fail(error)

    def _follow(self, after: str | None) -> None:
        self._cursor, self._following = after, True
        self._link.watch(self)

    def _fold(self, reply: Progress, frame: Frame) -> None:
        try:
            reply.fold(decode_event(frame.raw))
        except msgspec.ValidationError:
            return  # a kind of event of a later version: the log goes on
        except Gap:
            self._follow(None)

    def _snapshot(self, frame: Frame) -> None:
        snapshot = snapshot_decoder.decode(frame.raw)
        self._cursor = snapshot.cursor
        turns = {turn.turn: turn for turn in snapshot.turns}
        for reply in list(self._replies):
            if reply.turn not in turns:
                self._lost(reply)
                continue
            try:
                reply.restore(turns[reply.turn])
            except Gap as error:
                reply.fail(ServerFault(f"The server contradicts itself: {error}."))
