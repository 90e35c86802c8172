"""Makes the pictures of README.md and of the documentation: docs/pictures.

python -m tools.pictures [--only stills|terminal|film] [--scheme light|dark]

From the real page in Chromium and the real terminal, in front of a model that says tools/pictures.md: the page by day
and by night, on a phone, the terminal, and a reply that goes on while its server and its worker are killed.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from playwright.async_api import Browser, Page, expect
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, DIMMED_MONOKAI, TerminalTheme
from rich.text import Text
from tests.browser.chromium import chromium
from tests.cli.pseudo_terminal import PseudoTerminal
from tests.system.deployment import Deployment, deployment, environment, running, until

from parley import AsyncClient

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
SAID = Path(__file__).parent / "pictures.md"
QUESTION = "What happens to a reply when the server is killed?"
# What else the person in the picture talked about.
OTHERS = ("A packing list for Norway", "Regular expression for dates", "Country and capital")
WINDOW, PHONE = (1100, 740), (390, 760)
LARGEST = 1_000_000  # bytes of a picture
# The film: width, frames a second, colours, and milliseconds of its last frame.
WIDTH, RATE, COLOURS, STAYS = 800, 8, 64, 2500
STRIP = 34  # pixels below the page, for what is typed meanwhile
THEMES: dict[Scheme, TerminalTheme] = {"light": DEFAULT_TERMINAL_THEME, "dark": DIMMED_MONOKAI}
MODEL = '[[models]]\nname = "demo"\nurl = "{url}"\nmodel = "demo-20"\nbackend = "llama.cpp"\n'


@contextlib.contextmanager
def parley() -> Iterator[Deployment]:
    """A Parley whose model says what is in the pictures."""
    with tempfile.TemporaryDirectory(prefix="parley-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        command = [sys.executable, "-m", "benchmarks.browser_upstream", str(SAID)]
        with running(command, directory / "model.log", environment(PYTHONPATH=str(ROOT))) as model:
            until(lambda: "ready" in model.said(), 30, f"the model: {model.said()}")
            url = f"http://127.0.0.1:{model.said().split()[1]}/v1"
            (directory / "parley.toml").write_text(MODEL.format(url=url))
            with deployment(directory, "--config", str(directory / "parley.toml")) as up:
                yield up


async def talked(url: str) -> str:
    """Conversations, as a person would have some; the id of the one to show."""
    async with AsyncClient(url) as client:
        chats = [await client.conversation(title=title) for title in (*OTHERS, QUESTION)]
        replies = [chat.say(title) for chat, title in zip(chats, (*OTHERS, QUESTION), strict=True)]
        for reply in replies:
            await reply
        return chats[-1].id


async def still(browser: Browser, url: str, size: tuple[int, int], scheme: Scheme) -> Image.Image:
    """A picture of a page."""
    phone = size == PHONE
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, locale="en-US",
        device_scale_factor=2 if phone else 1, is_mobile=phone, has_touch=phone,
    )  # fmt: skip
    page = await context.new_page()
    await page.goto(url)
    await expect(page.get_by_role("article", name="Reply")).to_have_attribute("aria-busy", "false", timeout=60_000)
    await page.mouse.move(size[0] - 2, size[1] / 2)
    await page.wait_for_timeout(500)
    data = await page.screenshot(animations="disabled", caret="hide")
    await context.close()
    return Image.open(io.BytesIO(data)).convert("RGB")


async def stills(url: str, schemes: Sequence[Scheme]) -> None:
    """The page by day and by night, large and on a phone."""
    conversation = await talked(url)
    async with chromium() as browser:
        for scheme in schemes:
            for name, size in (("page", WINDOW), ("phone", PHONE)):
                picture = await still(browser, f"{url}/c/{conversation}", size, scheme)
                path = PICTURES / f"{name}-{scheme}.png"
                picture.save(path, optimize=True)
                told(path)


class Film:
    """What Chromium draws of a page, and what is typed elsewhere meanwhile."""

    def __init__(self) -> None:
        self._drawn: list[tuple[float, Image.Image]] = []
        self._typed: list[tuple[float, str]] = [(0.0, "")]
        self._acknowledging: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def of(self, page: Page) -> AsyncIterator[None]:
        """Record as long as the block lasts."""
        session = await page.context.new_cdp_session(page)

        def drawn(event: dict[str, Any]) -> None:
            picture = Image.open(io.BytesIO(base64.b64decode(event["data"]))).convert("RGB")
            self._drawn.append((event["metadata"]["timestamp"], picture))
            task = asyncio.ensure_future(session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]}))
            self._acknowledging.add(task)
            task.add_done_callback(self._acknowledging.discard)

        session.on("Page.screencastFrame", drawn)
        await session.send("Page.startScreencast", {"format": "png", "everyNthFrame": 1})
        yield
        await session.send("Page.stopScreencast")
        await asyncio.gather(*self._acknowledging)

    def typed(self, command: str) -> None:
        """From the frame that is drawn next on, this is what was typed last."""
        self._typed.append((self._drawn[-1][0] if self._drawn else 0.0, command))

    @property
    def commands(self) -> list[str]:
        """All that was typed."""
        return [command for _, command in self._typed]

    def frames(self, strips: dict[str, Image.Image]) -> Iterator[Image.Image]:
        """One picture for each moment, with the strip of what was typed last below it."""
        began, ended = self._drawn[0][0], self._drawn[-1][0]
        height = round(WIDTH * WINDOW[1] / WINDOW[0])
        for number in range(int((ended - began) * RATE) + 2):
            now = began + number / RATE
            picture = next((drawn for at, drawn in reversed(self._drawn) if at <= now), self._drawn[0][1])
            command = next(command for at, command in reversed(self._typed) if at <= now)
            frame = Image.new("RGB", (WIDTH, height + STRIP))
            frame.paste(picture.resize((WIDTH, height), Image.Resampling.LANCZOS), (0, 0))
            frame.paste(strips[command], (0, height))
            yield frame


async def strip(browser: Browser, command: str) -> Image.Image:
    """A command as a terminal shows it."""
    page = await browser.new_page(viewport={"width": WIDTH, "height": STRIP})
    style = f"margin:0;padding-left:18px;background:#17191c;color:#e8e6e1;white-space:pre;font:15px/{STRIP}px monospace"
    await page.set_content(f'<body style="{style}"><span style="color:#8fbf6b">$</span> <span></span></body>')
    await page.locator("span").last.evaluate("(element, text) => { element.textContent = text; }", command)
    data = await page.screenshot()
    await page.close()
    return Image.open(io.BytesIO(data)).convert("RGB")


async def survives(up: Deployment, scheme: Scheme) -> None:
    """The film: a reply goes on while the web server and the worker that writes it are killed."""
    film = Film()
    async with chromium() as browser:
        context = await browser.new_context(
            viewport={"width": WINDOW[0], "height": WINDOW[1]}, color_scheme=scheme, locale="en-US"
        )
        page = await context.new_page()
        await page.goto(up.url)
        await page.get_by_role("textbox", name="Message", exact=True).press_sequentially(QUESTION[:-1])
        reply = page.get_by_role("article", name="Reply")
        async with film.of(page):
            await page.keyboard.type(QUESTION[-1])
            await page.wait_for_timeout(600)
            await page.keyboard.press("Enter")
            for part, words, so_far in (
                ("serve", "web server", "only reads the log"),
                ("work", "worker", "under a lease"),
            ):
                await expect(reply).to_contain_text(so_far, timeout=60_000)
                film.typed(f"kill -9 {up.parts(part)[0]}    # the {words}")
                for pid in up.parts(part):
                    os.kill(pid, signal.SIGKILL)
            await expect(reply).to_have_attribute("aria-busy", "false", timeout=60_000)
            await expect(reply.get_by_text("Continued after a crash")).to_be_visible()
            await page.wait_for_timeout(600)
        strips = {command: await strip(browser, command) for command in film.commands}
    frames = [frame.quantize(COLOURS, dither=Image.Dither.NONE) for frame in film.frames(strips)]
    durations = [1000 // RATE] * (len(frames) - 1) + [STAYS]
    path = PICTURES / f"survives-{scheme}.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
    told(path)


class Lines:
    """What a terminal shows in the end of output that goes up only to draw lines anew, as ours does."""

    CONTROL = re.compile(r"\x1b\[(\d*)([AJ])")

    def __init__(self, output: str) -> None:
        self.shown = [""]
        at = 0
        for part in re.split(r"(\n|\x1b\[\d*[AJ])", output.replace("\r", "")):
            control = self.CONTROL.fullmatch(part)
            if control is None and part != "\n":
                self.shown[at] += part
            elif control is None:
                at += 1
                self.shown += [""] * (at + 1 - len(self.shown))
            elif control[2] == "A":
                at -= int(control[1] or 1)
            else:
                self.shown[at:] = [""]


async def terminal(up: Deployment, schemes: Sequence[Scheme]) -> None:
    """`parley chat` on a real terminal, as the drawing of it that rich makes."""
    columns = 84
    parley = str(Path(sys.executable).parent / "parley")
    env = environment(PARLEY_URL=up.url, TERM="xterm-256color", COLORTERM="truecolor", XDG_STATE_HOME=str(up.directory))
    async with PseudoTerminal([parley, "chat", QUESTION], env, rows=60, columns=columns, deadline=60) as screen:
        assert await screen.exit() == 0
    shown = "\n".join([f'\x1b[32m$\x1b[0m parley chat "{QUESTION}"', *Lines(screen.output).shown])
    for scheme in schemes:
        console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        console.print(Text.from_ansi(shown.rstrip()))
        drawn = console.export_svg(title="parley chat", theme=THEMES[scheme], unique_id="terminal")
        # The fonts it names are somebody else's to serve.
        path = PICTURES / f"terminal-{scheme}.svg"
        path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))
        told(path)


def told(path: Path) -> None:
    """Say what was made, and that it is small enough."""
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size / 1000:,.0f} kB")
    assert size <= LARGEST, f"{path} is too large"


async def main(only: str, schemes: Sequence[Scheme]) -> None:
    """Make them."""
    PICTURES.mkdir(exist_ok=True)
    with parley() as up:
        if only in ("", "stills"):
            await stills(up.url, schemes)
        if only in ("", "terminal"):
            await terminal(up, schemes)
    for scheme in schemes if only in ("", "film") else ():
        with parley() as up:
            await survives(up, scheme)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--only", default="", choices=("stills", "terminal", "film"), help="one kind (all)")
    arguments.add_argument("--scheme", choices=SCHEMES, help="one of the two (both)")
    chosen = arguments.parse_args()
    asyncio.run(main(chosen.only, (chosen.scheme,) if chosen.scheme else SCHEMES))
