"""The REPL: a line, its reply, the next line."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import HTML
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from parley.client.client import AsyncClient
from parley.client.errors import Error, NotFound
from parley.client.reply import AsyncReply
from parley.client.terminal import words
from parley.client.terminal.advice import told
from parley.client.terminal.clean import clean
from parley.client.terminal.commands import Commands
from parley.client.terminal.live import Live
from parley.client.terminal.memory import Memory
from parley.client.terminal.names import short
from parley.client.terminal.options import Exit, Options
from parley.client.terminal.screen import Notes, past, screen
from parley.client.terminal.session import Session
from parley.client.values import Snapshot

# A conversation in which nothing more can be said.
GONE = ("conversation_deleted", "conversation_not_found")
HANG_UP = (signal.SIGTERM, signal.SIGHUP)


class _Leave(Exception):
    """The person goes; `running`: a reply is left behind that goes on."""

    def __init__(self, *, running: bool = False) -> None:
        self.running = running


class Repl:
    """A conversation, line by line."""

    def __init__(self, client: AsyncClient, session: Session, memory: Memory, options: Options, *, drawn: bool) -> None:
        self._client = client
        self._session = session
        self._options = options
        self._drawn = drawn
        self._notes = Notes(grey=drawn, quiet=options.quiet)
        self._commands = Commands(client, session, self._notes, answer=self._answer, recall=self._recall)
        self._live: Live | None = None  # the reply that runs
        self._work: asyncio.Task[None] | None = None  # what the last line asked for
        self._interrupted = False  # Ctrl-C came before there was a prompt to tell
        self._gone = False  # the terminal is gone, or we are asked to go
        self._sign = HTML("<b>&gt; </b>") if drawn else "> "
        self._keyboard = create_input()
        self._prompt: PromptSession[str] = PromptSession(
            input=self._keyboard,
            history=_history(memory),
            key_bindings=_bindings(),
            completer=WordCompleter([f"/{word}" for word in words.WORDS], sentence=True),
            complete_while_typing=False,
            multiline=True,
            prompt_continuation="  ",
            enable_suspend=True,
        )

    async def run(self, snapshot: Snapshot | None) -> int:
        """Talk until the person leaves; `snapshot` is of the conversation that is gone on with."""
        self._notes.say(f"{self._client.url} · {self._session.conversation or 'a new conversation'} · /help")
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        for number in HANG_UP:
            loop.add_signal_handler(number, self._hang_up)
        try:
            if snapshot is not None:
                await self._do(self._recall(snapshot))
            await self._lines()
        except _Leave as leave:
            self._farewell(running=leave.running)
        finally:
            for number in (signal.SIGINT, *HANG_UP):
                loop.remove_signal_handler(number)
        return Exit.OK

    async def _lines(self) -> None:
        warned = False
        if self._drawn:
            # While the person types: what drawing takes is loaded (0.2 s).
            self._warming = asyncio.create_task(asyncio.to_thread(_warm))
        while not self._gone:
            try:
                if self._interrupted:
                    self._interrupted = False
                    raise KeyboardInterrupt
                draft, self._commands.draft = self._commands.draft, ""
                line = await self._prompt.prompt_async(self._sign, handle_sigint=False, default=draft)
            except EOFError:
                break
            except KeyboardInterrupt:
                if warned:
                    break
                warned = not self._prompt.default_buffer.text
                if warned:
                    self._notes.say("(Ctrl-C again or Ctrl-D leaves)")
                continue
            warned = False
            await self._do(self._take(line))
        raise _Leave

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that Ctrl-C may break off."""
        self._work = asyncio.create_task(work)
        try:
            await asyncio.wait({self._work})
        finally:
            self._work.cancel()
        done, self._work = self._work, None
        try:
            done.result()
        except asyncio.CancelledError:
            self._notes.say("(broken off)")
        except Error as error:
            self._notes.complain(told(error))

    async def _take(self, line: str) -> None:
        word = words.parse(line)
        if word is not None and word.name == "bye":
            raise _Leave
        if not self._client.connected and line.strip():
            self._notes.say("(the server is away; this is done when it is back, or Ctrl-C)")
        if word is not None:
            await self._commands.obey(word)
        elif text := words.message(line).strip():
            await self._answer(await self._session.say(text))

    async def _answer(self, reply: AsyncReply) -> None:
        """Show a reply to its end, or leave with it going on."""
        self._live = Live(reply, screen(drawn=self._drawn), self._keyboard)
        try:
            place = f"turn {self._session.turns} of {short(reply.conversation)}"
            outcome = await self._live.run(footed=not self._options.quiet, place=place)
        except Error as error:
            if not reply.turn:
                self._session.turns -= 1  # it was refused, and is no turn
            if not isinstance(error, NotFound) or error.code not in GONE:
                raise
            self._session.new()
            self._notes.complain(f"{error.reason} Your next message begins another.")
            return
        finally:
            self._live = None
            print()
        if outcome == "left":
            raise _Leave(running=True)
        if outcome == "given_up":
            self._notes.say("(not stopped: the server does not answer; the reply may go on)")
        elif reply.status == "failed" and reply.error:
            failed = f"the reply failed: {reply.error.message} ({reply.error.code}); /retry asks again"
            self._notes.complain(failed)

    async def _recall(self, snapshot: Snapshot) -> None:
        """Show where the conversation stands: its last question and the answer, which may still be written."""
        if not snapshot.turns:
            return
        turn = snapshot.turns[-1]
        self._notes.say(f"{snapshot.about.title} · {snapshot.total} turn{'s' * (snapshot.total != 1)}")
        if turn.ended:
            past(turn, drawn=self._drawn)
        else:
            print("\n".join(f"> {line}" for line in clean(turn.question).splitlines()))
            await self._answer(self._client.attach(snapshot.conversation, turn.turn))

    def _farewell(self, *, running: bool) -> None:
        if not self._session.conversation:
            return
        url = f" --url {self._options.url}" if self._options.url else ""
        line = f"parley attach{url} {short(self._session.conversation)}"
        self._notes.say(f"the reply goes on; back to it: {line}" if running else f"back to it: {line}")

    def _interrupt(self) -> None:
        """Ctrl-C is a key at a prompt and under a reply; elsewhere, and from elsewhere, it is a signal."""
        if self._prompt.app.is_running:
            self._prompt.app.exit(exception=KeyboardInterrupt)
        elif self._live is not None:
            self._live.stop()
        elif self._work is not None:
            self._work.cancel()
        else:
            self._interrupted = True

    def _hang_up(self) -> None:
        """Somebody wants us to go: leave as with Ctrl-D."""
        self._gone = True
        if self._prompt.app.is_running:
            self._prompt.app.exit(exception=EOFError)
        elif self._live is not None:
            self._live.leave()
        elif self._work is not None:
            self._work.cancel()


def _bindings() -> KeyBindings:
    """Enter sends, unless the message says that it goes on."""
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        at_end = buffer.cursor_position == len(buffer.text)
        if at_end and buffer.text.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        elif words.unfinished(buffer.text):
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @bindings.add("c-o")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.open_in_editor()

    return bindings


def _history(memory: Memory) -> History:
    with contextlib.suppress(OSError):
        memory.prepare()
        memory.typed.touch(mode=0o600)
        return FileHistory(memory.typed)
    return InMemoryHistory()


def _warm() -> None:
    import parley.client.terminal.markdown  # noqa: F401
