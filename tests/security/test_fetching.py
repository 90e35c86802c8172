"""X20, X28: nothing a client says is fetched, and what a model's server sends is read up to its limits only."""

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.models.helpers import ask_raw, raw_server, sends
from tests.models.helpers import run as run_model
from tests.server.shared import Shared, shared

# A trap on this machine, in every way its address can be written, and what else must never be asked.
URLS = [
    "http://127.0.0.1:PORT/", "http://127.1:PORT/", "http://127.0.1:PORT/", "http://2130706433:PORT/",
    "http://0x7f000001:PORT/", "http://0x7f.0.0.1:PORT/", "http://0177.0.0.1:PORT/", "http://017700000001:PORT/",
    "http://0:PORT/", "http://0.0.0.0:PORT/", "http://localhost:PORT/", "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/", "http://[::1]:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://[::ffff:7f00:1]:PORT/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/", "http://[::]:PORT/", "http://127.0.0.1:PORT/a.png",
    "http://user@127.0.0.1:PORT/", "http://user:pass@127.0.0.1:PORT/", "http://example.com@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@example.com/", "http://127.0.0.1:PORT#@example.com/", "http://127.0.0.1:PORT?@example.com/",
    "http://127.0.0.1:PORT\\@example.com/", "http://127.0.0.1:PORT/?api.openai.com", "http:127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/", "//127.0.0.1:PORT/", "HTTP://127.0.0.1:PORT/", "https://127.0.0.1:PORT/",
    " http://127.0.0.1:PORT/", "http://①②⑦.⓪.⓪.①:PORT/", "http://127。0。0。1:PORT/", "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_x", "ws://127.0.0.1:PORT/", "file:///etc/passwd", "dict://127.0.0.1:PORT/x",
    "http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/", "http://[fd00:ec2::254]/",
    "jar:http://127.0.0.1:PORT!/", "data:text/html,<img src=http://127.0.0.1:PORT/>", "blob:http://127.0.0.1:PORT/x",
]  # fmt: skip


class Trap:
    """Listens at all addresses of this machine that these URLs can mean, and remembers who came."""

    def __init__(self) -> None:
        self.caught: list[str] = []
        self._link = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port: int = self._link.getsockname()[1]
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            try:
                link, where = self._link.accept()
            except OSError:
                return
            self.caught.append(str(where))
            link.close()

    def close(self) -> None:
        self._link.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared() as made:
        yield made


def test_no_url_of_a_client_is_fetched(server: Shared) -> None:
    """Wherever a URL can be said: refused, or kept as text. A model's address is the operator's alone."""
    assert len(URLS) >= 40
    trap = Trap()
    try:
        conversation = json.loads(server.request("POST", "/api/conversations", b"{}").body)["id"]
        for url in (each.replace("PORT", str(trap.port)) for each in URLS):
            for path, body, most in asked(url, conversation):
                answer = server.request("POST", path, json.dumps(body).encode())
                assert 200 <= answer.status < most, (path, url, answer.raw[:300])
                if most == 500:
                    assert answer.status == 400, (path, url, answer.raw[:300])
        with socket.create_connection(("127.0.0.1", trap.port)):
            pass  # the trap works
        while not trap.caught:
            pass
        assert len(trap.caught) == 1
    finally:
        trap.close()


def asked(url: str, conversation: str) -> list[tuple[str, dict[str, Any], int]]:
    """Requests with a URL in each place; those that must be refused have 500 as the first status that is wrong."""
    native = f"/api/conversations/{conversation}/turns"
    said = {"model": "m", "input": "x", "background": True}
    image = [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]
    file = [{"role": "user", "content": [{"type": "input_file", "file_url": url}]}]
    extra = {"base_url": url, "api_base": url, "api_key": "x", "x_base_url": url}
    return [
        (native, {"input": [{"content": "x", "images": [{"url": url}]}]}, 500),
        (native, {"input": "x", "base_url": url}, 500),
        (native, {"input": "x", "api_base": url}, 500),
        (native, {"input": "x", "parameters": {"base_url": url}}, 500),
        ("/v1/responses", said | {"input": image}, 500),
        ("/v1/responses", said | {"input": file}, 500),
        ("/v1/responses", said | extra, 300),
    ]  # fmt: skip


def test_compressed_bytes_of_a_model_are_never_unpacked() -> None:
    """X28: 64 MB in 64 kB, said or not said to be compressed: an error, and nothing of the size is ever held."""
    bomb = gzip.compress(b"data: " + b"a" * (64 << 20), 9)
    assert len(bomb) < 1 << 17

    async def main() -> None:
        import tracemalloc

        for headers in ("Content-Encoding: gzip\r\n", "Content-Encoding: deflate, gzip\r\n", ""):
            async with raw_server(sends(bomb, headers=headers)) as raw:
                tracemalloc.start()
                heard = await ask_raw(raw)
                most = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert heard.text == ""
                assert heard.error is not None or headers == ""
                assert most < 16 << 20
        await asyncio.sleep(0)

    run_model(main)
