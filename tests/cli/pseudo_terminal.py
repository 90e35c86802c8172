"""A program on a real pseudo-terminal, as a person has it: keys in, a screen out.

async with PseudoTerminal([...], env) as terminal:
    await terminal.shows("> ")
    terminal.type("hello\\r")
    assert await terminal.exit() == 0
"""

import asyncio
import fcntl
import os
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Sequence
from typing import Self

CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[=>78])")

MOVED = re.compile(r"\x08\x1b\[(\d+)C")


class PseudoTerminal:
    """See the module. `output` is everything written so far, `text` the same without control sequences."""

    def __init__(
        self, argv: Sequence[str], env: dict[str, str], *, rows: int = 40, columns: int = 100, deadline: float = 20
    ) -> None:
        self.output = ""
        self._deadline = deadline
        self._seen = 0  # characters of `text` that were waited for already
        self._changed = asyncio.Event()
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        os.set_blocking(self._master, False)

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        # prompt_toolkit draws the space behind the prompt by moving over it.
        moved = MOVED.sub(lambda match: " " * (int(match[1]) - 1), self.output)
        return CONTROL.sub("", moved).replace("\r", "")

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    async def shows(self, text: str) -> str:
        """Wait until the text is shown behind what was waited for before; everything between."""

        def found() -> bool:
            return text in self.text[self._seen :]

        await self._until(found, repr(text))
        start = self._seen
        self._seen = self.text.index(text, start) + len(text)
        return self.text[start : self._seen]

    async def insist(self, keys: str, text: str) -> None:
        """Type keys until a text is shown: what is typed between two prompts is nobody's."""
        for _ in range(5):
            self.type(keys)
            try:
                async with asyncio.timeout(4):
                    await self.shows(text)
            except TimeoutError:
                continue
            return
        raise AssertionError(f"no {text!r}; behind what was seen: {self.text[self._seen :]!r}")

    async def waits(self) -> None:
        """Wait until the program no longer reads keys itself: it is at work, and Ctrl-C is a signal."""
        await self._until(lambda: bool(termios.tcgetattr(self._master)[3] & termios.ISIG), "work")

    def modes(self) -> list[int]:
        """How the terminal is set: input, output, control and local modes."""
        return [mode for mode in termios.tcgetattr(self._master)[:4] if isinstance(mode, int)]

    async def exit(self) -> int:
        """Wait for the end; the exit status."""
        await self._until(lambda: self.process.poll() is not None, "the end")
        self._read()
        return self.process.wait()

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        end = asyncio.get_running_loop().time() + self._deadline
        while not condition():
            left = end - asyncio.get_running_loop().time()
            assert left > 0, f"no {what} in {self._deadline} s; behind what was seen: {self.text[self._seen :]!r}"
            self._changed.clear()
            try:
                # A process that ends changes nothing on the screen: look now and then.
                await asyncio.wait_for(self._changed.wait(), min(left, 0.05))
            except TimeoutError:
                continue

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 65_536):
                self.output += data.decode(errors="replace")
        except (BlockingIOError, OSError):
            pass
        self._changed.set()
