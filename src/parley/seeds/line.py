"""A message in one line, as the course writes it: ``role:content``, split at the first colon."""

from parley.core.message import Message, Role

ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant")


def parse(line: str) -> Message:
    """Read a line.

    Raises:
        TypeError: it is no text.
        ValueError: it has no colon, its role is none of `ROLES`, or its text cannot be stored.
    """
    if not isinstance(line, str):
        raise TypeError(f"a message is text, role:content, not {type(line).__name__}")
    role, colon, content = line.partition(":")
    if not colon:
        raise ValueError("a message is role:content; there is no colon in it")
    for known in ROLES:
        if role == known:
            break
    else:
        raise ValueError(f"a message begins with one of {', '.join(ROLES)}, not {role[:30]!r}")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise ValueError("a message is Unicode text; this holds half a character (a lone surrogate)") from None
    return Message(known, content)
