"""The Parley server, asked over HTTP: its answer as a stream of objects, a line each."""

import http.client
import json
import time
import urllib.parse

CONNECT_SECONDS = 10.0
# How long the server may be silent beyond the time it was given, or at all.
GRACE_SECONDS = 1.5
SILENCE_SECONDS = 300.0
LINE_BYTES = 1 << 20
# A server that is started again is back within seconds.
RETRY_SECONDS = 20.0
RETRY_SPACING = 0.3


class Failed(Exception):
    """There is no answer, or no more of it; the message says why."""


class Broken(Exception):
    """The connection broke; asking again may help."""


class Server:
    """One server, by its URL and the access key or session token that opens it."""

    def __init__(self, url, token):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failed("PARLEY_URL must be set to the http or https address of a Parley server")
        self._parts = parts
        self._token = token

    def ask(self, assistant, body, key, until):
        """Ask one of its assistants; yields ``{"state"}`` and ``{"output"}`` as they come.

        Where the connection breaks the same is asked again, and what was yielded before is not yielded twice.

        Args:
            key: the same key is the same question, however often it arrives; empty: it is asked once.
            until: when the answer, or a word that there is more of it, is due (of `time.monotonic`); None: whenever.

        Raises:
            Failed.
        """
        told = ""
        give_up = time.monotonic() + RETRY_SECONDS
        while True:
            fresh = ""
            try:
                for item in self._ask_once(assistant, body, key, until):
                    fresh += item.get("output") or ""
                    if item.get("state") or fresh.startswith(told):
                        yield {**item, "output": fresh[len(told) :]}
                        told = max(told, fresh, key=len)
                    elif not told.startswith(fresh):
                        raise Failed("the answer was begun anew meanwhile: say /more to read it")
                return
            except Broken as reason:
                late = time.monotonic() > give_up or (until is not None and time.monotonic() + 1 > until)
                if not key or late:
                    raise Failed(f"{reason}: say /more for the rest") from None
            time.sleep(RETRY_SPACING)

    def _ask_once(self, assistant, body, key, until):
        path = f"{self._parts.path.rstrip('/')}/web/parley/parley/{urllib.parse.quote(assistant, safe='')}"
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if key:
            headers["Idempotency-Key"] = key
        patience = SILENCE_SECONDS
        if until is not None:
            seconds = max(0.5, until - time.monotonic())
            body, patience = {**body, "seconds": seconds}, seconds + GRACE_SECONDS
        link = self._connection()
        try:
            link.request("POST", path, json.dumps(body), headers)
            link.sock.settimeout(patience)
            yield from objects(link.getresponse())
        except (OSError, http.client.HTTPException) as reason:
            raise Broken(f"the connection to the server broke ({type(reason).__name__})") from None
        finally:
            link.close()

    def _connection(self):
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        try:
            link = kind(self._parts.hostname, self._parts.port, timeout=CONNECT_SECONDS)
            link.connect()
        except (OSError, ValueError) as reason:
            raise Broken(f"the server cannot be reached ({reason})") from None
        return link


def objects(response):
    """The objects of a stream up to its end mark.

    Raises:
        Broken: it ended without one. Failed: this is no answer of a Parley server.
    """
    while line := response.readline(LINE_BYTES):
        try:
            item = json.loads(line)
        except ValueError:
            item = None
        if not isinstance(item, dict):
            raise Failed(f"the server answered {response.status} {response.reason}, and not as a Parley server does")
        if not item:
            return
        yield item
    raise Broken("the connection to the server broke")
