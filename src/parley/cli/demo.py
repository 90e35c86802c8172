"""`parley demo`: one long reply of the built-in model, and everything that carries it killed under it, in view.

Exit status: 0 the reply went on each time, and what is said of it was checked; 1 anything else; 2 bad arguments.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TextIO

import msgspec
import uvloop

from parley.bench.http import Failed
from parley.bench.installation import Running, free_port, installation
from parley.chaos.demo import QUESTION, Audience, Demo, Ending, Kill
from parley.chaos.place import Place
from parley.chaos.plan import Part
from parley.chaos.witness import Witness, witness
from parley.cli.arguments import add_settings, settings_of
from parley.cli.model import directory, weights_of
from parley.cli.settings import Settings
from parley.cli.sources import SettingsError
from parley.models.local_server import BACKEND, MODEL
from parley.store.lifeline import die_with_parent

WIDTH, MARGIN = 88, 2
NAMES: dict[Part, str] = {"work": "the worker that writes this", "serve": "the web server", "redis": "redis-server"}
BACK: dict[Part, str] = {
    "work": "another worker goes on at the same letter",
    "serve": "a new one goes on at the same letter",
    "redis": "it is back with all that was said",
}
SHORT: dict[Part, str] = {"work": "worker", "serve": "web server", "redis": "Redis"}
# So small a model repeats itself for ever, or changes the language, unless it is held back.
SETTINGS = """
[[models]]
name = "{name}"
url = "{url}"
model = "{name}"
backend = "{backend}"

[models.parameters]
temperature = 0.6
top_p = 0.9
frequency_penalty = 0.5
max_tokens = 400
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Another question, another model."""
    parser.epilog = (
        "Exit status: 0 the reply went on each time, and what is said of it was checked; 1 anything else; "
        "2 bad arguments."
    )
    parser.add_argument("question", nargs="?", default=QUESTION, help="what is asked; the answer should be long")
    parser.add_argument("--model-url", metavar="URL", help="an OpenAI-compatible server (the built-in model)")
    parser.add_argument("--model", default=MODEL, metavar="NAME", help="which of its models; PARLEY_MODEL_KEY opens it")
    parser.add_argument("--json", action="store_true", help="what came of it as one JSON object")
    add_settings(parser, "data", "config")


def run(args: argparse.Namespace) -> int:
    """Perform; the exit status."""
    settings = settings_of(args)
    teller = Teller(sys.stderr if args.json else sys.stdout)
    try:
        ending = uvloop.run(demo(args, settings, teller))
    except (Failed, TimeoutError) as error:
        print(f"parley: {error or 'the reply did not end in time'}", file=sys.stderr)
        return 1
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(ending)).decode())
    else:
        teller.end(ending)
    return 0 if ending.holds else 1


async def demo(args: argparse.Namespace, settings: Settings, teller: "Teller") -> Ending:
    """Set the stage and perform. Raises `Failed` and `TimeoutError`."""
    async with contextlib.AsyncExitStack() as stack:
        teller.opening()
        if args.model_url:
            between = Witness(args.model_url, settings.model_key.reveal())
            await stack.enter_async_context(between)
        else:
            url, key = await stack.enter_async_context(built_in(weights(settings, teller)))
            between = await stack.enter_async_context(witness(url, key))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-demo-")))
        config = folder / "parley.toml"
        backend = "" if args.model_url and args.model != MODEL else BACKEND
        config.write_text(SETTINGS.format(name=args.model, url=between.url, backend=backend))
        server = await stack.enter_async_context(installation("--config", str(config), "--workers", "2"))
        teller.ready(server, args.question)
        return await Demo(Place(server, Running("", 0)), between, teller, args.question).run()


def weights(settings: Settings, teller: "Teller") -> Path:
    """The file of the built-in model, fetched if it is not there. Raises `Unavailable` and `SettingsError`."""
    from parley.models.weights import find

    if importlib.util.find_spec("xllamacpp") is None:
        advice = "name a model with --model-url URL, or `pip install xllamacpp` for the built-in one"
        raise SettingsError(f"the built-in model is not installed: {advice}")
    if found := find(directory(settings)):
        return found
    teller.note("fetching the built-in model, once (98 MB)")
    return weights_of(settings)


@contextlib.asynccontextmanager
async def built_in(path: Path) -> AsyncIterator[tuple[str, str]]:
    """The built-in model in a process of its own: its URL and its key. Raises `Failed`."""
    key = secrets.token_urlsafe(24)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "parley", "model-server", "--port", str(free_port()), "--file", str(path)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PARLEY_MODEL_KEY": key},
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        if not line.startswith("ready "):
            raise Failed("the built-in model did not start")
        yield line.split()[1], key
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


class Teller(Audience):
    """Tells it: at a terminal in colour, elsewhere as plain text (also: NO_COLOR)."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=out, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._width = min(self._console.width, WIDTH) if self._console.is_terminal else WIDTH
        self._column = 0
        self._word = ""

    def opening(self) -> None:
        """Before anything runs."""
        self.note("a private Parley is started, with a model beside it; it is gone when this is over")

    def ready(self, server: Running, question: str) -> None:
        """It runs, and is asked."""
        self.note(
            f"ready after {server.ready_s:.1f} s: a web server, two workers and redis-server, all on this machine"
        )
        self._line("")
        self._line(f"> {question}", "bold")
        self._line("")

    def note(self, text: str) -> None:
        """Something by the way."""
        self._line(text, "bright_black")

    def text(self, more: str) -> None:
        """The reply goes on: whole words, wrapped."""
        for character in more:
            if character.isspace():
                self._flush()
                if character == "\n":
                    self._print("\n")
                    self._column = 0
            else:
                self._word += character

    def withdrawn(self) -> None:
        """A model that cannot go on from a part of its answer answers anew."""
        self._word = ""
        self._break()
        self._line(f"{' ' * MARGIN}this model cannot go on in mid-answer: it answers anew", "yellow")
        self._line("")

    def killed(self, kill: Kill) -> None:
        """Something was killed just now."""
        self._break()
        self._line(f"{' ' * MARGIN}kill -9 {kill.pid}: {NAMES[kill.part]}", "bold red")

    def back(self, kill: Kill) -> None:
        """The text goes on."""
        self._line(f"{' ' * MARGIN}{kill.seconds:.2f} s later: {BACK[kill.part]}", "bold green")
        self._line("")

    def end(self, ending: Ending) -> None:
        """What happened, and what was checked."""
        self._flush()
        self._break()
        for kill in ending.kills:
            went = f"the reply went on {kill.seconds:.2f} s later" if kill.seconds else "the reply did not go on"
            self._line(f"  {SHORT[kill.part]:12}killed after {kill.at:,} characters; {went}")
        if not ending.told:
            self._line("  The reply was over too soon to show everything: ask for a longer one.", "bold yellow")
        self._line("")
        for check in ending.checks:
            self._line(f"  {'yes' if check.holds else 'NO':4}{check.what}", "green" if check.holds else "bold red")
        self._line("")
        longest = max((kill.seconds for kill in ending.kills), default=0.0)
        if ending.holds:
            told = f"One reply, {len(ending.text):,} characters, {ending.takeovers} takeover"
            told += f"{'' if ending.takeovers == 1 else 's'}; after each kill it went on within {longest:.2f} s."
            self._line(told, "bold")
            self.note("Try it harder: parley chaos. Talk: parley up, and parley chat in another terminal.")
        else:
            self._line("This is not what should have happened." if ending.told else "Not everything was shown.", "bold")

    def _flush(self) -> None:
        """Print the word that has gathered, on a line where it fits."""
        if not self._word:
            return
        if self._column and self._column + 1 + len(self._word) > self._width:
            self._print("\n")
            self._column = 0
        space = " " if self._column else ""
        self._print(space + self._word)
        self._column += len(space) + len(self._word)
        self._word = ""

    def _break(self) -> None:
        """Begin a new line, with one that is empty above it; a word under way goes on behind it."""
        self._print("\n\n" if self._column else "\n")
        self._column = 0

    def _line(self, text: str, style: str = "") -> None:
        self._print(f"{text}\n", style)

    def _print(self, text: str, style: str = "") -> None:
        # What a model says may hold control characters: they are nobody's business.
        shown = "".join(each for each in text if each == "\n" or each.isprintable())
        self._console.print(shown, style=style or None, end="")
        self._console.file.flush()
