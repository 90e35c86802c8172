"""Logins as in the first seed: a name and a password for a token ``user:secret``, which goes into each request's body.

A user has one token at a time. Guessing is slow: hashes are compared a few at a time, and a name that was tried in
vain too often is refused for a while.
"""

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

from parley.core.errors import TooMany
from parley.models.secret import Secret
from parley.server.auth import Principal, refused
from parley.server.passwords import GUEST, hash_password, matches
from parley.store.sessions import Sessions
from parley.wire import serverless

# So many failures of one name in so many seconds are refused unseen; names remembered at most.
FAILURES, SECONDS = 10, 60.0
REMEMBERED = 10_000
# Hashes that are compared at once, and that may wait to be.
AT_ONCE, WAITING = 2, 32


class Logins:
    """The users of a deployment.

    Args:
        users: the hash of a password for each name.
        clock: seconds that only grow.
    """

    def __init__(self, users: Mapping[str, Secret], sessions: Sessions, clock: Callable[[], float]) -> None:
        self._users = users
        self._sessions = sessions
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._asking = 0
        self._nobody: str | None = None

    @property
    def any(self) -> bool:
        """Whether anybody may log in."""
        return bool(self._users)

    async def log_in(self, user: str, password: str) -> str | None:
        """A new token for a user, ending the one before; None when name or password are wrong.

        Raises:
            TooMany: the name was tried in vain too often, or too many try at once.
            Unavailable: the store is out of reach.
        """
        failures = self._failures.get(user, deque())
        while failures and failures[0] < self._clock() - SECONDS:
            failures.popleft()
        if len(failures) >= FAILURES or self._asking >= WAITING:
            raise TooMany("too_many_logins", "Too many attempts to log in.", retry_after=SECONDS)
        if not await self._is_right(user, password):
            self._failures[user] = failures
            self._failures.move_to_end(user)
            failures.append(self._clock())
            if len(self._failures) > REMEMBERED:
                self._failures.popitem(last=False)
            return None
        self._failures.pop(user, None)
        secret = secrets.token_urlsafe(32)
        await self._sessions.log_in(user, secret)
        return f"{user}:{secret}"

    async def _is_right(self, user: str, password: str) -> bool:
        self._asking += 1
        try:
            async with self._room:
                if self._nobody is None:
                    self._nobody = await asyncio.to_thread(hash_password, secrets.token_hex())
                known = self._users.get(user)
                # A name that is not there takes as long as one that is.
                kept = known.reveal() if known is not None else self._nobody
                return await asyncio.to_thread(matches, password, kept) and known is not None
        finally:
            self._asking -= 1

    async def of_token(self, token: str) -> Principal:
        """Whose token this is.

        Raises:
            Unauthenticated: nobody's; one with an empty secret never is anybody's.
            Unavailable: the store is out of reach.
        """
        parsed = serverless.parse_token(token)
        if parsed is None or not await self._sessions.is_logged_in(*parsed):
            raise refused()
        return principal_of_user(parsed[0])


def principal_of_user(user: str) -> Principal:
    """A user by name."""
    return Principal(f"user:{user}", user)


GUESTS = principal_of_user(GUEST)
