"""Logins as in the first seed: a name and a password for a token ``user:secret``, which goes into each request's body.

A user has one token at a time. Guessing is slow: hashes are compared a few at a time, and a name that was tried in
vain too often, or an address that tried too often in vain, is refused for a while, on every server.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Mapping

from parley.core.errors import TooMany, Unavailable
from parley.core.quota import Rate
from parley.models.secret import Secret
from parley.server import visit
from parley.server.auth import Principal, refused
from parley.server.passwords import GUEST, hash_password, matches
from parley.store.rates import TooFast
from parley.store.sessions import Sessions, token_hash
from parley.wire import serverless

# Hashes that are compared at once, and that may wait to be.
AT_ONCE, WAITING = 2, 32


class Logins:
    """The users of a deployment.

    Args:
        users: the hash of a password for each name.
        failures: so many a minute of one name, and of one address, but this machine's own; 0: any.
    """

    def __init__(self, users: Mapping[str, Secret], sessions: Sessions, failures: int) -> None:
        self._users = users
        self._sessions = sessions
        self._failures = failures
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
        if self._asking >= WAITING:
            raise TooMany("too_many_logins", "Too many try to log in.", retry_after=5)
        rates = self._rates(user)
        try:
            await self._sessions.rates.take(*rates)
        except TooFast as error:
            raise TooMany("too_many_logins", "Too many attempts to log in.", retry_after=error.retry_after) from None
        if not await self._is_right(user, password):
            return None
        with contextlib.suppress(Unavailable):
            await self._sessions.rates.give_back(*rates)
        secret = secrets.token_urlsafe(32)
        await self._sessions.log_in(user, secret)
        return f"{user}:{secret}"

    def _rates(self, user: str) -> list[Rate]:
        """What an attempt counts for, until it turns out to be right."""
        if not self._failures:
            return []
        # A name may be anything, and long.
        names = [f"login:{token_hash(user)[:32]}"]
        if address := visit.current().address:
            names.append(f"login:{address}")
        return [Rate(name, self._failures) for name in names]

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
