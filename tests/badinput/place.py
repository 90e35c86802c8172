"""Where the catalogue is tried: a whole `parley up` with an access key, and what its rows speak of."""

import contextlib
import http.client
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.system.deployment import Deployment, configuration, deployment, until, upstream, workplace

ORIGIN = "https://app.example"
KEY = "k" * 40
SETTINGS = """
access_key = "{key}"
origins = ["{origin}"]
shards = 4
[[models]]
name = "model"
kind = "openai"
url = "{url}"
model = "scripted"
{more}
"""
# What a server that was only sent nonsense has no reason to write down.
FAULTS = ("Traceback", "Error", " failed", "exception")


class Place:
    """A deployment, who may speak to it, and names of what is in it.

    Attributes:
        names: what ``{{…}}`` in a row stands for.
    """

    def __init__(self, up: Deployment) -> None:
        self.up = up
        self.port = up.port
        self.host = f"127.0.0.1:{up.port}"
        self.tokens = {"owner": KEY, "nobody": ""}
        self.names = {"host": self.host, "port": str(up.port), "key": KEY, "token": "tt_" + secrets.token_urlsafe(32)}
        self._read = 0

    def furnish(self) -> None:
        """Make what rows speak of."""
        self.tokens["session"] = self.ask("POST", "/api/sessions", {"name": "Ann"})["token"]
        self.names["chat_token"] = self.ask("POST", "/token?name=Ann")["token"]
        made = self.ask("POST", "/api/conversations", {"title": "x"})["id"]
        self.names["conversation"] = made
        self.names["foreign"] = self.ask("POST", "/api/conversations", {}, caller="session")["id"]
        gone = self.ask("POST", "/api/conversations", {})["id"]
        self.ask("DELETE", f"/api/conversations/{gone}")
        self.names["deleted"] = gone
        said = self.ask("POST", f"/api/conversations/{made}/turns", {"input": "hello"})
        self.names["turn"], self.names["response"] = said["turn"], said["response"]
        path = f"/api/conversations/{made}/turns/{said['turn']}"
        until(lambda: self.ask("GET", path)["status"] == "completed", what="the first answer")
        theirs = {"input": "hello", "model": "model", "background": True}
        self.names["foreign_response"] = self.ask("POST", "/v1/responses", theirs, caller="session")["id"]

    def ask(self, method: str, path: str, body: Any = None, *, caller: str = "owner") -> Any:
        """A good request; replies its JSON."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.tokens[caller]}", "Content-Type": "application/json"}
        with contextlib.closing(link):
            link.request(method, path, None if body is None else json.dumps(body), headers)
            answer = link.getresponse()
            data = answer.read()
            assert answer.status < 300, (answer.status, data[:300])
            return json.loads(data)

    def faults(self) -> list[str]:
        """What it wrote since it was asked last that tells of a fault of its own."""
        said = self.up.said()
        new, self._read = said[self._read :], len(said)
        return [line for line in new.splitlines() if any(word in line for word in FAULTS)]

    def pids(self) -> list[int]:
        """The web server's processes."""
        return self.up.parts("serve")


@contextlib.contextmanager
def place(*, arguments: tuple[str, ...] = (), more: str = "", scripted: tuple[str, ...] = ()) -> Iterator[Place]:
    """Run a deployment with a scripted model; when the block ends, it must still be well.

    Args:
        arguments: more of `parley up`; more: more of its settings file; scripted: more of the model's command line.
    """
    with workplace() as directory, upstream(directory, *scripted) as url:
        settings = SETTINGS.format(key=KEY, origin=ORIGIN, url=url, more=more)
        path = configuration(Path(directory), settings)
        with deployment(directory, "--config", path, *arguments) as up:
            made = Place(up)
            made.furnish()
            yield made
            assert made.faults() == []
            assert made.ask("GET", "/readyz") == {"status": "ok"}
