"""Passwords of the users who may log in: kept as scrypt hashes, ``scrypt$<n>$<r>$<p>$<salt>$<hash>`` (base64)."""

import base64
import hashlib
import hmac
import re
import secrets

from parley.wire.serverless import USER

# One of OWASP's recommendations for scrypt: 16 MB a guess, and some 200 ms.
COST, BLOCK, PARALLEL = 2**14, 8, 5
MEMORY = 64 * 1024 * 1024
HASH = re.compile(r"scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/]{22,}={0,2})\$([A-Za-z0-9+/]{43,}={0,2})")
# Whoever asks through an action that lets everybody ask.
GUEST = "guest"


def hash_password(password: str) -> str:
    """The hash to keep of a password; another one each time."""
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"


def is_hash(text: str) -> bool:
    """Whether a text is a hash that passwords can be compared with."""
    match = HASH.fullmatch(text)
    if match is None:
        return False
    cost, block, parallel = map(int, match.groups()[:3])
    return cost > 1 and cost.bit_count() == 1 and block > 0 < parallel and 128 * cost * block < MEMORY


def matches(password: str, kept: str) -> bool:
    """Whether a password is the one that a hash was kept of. Takes its time: not for the event loop.

    Raises:
        ValueError: this is not a hash.
    """
    match = HASH.fullmatch(kept)
    if match is None or not is_hash(kept):
        raise ValueError("not a hash of a password")
    salt, hashed = base64.b64decode(match[4]), base64.b64decode(match[5])
    return hmac.compare_digest(_scrypt(password, salt, *map(int, match.groups()[:3]), size=len(hashed)), hashed)


def is_user(name: str) -> bool:
    """Whether somebody may be called this."""
    return name != GUEST and USER.fullmatch(name) is not None


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int, *, size: int = 32) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=MEMORY, dklen=size)
