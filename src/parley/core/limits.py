"""Caps on everything. The figures are the defaults; an operator may set others."""

from msgspec import Struct


class Limits(Struct, frozen=True):
    """What one message, reply, conversation or client may take."""

    message_bytes: int = 256 * 1024  # one message
    reply_bytes: int = 1024 * 1024  # one reply; what is longer is cut short
    queue: int = 16  # messages waiting in one conversation
    active: int = 256  # conversations of one shard that wait for a reply or get one; more are refused
    backlog: float = 10.0  # seconds that turns may wait for slow workers before new ones are refused; 0: any
    log: int = 2_000  # events kept for readers that come back by cursor
    turns: int = 10_000  # turns in one conversation
    history_bytes: int = 8 * 1024 * 1024  # what is kept of one conversation
    title_bytes: int = 512  # a conversation's title
    key_chars: int = 255  # idempotency key
    client_queue_bytes: int = 256 * 1024  # frames waiting for one slow reader
    posts: int = 30  # messages a minute of one session or user; 0: any. The owner has no limit
    posts_per_address: int = 120  # the same of all sessions at one address, but this machine's own; 0: any
    sessions: int = 60  # sessions made a minute for one address, but this machine's own; 0: any
    logins: int = 10  # wrong passwords a minute for one name, and for one address; 0: any
    session_tokens: int = 0  # tokens a day (UTC) of one session or user; 0: any


class Lifetimes(Struct, frozen=True):
    """How long things live, in seconds."""

    conversation: int = 86_400  # sliding: every turn and read renews it
    cap: int = 0  # absolute, from the creation on; 0: none
    session_idle: int = 86_400  # a session nobody uses
    session_cap: int = 7 * 86_400  # any session, from its beginning on
    tombstone: int = 60  # how long a deleted conversation is remembered as deleted


class Timing(Struct, frozen=True):
    """How a worker holds and gives up turns, in seconds."""

    lease: float = 5.0  # a turn nobody renewed for so long may be taken over
    scan: float = 0.5  # how often expired leases are looked for
    first_token: float = 120.0  # longest wait for the first text of a reply
    stall: float = 60.0  # longest silence in mid-reply
    turn: float = 900.0  # longest turn
    queue_wait: float = 600.0  # a turn nobody took for so long fails
    attempts: int = 4  # tries without new progress
    attempts_total: int = 20  # tries in all
    isolate_from: int = 3  # the attempt from which a turn runs in a process of its own
