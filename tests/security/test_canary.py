"""X02, X21, X22, R13: marked secrets everywhere, every exception that can be forced, and then: where do they show?

Real processes, which log everything (DEBUG), on a Redis with a password. The model's server is the worst there is: it
tells whoever asks what it was told, credentials included, in answers of every kind.
"""

import contextlib
import http.server
import json
import os
import secrets
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis_servers import binaries
from tests.redis_servers import running as redis_running
from tests.system.deployment import PARLEY, Deployment, children, command_line, environment, until, workplace


def canary(name: str) -> str:
    return f"canary{name}{secrets.token_hex(12)}"


class Canaries:
    """One secret of each kind."""

    def __init__(self) -> None:
        self.access_key, self.redis, self.model_key = canary("access"), canary("redis"), canary("model")
        self.file_key, self.url_user, self.url_password = canary("file"), canary("user"), canary("url")
        self.instructions, self.text, self.answer = canary("system"), canary("said"), canary("heard")
        self.session = ""

    @property
    def credentials(self) -> dict[str, str]:
        """What never shows anywhere."""
        names = ("access_key", "redis", "model_key", "file_key", "url_user", "url_password", "session")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


FINE = 'data: {"choices":[{"index":0,"delta":{"content":"ANSWER"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class Telltale(http.server.BaseHTTPRequestHandler):
    """A model's server that repeats the whole request, in whatever form the last message asks for."""

    answer = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
        told = f"{self.path}\n{self.headers}\n{body}"
        want = json.loads(body)["messages"][-1]["content"].split()[0]
        status = int(want) if want.isdigit() else 200
        data = {
            "json": json.dumps({"error": {"message": told, "code": told}}),
            "garbage": f"data: {told}\n\n",
            "event": f"data: {json.dumps({'error': {'message': told}})}\n\n",
            "html": f"<html>{told}</html>",
            "fine": FINE.replace("ANSWER", self.answer),
        }.get(want, json.dumps({"error": {"message": told}}))
        if want == "broken":
            self.wfile.write(f"HTTP/1.1 {told}".encode())
            self.close_connection = True
            return
        self.send_response(status, told.split("\n")[1][:200] if want == "500" else None)
        self.send_header("content-type", "application/json" if data[0] == "{" else "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(data.encode())
        self.close_connection = True

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: it would go to the test's own output."""


@contextlib.contextmanager
def telltale(answer: str) -> Iterator[int]:
    handler = type("Handler", (Telltale,), {"answer": answer})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


KINDS = ("json", "garbage", "event", "html", "broken", "400", "401", "403", "404", "429", "500", "503", "fine")


class Talk:
    """Speaks to the deployment, and keeps what it answers."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token, self.heard = url, token, ""

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = f"{answer.headers}\n{answer.read().decode()}"
        except urllib.error.HTTPError as error:
            text = f"{error.headers}\n{error.read().decode()}"
        self.heard += text
        with contextlib.suppress(ValueError):
            return json.loads(text.partition("\n\n\n")[2] or text.partition("\n\n")[2])
        return {}

    def say(self, model: str, text: str, instructions: str) -> dict[str, Any]:
        """Say something, and wait for what becomes of it."""
        made = self.ask("POST", "/api/conversations", {"model": model, "instructions": instructions})
        path = f"/api/conversations/{made['id']}/turns"
        turn = self.ask("POST", path, {"input": text})["turn"]
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(self.ask("GET", f"{path}/{turn}"))
            return found.get("status") in ("completed", "failed", "incomplete", "cancelled")

        until(ended, 90, f"an end of {text!r}")
        for tail in ("", "/turns", "/queue"):
            self.ask("GET", f"/api/conversations/{made['id']}{tail}")
        return found


def found_in(text: str, secrets_: dict[str, str]) -> list[str]:
    return [name for name, value in secrets_.items() if value in text]


@pytest.mark.timeout(400)
def test_no_secret_shows_where_it_does_not_belong() -> None:
    marked = Canaries()
    with (
        workplace() as directory,
        redis_running(list(binaries().values())[-1], "--requirepass", marked.redis, tcp=True) as server,
        telltale(marked.answer) as port,
    ):
        env = configure(directory, marked, server.port, port)
        up = Deployment(directory, "--config", str(directory / "parley.toml"), **env)
        try:
            up.await_ready(90)
            heard = converse(up, marked, server)
            titles = "\n".join(command_line(pid) for pid in (up.pid, *children(up.pid)))
            kept = b"".join(path.read_bytes() for path in server.directory.rglob("*") if path.is_file())
        finally:
            family = children(up.pid)
            up.kill(signal.SIGTERM, 30)
            for pid in family:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        said, told = up.said(), commands(directory, env, marked, server.port)
    # The run was what it should be: it logged, it failed in all ways, and it kept what was said.
    assert "DEBUG" in said
    assert marked.text in kept.decode(errors="replace")
    assert marked.answer in heard
    # Logs: no credential, nothing that was said, nothing the model was told or said.
    private = {"instructions": marked.instructions, "text": marked.text, "answer": marked.answer}
    assert found_in(said, marked.credentials | private) == []
    # What a session is answered: its own words and their answer alone.
    assert found_in(heard, marked.credentials | {"instructions": marked.instructions}) == []
    assert found_in(titles, marked.credentials | private) == []
    # At rest: of tokens a hash alone.
    assert found_in(kept.decode(errors="replace"), marked.credentials) == []
    assert found_in(told, marked.credentials) == []


def configure(directory: Path, marked: Canaries, redis_port: int, port: int) -> dict[str, str]:
    """Secrets in a file, in the environment, in URLs; and logs of everything."""
    (directory / "sitecustomize.py").write_text("import logging\nlogging.basicConfig(level=logging.DEBUG)\n")
    (directory / "key").write_text(marked.file_key + "\n")
    (directory / "key").chmod(0o600)
    file = directory / "parley.toml"
    file.write_text(
        f"""
        [[models]]
        name = "key"
        url = "http://127.0.0.1:{port}/v1"
        model = "m"
        api_key = "{marked.model_key}"
        tries = 1

        [[models]]
        name = "url"
        url = "http://{marked.url_user}:{marked.url_password}@127.0.0.1:{port}/v1"
        model = "m"
        tries = 1

        [[models]]
        name = "away"
        url = "http://{marked.url_user}:{marked.url_password}@127.0.0.1:9/v1"
        model = "m"
        tries = 1
        """
    )
    file.chmod(0o600)
    path = os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH", "")]))
    return {
        "PARLEY_ACCESS_KEY": marked.access_key,
        "PARLEY_REDIS": f"redis://:{marked.redis}@127.0.0.1:{redis_port}/0",
        "PARLEY_MODEL_KEY_FILE": str(directory / "key"),
        "PARLEY_MODEL_URL": f"http://127.0.0.1:{port}/v1",
        "PARLEY_MODEL": "m",
        "PYTHONPATH": path,
    }


def converse(up: Deployment, marked: Canaries, server: Any) -> str:
    """Let everything go wrong that can, as a session; what it was answered."""
    owner = Talk(up.url, marked.access_key)
    marked.session = owner.ask("POST", "/api/sessions", {"name": "Ann"})["token"]
    session = Talk(up.url, marked.session)
    threads = []
    # Rates are not what is tried here: a few kinds for each session.
    for model, kinds in (("key", KINDS), ("url", ("json", "500", "broken")), ("away", ("x",)), ("m", ("401", "fine"))):
        for kind in kinds:
            work = threading.Thread(target=session.say, args=(model, f"{kind} {marked.text}", marked.instructions))
            work.start()
            threads.append(work)
    for work in threads:
        work.join(120)
    for path in ("/metrics", "/debug", "/api/config", "/api/models", "/v1/models", "/nowhere", "/healthz", "/readyz"):
        session.ask("GET", path)
    for body in ({"input": 5}, {"nonsense": marked.text}, [marked.text]):
        session.ask("POST", "/v1/responses", body)
    session.ask("POST", "/api/sessions", {"name": "Bob"})
    # A token of the second seed travels in the address.
    seed = owner.ask("POST", "/token?name=Ann")
    if isinstance(seed, dict) and "token" in seed:
        session.ask("GET", f"/refresh_token?token={seed['token']}")
        assert seed["token"] not in up.said()
    # The store goes away under it all, and comes back.
    server.kill(signal.SIGTERM)
    for path in ("/api/conversations", "/v1/models", "/readyz"):
        session.ask("GET", path)
    server.start()
    until(lambda: "data" in session.ask("GET", "/api/conversations"), 60, "the store")
    return session.heard


def commands(directory: Path, env: dict[str, str], marked: Canaries, redis_port: int) -> str:
    """What the commands say that show settings, and that fail on them."""
    told = ""
    wrong = {"PARLEY_REDIS": f"redis://:{marked.model_key}@127.0.0.1:{redis_port}/0"}
    odd = {"PARLEY_REDIS": f"nonsense://{marked.redis}@h:port/0"}
    config = ("--config", str(directory / "parley.toml"))
    for verb, more in (
        (("config",), {}),
        (("doctor",), {}),
        (("serve", "--port", "1"), wrong),
        (("doctor",), wrong),
        (("serve",), odd),
        (("doctor",), {"PARLEY_MODEL_URL": f"http://{marked.url_user}:{marked.url_password}@127.0.0.1:9/v1"}),
        (("config",), {"PARLEY_PORT": "x"}),
    ):
        began = time.monotonic()
        ran = subprocess.run(
            [*PARLEY, *verb, *config],
            capture_output=True,
            text=True,
            timeout=90,
            env=environment(**env | more),
            check=False,
        )
        told += ran.stdout + ran.stderr
        assert time.monotonic() - began < 90
    return told
