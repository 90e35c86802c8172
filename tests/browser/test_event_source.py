"""A browser's own EventSource on a conversation's events: it comes back by itself, loses nothing, repeats nothing."""

import json
import os
import signal
import urllib.request
from typing import Any

import pytest

from tests.browser.chromium import play
from tests.browser.stage import parley, visit
from tests.system.deployment import Deployment

TOKENS = 80

FOLLOW = """(url) => {
  window.heard = [];
  window.errors = 0;
  window.source = new EventSource(url);
  for (const kind of ["snapshot", "queued", "started", "takeover", "delta", "rewind", "end", "changed"]) {
    source.addEventListener(kind, (event) => heard.push({ id: event.lastEventId, ...JSON.parse(event.data) }));
  }
  source.onerror = () => (errors += 1);
}"""


def ask(up: Deployment, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST to the native protocol."""
    request = urllib.request.Request(
        up.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.mark.browser
@pytest.mark.parametrize("victims", [("serve",), ("serve", "work")])
def test_an_event_source_resumes_after_a_kill(victims: tuple[str, ...]) -> None:
    async def main() -> None:
        with parley() as up:
            async with visit(up, bypass_csp=True) as (context, _):
                page = await context.new_page()
                await page.goto(f"{up.url}/healthz")
                name = ask(up, "/api/conversations", {})["id"]
                await page.evaluate(FOLLOW, f"/api/conversations/{name}/events?after=0-0&until=idle")
                # Nothing waits or runs yet, and nothing was said behind the beginning: it is told to stay away.
                await page.wait_for_function("source.readyState === EventSource.CLOSED")
                ask(up, f"/api/conversations/{name}/turns", {"input": f"say {TOKENS} delay=0.05"})
                await page.evaluate(FOLLOW, f"/api/conversations/{name}/events?after=0-0&until=idle")
                await page.wait_for_function("heard.filter((event) => event.type === 'delta').length > 10")
                for part in victims:
                    for pid in up.parts(part):
                        os.kill(pid, signal.SIGKILL)
                await page.wait_for_function("heard.some((event) => event.type === 'end')")
                # It comes back once more with the id of the last event, gets 204, and is done.
                await page.wait_for_function("source.readyState === EventSource.CLOSED")
                heard: list[dict[str, Any]] = await page.evaluate("heard")
                assert await page.evaluate("errors") >= 2
                assert all(event["id"] == event["cursor"] for event in heard)
                numbers = [int(event["cursor"].partition("-")[0]) for event in heard]
                assert numbers == list(range(1, len(heard) + 1))
                text = "".join(event["text"] for event in heard if event["type"] == "delta")
                assert text == "".join(f"t:{at:04d} " for at in range(TOKENS))

    play(main())
