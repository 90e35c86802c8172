"""What the slash words do."""

import base64
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from parley.client.client import AsyncClient
from parley.client.reply import AsyncReply
from parley.client.terminal.clean import clean
from parley.client.terminal.editor import edit
from parley.client.terminal.export import document, markdown
from parley.client.terminal.names import short
from parley.client.terminal.screen import Notes
from parley.client.terminal.session import Session
from parley.client.terminal.words import Word, help_text
from parley.client.values import Snapshot
from parley.wire.commands import Asked

# What may be set of how the model is asked to answer, and what it takes.
SETTABLE = {
    "temperature": "a number from 0 to 2",
    "top_p": "a number from 0 to 1",
    "max_tokens": "a whole number from 1 on",
    "stop": "a text",
    "seed": "a whole number",
    "presence_penalty": "a number from -2 to 2",
    "frequency_penalty": "a number from -2 to 2",
}


class Commands:
    """The slash words, but /bye.

    Args:
        answer: shows the reply to a message.
        recall: shows where a conversation stands.
    """

    def __init__(
        self,
        client: AsyncClient,
        session: Session,
        notes: Notes,
        *,
        answer: Callable[[AsyncReply], Awaitable[None]],
        recall: Callable[[Snapshot], Awaitable[None]],
    ) -> None:
        self._client = client
        self._session = session
        self._notes = notes
        self._answer = answer
        self._recall = recall
        self._listed: list[str] = []
        self.draft = ""  # what was edited, for the next prompt

    async def obey(self, word: Word) -> None:
        """Do what a slash word says.

        Raises:
            Error: the server will not have it.
        """
        match word.name:
            case "help":
                print(help_text())
            case "new":
                self._session.new()
                self._notes.say("a new conversation begins with your next message")
            case "list":
                await self._list()
            case "open":
                await self._open(word.rest)
            case "model":
                await self._model(word.rest)
            case "system":
                await self._system(word.rest)
            case "set":
                await self._set(word.rest)
            case "retry":
                await self._retry()
            case "back":
                await self._back()
            case "edit":
                self.draft = await edit(word.rest)
            case "copy":
                await self._copy()
            case "save":
                await self._save(word.rest)
            case "share":
                await self._share(word.rest)
            case "info":
                await self._info()
            case _:
                advice = "/help tells what there is, a space before / says it as it is"
                self._notes.complain(f"there is no /{word.said}; {advice}")

    async def _list(self) -> None:
        found = await self._session.listing()
        self._listed = [one.id for one in found]
        for number, one in enumerate(found, 1):
            here = "*" if one.id == self._session.conversation else " "
            print(f"{here}{number:3}  {short(one.id)}  {clean(one.title) or '(no title)'}")
        if not found:
            self._notes.say("no conversations yet")

    async def _open(self, name: str) -> None:
        if not name:
            self._notes.complain("/open takes a number of /list or an id")
            return
        if name.isascii() and name.isdigit() and len(name) < 4:
            if not self._listed:
                self._listed = [one.id for one in await self._session.listing()]
            if not 1 <= int(name) <= len(self._listed):
                self._notes.complain(f"/list has no number {name}")
                return
            name = self._listed[int(name) - 1]
        await self._recall(await self._session.open(name))

    async def _model(self, name: str) -> None:
        known = (await self._client.models()).names()
        if name and known and name not in known:
            self._notes.complain(f"there is no model {name!r}; there is: {', '.join(known)}")
        elif name:
            self._session.model = name
            self._notes.say(f"{name} answers from now on")
        else:
            for one in known:
                print(f"{'*' if one == self._session.model else ' '} {clean(one)}")

    async def _system(self, text: str) -> None:
        if not text:
            self._notes.complain("/system takes the instructions for the conversation")
            return
        await self._session.instruct(text)
        self._notes.say("instructions set, from the next message on")

    async def _set(self, text: str) -> None:
        name, _, value = text.partition(" ")
        if name == "system":
            await self._system(value.strip())
        elif not name:
            for each, chosen in msgspec.structs.asdict(self._session.parameters).items():
                if chosen not in (None, ()):
                    print(f"  {each:18} {clean(str(chosen))}")
        elif name not in SETTABLE:
            self._notes.complain(f"there is no {name!r}; there is: {', '.join(SETTABLE)}")
        else:
            given = {name: (value.strip(),) if name == "stop" else value.strip()} if value.strip() else {}
            try:
                chosen = msgspec.convert(given, Asked, strict=False).parameters()
            except msgspec.ValidationError:
                self._notes.complain(f"{name} takes {SETTABLE[name]}, not {value.strip()!r}")
                return
            fields = {name: getattr(chosen, name)}
            self._session.parameters = msgspec.structs.replace(self._session.parameters, **fields)
            unset = f"(/set {name} leaves it to the model again)"
            self._notes.say(
                f"{name} is {value.strip()} from now on {unset}" if given else f"{name} is left to the model"
            )

    async def _back(self) -> None:
        turn = await self._session.back()
        if turn is None:
            self._notes.complain("there is nothing before that")
        else:
            self._notes.say(f"left out: {' '.join(turn.question.split())[:60]}; your next message takes its place")

    async def _copy(self) -> None:
        turn = await self._session.last_turn()
        if turn is None or not turn.text:
            self._notes.complain("there is no answer yet")
            return
        # OSC 52: the terminal puts it into the clipboard, also from afar.
        sys.stdout.write(f"\x1b]52;c;{base64.b64encode(turn.text.encode()).decode()}\x07")
        self._notes.say(f"{len(turn.text)} characters are in the clipboard, if the terminal lets them")

    async def _save(self, name: str) -> None:
        if not name or not self._session.conversation:
            self._notes.complain("/save takes the name of a file" if not name else "nothing was said yet")
            return
        about = (await self._client.get(self._session.conversation, turns=0)).about
        turns = await self._client.history(self._session.conversation)
        try:
            _write(name, (document if name.endswith(".json") else markdown)(about, turns))
        except OSError as error:
            self._notes.complain(f"{name} cannot be written: {error.strerror}")
        else:
            self._notes.say(f"{len(turns)} turn{'s' * (len(turns) != 1)} in {name}")

    async def _share(self, word: str) -> None:
        name = self._session.conversation
        if not name or word not in ("", "off"):
            self._notes.complain("/share takes nothing, or off" if name else "nothing was said yet")
        elif word:
            await self._client.unshare(name)
            self._notes.say("no link leads here any more")
        else:
            print(await self._client.share(name))
            self._notes.say("whoever has it can read all of this and what is said later; /share off ends it")

    async def _retry(self) -> None:
        turn = await self._session.last_turn()
        if turn is None:
            self._notes.complain("nothing was asked yet")
            return
        await self._answer(await self._session.say(turn.question, parent=turn.parent))

    async def _info(self) -> None:
        lines: dict[str, Any] = {"server": self._client.url, "conversation": self._session.conversation or "(new)"}
        if self._session.conversation:
            snapshot = await self._client.get(self._session.conversation, turns=0)
            lines |= {"title": snapshot.about.title, "turns": snapshot.total}
        lines["model"] = self._session.model or "(the conversation's)"
        for name, value in lines.items():
            print(f"  {name:13} {clean(str(value))}")


def _write(name: str, text: str) -> None:
    """Write a file that is not there yet."""
    with Path(name).expanduser().open("x", encoding="utf-8") as file:
        file.write(text)
