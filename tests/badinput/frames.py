"""A WebSocket client that says exactly what it is told, frame by frame (RFC 6455, section 5), right or wrong.

A frame is written as ``text {"type":"ping"}``: the opcode's name (or ``op3`` for a reserved one) and the payload.
In front of it may stand ``-`` (more fragments follow), ``unmasked``, ``rsv1`` to ``rsv3``, and ``20 x`` for as many.
``close 1000 bye`` has a code in its payload; ``raw 81 ff`` is just these bytes; ``half`` shuts our sending side.
"""

import contextlib
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping

from tests.badinput.rows import expand

OPCODES = {"cont": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
NAMES = {number: name for name, number in OPCODES.items()}
WRITTEN = re.compile(r"(?:(\d+) x )?(-)?(?:(unmasked) )?(?:(rsv[123]) )?([a-z]+\d*) ?(.*)", re.DOTALL)


def encode(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A client's frame."""
    head = bytes([(0x80 if fin else 0) | reserved | opcode])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65_536:
        head += struct.pack("!BH", bit | 126, len(payload))
    else:
        head += struct.pack("!BQ", bit | 127, len(payload))
    if not masked:
        return head + payload
    key = os.urandom(4)
    mask = (key * (len(payload) // 4 + 1))[: len(payload)]
    body = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(payload), "big")
    return head + key + body


def written(text: str, names: Mapping[str, str]) -> bytes:
    """The bytes of frames as they are written in the catalogue."""
    match = WRITTEN.fullmatch(text)
    assert match is not None, text
    times, more, unmasked, reserved, name, rest = match.groups()
    if name == "raw":
        return expand(rest, names) if "{{" in rest else bytes.fromhex(rest)
    payload = expand(rest, names)
    if name == "close" and (code := re.match(rb"(\d+) ?", payload)):
        payload = struct.pack("!H", int(code[1])) + payload[code.end() :]
    opcode = int(name[2:]) if name.startswith("op") else OPCODES[name]
    bits = 0x80 >> int(reserved[3]) if reserved else 0
    return encode(opcode, payload, fin=not more, masked=not unmasked, reserved=bits) * int(times or 1)


class Link:
    """A socket after its handshake."""

    def __init__(self, connection: socket.socket, head: bytes) -> None:
        self.connection = connection
        self.head = head
        self._stream = connection.makefile("rb")

    def close(self) -> None:
        """Be gone."""
        self._stream.close()
        self.connection.close()

    def send(self, data: bytes, chop: int = 0) -> None:
        """Write, in pieces of so many bytes if wanted. That the server has closed already is found when reading."""
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(data), chop or len(data) or 1):
                self.connection.sendall(data[at : at + (chop or len(data))])

    def receive(self) -> tuple[str, bytes]:
        """The next frame: its name and payload. The end of the stream reads as ``("end", b"")``."""
        with contextlib.suppress(ConnectionError):
            head = self._stream.read(2)
            if len(head) == 2:
                assert head[0] & 0x70 == 0, "a reserved bit without an extension (section 5.2)"
                assert head[1] & 0x80 == 0, "a server does not mask (section 5.1)"
                length = head[1]
                if length == 126:
                    (length,) = struct.unpack("!H", self._stream.read(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", self._stream.read(8))
                return NAMES[head[0] & 15], self._stream.read(length)
        return "end", b""

    def close_code(self) -> int:
        """The code of the close frame that comes, behind whatever comes before; 0: there is none."""
        name = ""
        while name != "end":
            name, payload = self.receive()
            if name == "close":
                return int(struct.unpack("!H", payload[:2])[0]) if payload else 1005
        return 0


@contextlib.contextmanager
def opened(port: int, path: str, headers: Mapping[str, str], *, window: int = 0) -> Iterator[Link]:
    """A socket to a server on this machine.

    Args:
        window: its receive buffer in bytes; 0: the system's.
    """
    with socket.socket() as connection:
        connection.settimeout(20)
        if window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.connect(("127.0.0.1", port))
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        head = b""
        while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
            head += byte
        link = Link(connection, head)
        try:
            yield link
        finally:
            link.close()
