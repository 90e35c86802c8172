"""Rows of the catalogue that take more than a line."""

import contextlib
import json
import socket
import struct
from typing import Any

import pytest

from tests.badinput import frames
from tests.badinput.place import KEY, Place
from tests.server.shared import read_answer
from tests.system.deployment import until

K = 1024
BEARER = {"Authorization": f"Bearer {KEY}"}
ODD_BUT_FINE = {
    "combining marks": "\u0300" * 100_000,
    "right to left": "\u202e abc \u202c",
    "zalgo": "Z͑ͫ̓ͪ̂ͫ̽",
    "markup": "<script>alert(1)</script>",
    "a chat template": "<|im_end|>",
    "an escape sequence": "\x1b[31mred",
    "a line separator": "a\u2028b",
    "joined emoji": "🤷🏽‍♀️" * 100,
}


def head(parley: Place, *lines: str) -> bytes:
    first = ("POST /api/conversations HTTP/1.1", f"Host: {parley.host}", f"Authorization: Bearer {KEY}")
    return "\r\n".join([*first, "Content-Type: application/json", *lines, "", ""]).encode()


@pytest.mark.parametrize("text", ODD_BUT_FINE.values(), ids=ODD_BUT_FINE)
def test_odd_text_is_kept_to_the_byte(parley: Place, text: str) -> None:
    """B29"""
    name = parley.ask("POST", "/api/conversations", {})["id"]
    said = parley.ask("POST", f"/api/conversations/{name}/turns", {"input": text})
    turn = parley.ask("GET", f"/api/conversations/{name}/turns/{said['turn']}")
    assert turn["request"]["input"][0]["content"] == text


def test_a_key_counts_in_one_conversation(parley: Place) -> None:
    """B41"""
    turns: list[Any] = []
    for _ in range(2):
        name = parley.ask("POST", "/api/conversations", {})["id"]
        with frames.opened(parley.port, "/api/socket", BEARER) as link:
            said = {"type": "say", "conversation": name, "input": "x", "key": "k"}
            link.send(frames.encode(1, json.dumps(said).encode()))
            turns.append(json.loads(link.receive()[1]))
    assert [(each["type"], each["replayed"]) for each in turns] == [("receipt", False)] * 2
    assert turns[0]["conversation"] != turns[1]["conversation"]


def test_allow_names_every_method(parley: Place) -> None:
    """B22"""
    with socket.create_connection(("127.0.0.1", parley.port), timeout=20) as link:
        link.sendall(f"PUT /api/conversations HTTP/1.1\r\nHost: {parley.host}\r\n\r\n".encode())
        assert set(read_answer(link).headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_expect_continue(parley: Place) -> None:
    """B78"""
    with socket.create_connection(("127.0.0.1", parley.port), timeout=20) as link:
        link.sendall(head(parley, "Content-Length: 2", "Expect: 100-continue", "Connection: close"))
        assert link.recv(100).startswith(b"HTTP/1.1 100 Continue")
        link.sendall(b"{}")
        assert read_answer(link).status == 201


def test_a_body_that_is_too_long_is_not_read_on(parley: Place) -> None:
    """B12, B13: what the kernel takes before it hears of the end is not read."""
    for line in (f"Content-Length: {64 * K * K}", "Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", parley.port), timeout=20) as link:
            link.sendall(head(parley, line))
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent < 64 * K * K:
                    link.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n" if "chunked" in line else b" " * 65_536)
                    sent += 65_536
            assert sent < 16 * K * K


def open_sockets(parley: Place) -> int:
    """Established connections to the server, told by its side."""
    local = f"0100007F:{parley.port:04X}"
    count = 0
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            count += fields[1] == local and fields[3] in ("01", "08")  # ESTABLISHED, CLOSE_WAIT
    return count


@pytest.mark.parametrize("by_reset", [False, True])
def test_a_client_that_is_gone_frees_its_place(parley: Place, by_reset: bool) -> None:
    """B73"""
    until(lambda: open_sockets(parley) == 0, what="an idle server")
    with frames.opened(parley.port, "/api/socket", BEARER) as link:
        assert open_sockets(parley) == 1
        if by_reset:
            link.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()
    until(lambda: open_sockets(parley) == 0, what="the place of the one who left")


def test_a_client_that_closes_its_sending_half_is_let_go(parley: Place) -> None:
    """B73"""
    with frames.opened(parley.port, "/api/socket", BEARER) as link:
        link.connection.shutdown(socket.SHUT_WR)
        while link.receive()[0] != "end":
            pass
    until(lambda: open_sockets(parley) == 0, what="the place of the one who left")
