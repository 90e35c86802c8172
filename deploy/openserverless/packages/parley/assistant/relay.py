"""The platform's streamer: a socket that relays what it reads, 2,048 bytes at a time, with no framing of its own.

Hence the rules: connect always, and once; one object a send, ASCII, at most 2,048 bytes; no two within 20 ms, and
no delay by the network stack, so that each is read alone; never an empty output, at which a reader stops; ``{}`` and
close at the end.
"""

import ipaddress
import json
import re
import socket
import time

OBJECT_BYTES = 2_048
SPACING_SECONDS = 0.021
CONNECT_SECONDS = 5.0
SEND_SECONDS = 30.0


class Refused(Exception):
    """The address is not one this action may connect to."""


def connect(args, allowed):
    """Connect to the streamer that calls; None when none does.

    Args:
        args: may name one by ``STREAM_HOST`` and ``STREAM_PORT``. Whoever calls the action can set both, so only
            hosts that are allowed are taken.
        allowed: names, addresses and networks (``10.42.0.0/16``), with spaces or commas between.

    Raises:
        Refused: it is not allowed, or malformed.
        OSError: it cannot be reached.
    """
    host, port = args.get("STREAM_HOST"), args.get("STREAM_PORT")
    if not host and not port:
        return None
    named = isinstance(host, str) and host
    if not named or not re.fullmatch(r"[0-9]{1,5}", str(port)) or not 1024 <= int(port) <= 65535:
        raise Refused("STREAM_HOST and STREAM_PORT must name a stream")
    address = checked(host, [word for word in re.split(r"[\s,]+", allowed) if word])
    link = socket.create_connection((address, int(port)), timeout=CONNECT_SECONDS)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.settimeout(SEND_SECONDS)
    return Listener(link)


def checked(host, allowed):
    """The address to connect to, when the host may be: it is what was checked, and is not looked up again.

    Raises:
        Refused, OSError.
    """
    try:
        found = socket.getaddrinfo(host, None, socket.AF_UNSPEC, socket.SOCK_STREAM)[0][4][0]
    except UnicodeError:
        raise Refused("STREAM_HOST is no host") from None
    if host in allowed:
        return found
    address = ipaddress.ip_address(found.partition("%")[0])
    for word in allowed:
        try:
            network = ipaddress.ip_network(word, strict=False)
        except ValueError:
            continue  # a name
        if address in network:
            return found
    raise Refused("streams to that host are not allowed: PARLEY_STREAM_ALLOW does not name it")


class Listener:
    """The other end of the stream."""

    def __init__(self, link):
        self._link = link
        self._last = 0.0
        self._gone = False

    def tell(self, item):
        """Send an object's state and output, each alone. Tells whether anybody still listens."""
        if item.get("state"):
            self._send({"state": item["state"]})
        for text in cut(item.get("output") or ""):
            self._send({"output": text})
        return not self._gone

    def end(self):
        """Say that this was all, and hang up."""
        self._send({})
        self._link.close()

    def _send(self, item):
        if self._gone:
            return
        wait = self._last + SPACING_SECONDS - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        try:
            self._link.sendall(json.dumps(item).encode())
        except OSError:
            self._gone = True
        self._last = time.monotonic()


def cut(text):
    """Cut a text so that each part is at most 2,048 bytes as an object, whatever its characters are written as."""
    part, size = [], len('{"output": ""}')
    for character in text:
        more = len(json.dumps(character)) - 2
        if size + more > OBJECT_BYTES:
            yield "".join(part)
            part, size = [], len('{"output": ""}')
        part.append(character)
        size += more
    if part:
        yield "".join(part)
