"""Who calls: what is told to the Parley server of the user behind a token ``user:secret``."""

import hmac


class Unknown(Exception):
    """Nobody we know; the message says what to do."""


def identify(token, login, redis_url, prefix):
    """The fields that tell the server who asks.

    Args:
        login: ``parley``: the token is the server's to check; ``course``: it was made by the course's login, and is
            checked in the platform's Redis; ``none``: everybody may ask, as one guest.

    Raises:
        Unknown: the token is nobody's.
    """
    if login == "none":
        return {"user": "guest"}
    if login not in ("parley", "course"):
        raise Unknown("PARLEY_LOGIN must be parley, course or none")
    if not isinstance(token, str) or not token:
        raise Unknown("please log in")
    if login == "parley":
        return {"token": token}
    user, _, secret = token.partition(":")
    if not user or user == "guest" or not secret or not known(user, secret, redis_url, prefix):
        raise Unknown("please log in again")
    return {"user": user}


def known(user, secret, redis_url, prefix):
    """Whether the course's login gave this secret to this user."""
    import redis  # part of the platform's runtime; only this way of logging in needs it

    if not redis_url:
        raise Unknown("REDIS_URL must be set where the course's login is used")
    try:
        with redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5) as client:
            kept = client.get(f"{prefix}TOKEN:{user}")
    except redis.RedisError as reason:
        raise Unknown(f"logins cannot be checked now ({type(reason).__name__})") from None
    # A key that is not there equals no secret, not even an empty one.
    return bool(kept) and hmac.compare_digest(kept, secret.encode())
