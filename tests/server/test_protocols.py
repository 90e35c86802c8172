"""What is sent on a socket below the messages: each breach is closed with its code (B60 to B69)."""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.server.shared import Shared, shared

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared() as made:
        yield made


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
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


@contextlib.contextmanager
def opened(server: Shared, path: str = "/api/socket") -> Iterator[socket.socket]:
    """A socket after its handshake."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as link:
        link.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += link.recv(1)
        assert b" 101 " in head
        assert b"permessage-deflate" not in head
        yield link


def close_code(link: socket.socket) -> int:
    """The code of the close frame that comes, behind whatever comes before."""
    stream = link.makefile("rb")
    while True:
        first, length = stream.read(2)
        if length == 126:
            (length,) = struct.unpack("!H", stream.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", stream.read(8))
        payload = stream.read(length)
        if first & 15 == CLOSE:
            code: int = struct.unpack("!H", payload[:2])[0]
            return code


MASK = b"\0\0\0\0"
BREACHES: list[tuple[str, bytes, int]] = [
    ("B62 unmasked", frame(TEXT, b"{}", masked=False), 1002),
    ("B63 bad UTF-8", frame(TEXT, b"\xff\xfe"), 1007),
    ("B63 split", frame(TEXT, b"\xc3", fin=False) + frame(0, b"("), 1007),
    ("B64 reserved opcode", frame(3, b""), 1002),
    ("B64 RSV1", frame(TEXT, b"{}", reserved=0x40), 1002),
    ("B64 fragmented ping", frame(PING, b"", fin=False), 1002),
    ("B64 long ping", frame(PING, b"x" * 126), 1002),
    ("B64 continuation first", frame(0, b"x"), 1002),
    ("B64 text in text", frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
    ("B65 2^63 bytes", b"\x81\xff" + struct.pack("!Q", 2**63) + MASK, 1009),
    ("B65 2^62 bytes", b"\x81\xff" + struct.pack("!Q", 2**62) + MASK, 1009),
    ("B65 one byte too many", frame(TEXT, b"x" * (1024 * 1024 + 1)), 1009),
    ("B65 fragments", frame(TEXT, b"x" * 65_536, fin=False) + frame(0, b"x" * 65_536, fin=False) * 16, 1009),
    ("B65 empty fragments", frame(TEXT, b"", fin=False) + (b"\x00\x80" + MASK) * 20_000, 1009),
    ("B66 binary", frame(BINARY, b"{}"), 1003),
    ("B67 deflated", frame(TEXT, b"\xaa\x56\x4a", reserved=0x40), 1002),
    ("B68 pings", (b"\x89\x80" + MASK) * 10_000, 4429),
    ("B69 code 1005", frame(CLOSE, struct.pack("!H", 1005)), 1002),
    ("B69 code 999", frame(CLOSE, struct.pack("!H", 999)), 1002),
    ("B69 code 5000", frame(CLOSE, struct.pack("!H", 5000)), 1002),
    ("B69 one byte", frame(CLOSE, b"\x03"), 1002),
    ("B72 messages", frame(TEXT, b'{"type":"ping"}') * 400, 4429),
    ("closed", frame(CLOSE, struct.pack("!H", 1000)), 1000),
]  # fmt: skip


@pytest.mark.parametrize(("data", "code"), [row[1:] for row in BREACHES], ids=[row[0] for row in BREACHES])
def test_breach(server: Shared, data: bytes, code: int) -> None:
    with opened(server) as link:
        with contextlib.suppress(ConnectionError):
            link.sendall(data)
        assert close_code(link) == code
    assert server.request("GET", "/healthz").status == 200


def test_a_client_that_is_gone_frees_its_place(server: Shared) -> None:
    """B73"""
    hub = server.home.served[0].server.app.parts.hub
    for linger in (False, True):
        with opened(server) as link:
            if linger:  # leave by RST
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        deadline = time.monotonic() + 5
        while hub._outboxes:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_client_that_closes_its_sending_half_is_let_go(server: Shared) -> None:
    """B73"""
    with opened(server) as link:
        link.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while link.recv(65_536):
                pass
