"""What a browser has to do for a chat page: Parley's, and Chainlit's beside it where it is installed.

python -m benchmarks.browser [--rounds N]

Real Chromium, a fresh profile each time, one upstream for all (benchmarks/browser_upstream.py), one after the other.
Writes benchmarks/browser.json; `python benchmarks/browser_page.py` makes docs/performance-page.md of it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from benchmarks.browser_upstream import LAST, TEXT
from playwright.async_api import Browser, BrowserContext, CDPSession, Page
from tests.browser.chromium import chromium
from tests.cli.pseudo_terminal import PseudoTerminal
from tests.redis_servers import free_port
from tests.system.deployment import children, command_line, deployment, environment, running, until

from parley import AsyncClient
from parley.bench.machine import machine

HERE = Path(__file__).parent
RESULTS = HERE / "browser.json"
CACHE = Path(os.environ.get("PARLEY_BENCH_CACHE", Path.home() / ".cache" / "parley-bench"))
CHAINLIT = CACHE / "chainlit" / "bin" / "chainlit"
TICK = os.sysconf("SC_CLK_TCK")
PATIENCE = 90_000.0  # milliseconds
ABOVE = 300
# What a page is asked, beside what it does: when each frame came, which tasks were long, what became of its nodes.
PROBE = """
window.probe = { frames: [], long: [], added: 0, removed: 0, done: 0 };
(() => {
  const probe = window.probe;
  const look = (node) => { if (node.data?.includes("LAST")) probe.done = performance.now(); };
  const count = (node) => {
    look(node);
    let all = 1;
    for (const child of node.childNodes) all += count(child);
    return all;
  };
  new PerformanceObserver((list) => probe.long.push(...list.getEntries().map((entry) => entry.duration)))
    .observe({ type: "longtask", buffered: true });
  new MutationObserver((records) => {
    for (const record of records) {
      look(record.target);
      for (const node of record.addedNodes) probe.added += count(node);
      for (const node of record.removedNodes) probe.removed += count(node);
    }
  }).observe(document, { childList: true, characterData: true, subtree: true });
  const tick = (now) => { probe.frames.push(now); requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
})();
""".replace("LAST", LAST)
RESET = "() => Object.assign(window.probe, { frames: [], long: [], added: 0, removed: 0, done: 0 })"
READ = """() => {
  const { frames, long, added, removed } = window.probe;
  return { frames: frames.slice(1).map((at, number) => at - frames[number]), long, added, removed };
}"""
Figures = dict[str, Any]


class Load:
    """What a page fetches until it is told to stop counting."""

    def __init__(self, session: CDPSession, origin: str) -> None:
        self.requests = 0
        self.bytes = 0
        self.script_bytes = 0
        self.others: set[str] = set()
        self._origin = origin
        self._kinds: dict[str, str] = {}
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.loadingFinished", self._came)

    def _asked(self, event: dict[str, Any]) -> None:
        url = event["request"]["url"]
        if url.startswith("http"):
            self.requests += 1
            self._kinds[event["requestId"]] = event.get("type", "")
            if not url.startswith(self._origin):
                self.others.add(str(urlsplit(url).hostname))

    def _came(self, event: dict[str, Any]) -> None:
        self.bytes += int(event["encodedDataLength"])
        if self._kinds.get(event["requestId"]) == "Script":
            self.script_bytes += int(event["encodedDataLength"])


def browser_seconds() -> float:
    """CPU seconds of all of Chromium's processes."""
    spent = 0
    for pid in children(os.getpid()):
        if "chrom" in command_line(pid):
            with contextlib.suppress(OSError, IndexError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                spent += int(fields[11]) + int(fields[12])
    return spent / TICK


@contextlib.asynccontextmanager
async def visitor(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Somebody who was never here."""
    context = await browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(PATIENCE)
    await context.add_init_script(PROBE)
    try:
        yield context
    finally:
        await context.close()


async def ready(page: Page, url: str) -> float:
    """Open a page and wait until one can type; milliseconds."""
    began = time.perf_counter()
    await page.goto(url, wait_until="commit")
    await page.get_by_role("textbox").first.fill("x")
    spent = (time.perf_counter() - began) * 1000
    await page.get_by_role("textbox").first.fill("")
    return spent


async def fetched(browser: Browser, url: str, *, typing: bool) -> tuple[Load, float]:
    """What a first visit fetches, of somebody who types a letter or who only looks, and how soon one can type."""
    async with visitor(browser) as context:
        page = await context.new_page()
        session = await context.new_cdp_session(page)
        load, spent = Load(session, url), 0.0
        await session.send("Network.enable")
        if typing:
            spent = await ready(page, url)
        else:
            await page.goto(url, wait_until="load")
        await page.wait_for_timeout(1500)
        return load, spent


async def cold(browser: Browser, url: str) -> Figures:
    """The first visit: what is fetched before anything is typed, and with that, and how soon one can type."""
    before, _ = await fetched(browser, url, typing=False)
    load, spent = await fetched(browser, url, typing=True)
    return {
        "requests_before": before.requests,
        "script_kb_before": before.script_bytes / 1000,
        "ready_ms": spent,
        "requests": load.requests,
        "kb": load.bytes / 1000,
        "script_kb": load.script_bytes / 1000,
        "other_hosts": sorted(load.others),
    }


async def written(page: Page) -> None:
    """Wait until the standard reply is all there. Asked as seldom and as little as can be: it is part of the load."""
    async with asyncio.timeout(PATIENCE / 1000):
        while not await page.evaluate("window.probe.done"):
            await asyncio.sleep(0.1)


async def streamed(context: BrowserContext, page: Page, say: str) -> Figures:
    """Say something and watch the standard reply being written."""
    session = await context.new_cdp_session(page)
    await page.evaluate(RESET)
    spent, began = browser_seconds(), time.perf_counter()
    box = page.get_by_role("textbox").first
    await box.fill(say)
    await box.press("Enter")
    await written(page)
    seconds, cpu = time.perf_counter() - began, browser_seconds() - spent
    seen = await page.evaluate(READ)
    await session.send("HeapProfiler.collectGarbage")
    heap = await session.send("Runtime.getHeapUsage")
    frames = sorted(seen["frames"])
    return {
        "took_s": seconds,
        "browser_cpu_s": cpu,
        "frame_p95_ms": frames[int(len(frames) * 0.95)],
        "frame_p99_ms": frames[int(len(frames) * 0.99)],
        "long_tasks": len(seen["long"]),
        "long_task_ms": sum(seen["long"]),
        "nodes_added": seen["added"],
        "nodes_removed": seen["removed"],
        "heap_mb": heap["usedSize"] / 1e6,
    }


async def standard(browser: Browser, url: str) -> Figures:
    """The standard reply, 100 pieces a second, in a new conversation."""
    async with visitor(browser) as context:
        page = await context.new_page()
        await ready(page, url)
        return await streamed(context, page, "Tell me.")


async def long_conversation(browser: Browser, url: str) -> Figures:
    """One more reply at 400 pieces a second, below 300 that stand there and are all shown."""
    conversation = await filled(url)
    async with visitor(browser) as context:
        page = await context.new_page()
        began = time.perf_counter()
        await page.goto(f"{url}/c/{conversation}", wait_until="commit")
        await page.locator("article.reply").last.wait_for()
        opened = (time.perf_counter() - began) * 1000
        async with asyncio.timeout(PATIENCE / 1000):
            while (count := await page.evaluate("document.querySelectorAll('article.reply').length")) < ABOVE:
                await page.evaluate("document.querySelector('.more:not(:disabled)')?.click()")
                await asyncio.sleep(0.1)
        await page.evaluate("document.querySelector('#messages').scrollTop = 1e9")
        session = await context.new_cdp_session(page)
        await session.send("HeapProfiler.collectGarbage")
        await page.wait_for_timeout(1000)
        await page.evaluate(RESET)
        await page.locator("#message").fill("Once more.")
        await page.locator("#message").press("Enter")
        await written(page)
        seen = await page.evaluate(READ)
        frames = sorted(seen["frames"])
        return {
            "opened_ms": opened,
            "replies_above": count,
            "frame_p95_ms": frames[int(len(frames) * 0.95)],
            "frame_p99_ms": frames[int(len(frames) * 0.99)],
            "long_task_ms": sum(seen["long"]),
        }


async def filled(url: str) -> str:
    """A conversation with 300 replies of the standard text, which goes on at 400 a second."""
    async with AsyncClient(url) as client:
        chat = await client.conversation(model="at-400")
        await chat.say("Begin.")
        (first,) = (await chat.get()).turns
        turns, parent = [], first.turn
        for number in range(ABOVE - 1):
            made = msgspec.structs.replace(first, turn=f"{first.turn[:-4]}{number:04x}", parent=parent)
            turns.append(msgspec.structs.replace(made, response=""))
            parent = made.turn
        await client.restore(chat.id, turns)
        return chat.id


@contextlib.contextmanager
def chainlit(directory: Path, upstream: str) -> Iterator[str]:
    """Chainlit with the program of its documentation; its address."""
    source = (HERE / "peers" / "chainlit_app.py").read_text()
    (directory / "app.py").write_text(source.replace('model="bench"', 'model="at-100"'))
    port = free_port()
    command = [str(CHAINLIT), "run", "app.py", "--headless", "--host", "127.0.0.1", "--port", str(port)]
    env = environment(OPENAI_BASE_URL=upstream, OPENAI_API_KEY="none")
    with running(command, directory / "chainlit.log", env) as process:
        until(lambda: "available at" in process.said(), 60, f"Chainlit: {process.said()}")
        yield f"http://127.0.0.1:{port}"


def peer_version() -> str:
    """Which Chainlit this is."""
    ran = subprocess.run([CHAINLIT, "--version"], capture_output=True, text=True, check=True, cwd=tempfile.gettempdir())
    return ran.stdout.split()[-1]


async def terminal(url: str, rounds: int) -> Figures:
    """How soon `parley --help` is done, and how soon `parley chat` asks; milliseconds."""
    help_ms, prompt_ms = [], []
    parley = [str(Path(sys.executable).parent / "parley")]
    env = environment(PARLEY_URL=url, TERM="xterm-256color", PROMPT_TOOLKIT_NO_CPR="1")
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([*parley, "--help"], check=True, stdout=subprocess.DEVNULL, env=env)
        help_ms.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        async with PseudoTerminal([*parley, "chat"], env) as screen:
            await screen.shows("> ")
            prompt_ms.append((time.perf_counter() - began) * 1000)
    return {"help_ms": statistics.median(help_ms), "prompt_ms": statistics.median(prompt_ms)}


def middle(rounds: list[Figures]) -> Figures:
    """The medians of what was measured several times."""
    return {
        name: statistics.median(each[name] for each in rounds) if isinstance(value, int | float) else value
        for name, value in rounds[0].items()
    }


async def page_of(url: str, rounds: int) -> Figures:
    """The figures that every page has."""
    async with chromium() as browser:
        visits = middle([await cold(browser, url) for _ in range(rounds)])
        say("the standard reply")
        try:
            return visits | await standard(browser, url)
        except TimeoutError:
            return visits | {"gave_up_s": PATIENCE / 1000}


async def measure(directory: Path, rounds: int) -> Figures:
    """Everything, one after the other."""
    found: Figures = {"machine": machine(), "text": {"characters": len(TEXT)}, "pages": {}}
    with running(
        [sys.executable, "-m", "benchmarks.browser_upstream"], directory / "model.log", environment_here()
    ) as model:
        until(lambda: "ready" in model.said(), 20, "the upstream")
        upstream = f"http://127.0.0.1:{model.said().split()[1]}/v1"
        with deployment(directory, "--config", settings(directory, upstream)) as up:
            say("Parley: cold visits")
            ours = await page_of(up.url, rounds)
            say(f"one more below {ABOVE} replies")
            async with chromium() as browser:
                found["long"] = await long_conversation(browser, up.url)
            say("the terminal")
            found["terminal"] = await terminal(up.url, rounds)
        found["pages"]["Parley"] = ours
        if CHAINLIT.exists():
            say("Chainlit: cold visits")
            name = f"Chainlit {peer_version()}"
            with chainlit(directory, upstream) as url:
                found["pages"][name] = await page_of(url, rounds)
    return found


def environment_here() -> dict[str, str]:
    """For a module of this repository in a process of its own, wherever that is started."""
    return environment(PYTHONPATH=str(HERE.parent))


def settings(directory: Path, upstream: str) -> str:
    """A file that has Parley ask the upstream, at either pace."""
    path = directory / "parley.toml"
    path.write_text(
        "".join(f'[[models]]\nname = "{name}"\nurl = "{upstream}"\nmodel = "{name}"\n' for name in ("at-100", "at-400"))
    )
    return str(path)


say: Callable[[str], None] = lambda text: print(f"  {text}", file=sys.stderr, flush=True)  # noqa: E731


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5, help="how often what takes no time is measured (5)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parley-", ignore_cleanup_errors=True) as name:
        found = asyncio.run(measure(Path(name), chosen.rounds))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
