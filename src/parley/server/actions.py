"""An action: an assistant as the first seed's page talks to one, a call at a time, by a state that is handed around.

A state is a conversation's id: 128 random bits, and of no use to anyone but its owner. Whatever else is sent for a
state, a new conversation begins, and that is said; nobody learns whether it ever was one.
"""

import contextlib
import time
from collections.abc import AsyncIterator

from parley.core.errors import Gone, NotFound, ParleyError
from parley.core.snapshot import Snapshot
from parley.server.auth import Principal
from parley.server.parts import Parts
from parley.server.telling import Telling
from parley.wire import serverless
from parley.wire.commands import Create, Say
from parley.wire.serverless import Mark, More, Switch

# Where a conversation's metadata keep how far its newest reply was told.
MARK = "told"


class Action:
    """One assistant, for one caller.

    Args:
        assistant: its name; empty: the default model alone.
    """

    def __init__(self, parts: Parts, who: Principal, assistant: str) -> None:
        self._parts = parts
        self._service = parts.service
        self._models = [choice.name for choice in parts.config.models]
        self._who = who
        self._assistant = assistant

    async def hear(self, said: "serverless.Said", state: str, key: str | None) -> "Answer":
        """Begin to answer.

        Args:
            state: what the last reply told; empty: none.
            key: the same key is the same call.

        Raises:
            ParleyError: nothing was begun.
        """
        found = await self._find(state)
        opening = serverless.EXPIRED if state and found is None else ""
        if isinstance(said, More):
            return await self._more(found, opening)
        if isinstance(said, Switch):
            return await self._switch(found, opening, said.model, key)
        about = {MARK: ""} if found and MARK in found.about.metadata else {}
        conversation, new = await self._with(found, said.model, about, key)
        try:
            telling = Telling(self._parts.hub, self._service, self._who, conversation)
            try:
                await telling.begin(Say(input=said.text, assistant=self._assistant), key)
            except BaseException:
                telling.close()
                raise
        except ParleyError:
            if new:
                with contextlib.suppress(ParleyError):
                    await self._service.delete(self._who, conversation)
            raise
        return Answer(conversation, opening, telling, self)

    async def remember(self, conversation: str, mark: Mark | None) -> None:
        """Keep how far a reply was told; None: wholly."""
        with contextlib.suppress(NotFound, Gone):
            await self._describe(conversation, {MARK: mark.encode() if mark else ""})

    async def _find(self, state: str) -> Snapshot | None:
        """The caller's conversation, renewed; None when that is none, or not any more."""
        if not state:
            return None
        try:
            await self._service.require(self._who, state)
            return await self._service.conversations.snapshot(state, turns=1)
        except (NotFound, Gone):
            return None

    async def _with(
        self, found: Snapshot | None, model: str, notes: dict[str, str], key: str | None
    ) -> tuple[str, bool]:
        """The conversation, a new one if need be, with another model and notes if there are any; whether it is new."""
        if found is None:
            made, new = await self._service.create(self._who, Create(assistant=self._assistant, model=model), key)
            return made.conversation, new
        if notes or (model and model != found.about.model):
            await self._describe(found.conversation, notes, model)
        return found.conversation, False

    async def _describe(self, conversation: str, notes: dict[str, str], model: str = "") -> None:
        conversations = self._service.conversations
        about = (await conversations.snapshot(conversation, turns=0)).about
        metadata = {name: value for name, value in {**about.metadata, **notes}.items() if value}
        changed = about.changed(metadata=metadata, model=model or about.model)
        if changed != about:
            await conversations.change(conversation, changed)

    # What is answered at once.

    async def _more(self, found: Snapshot | None, opening: str) -> "Answer":
        """The rest of a reply: of the one that broke off, else of the one in progress, else the last one again."""
        mark = serverless.parse_mark(found.about.metadata.get(MARK, "")) if found else None
        turn = mark.turn if mark else next(iter(found.waiting), found.head) if found else ""
        if found is None or not turn:
            state = found.conversation if found else None
            return Answer(state, opening + self._greeting(), None, self)
        telling = Telling(self._parts.hub, self._service, self._who, found.conversation)
        try:
            await telling.resume(turn, mark)
        except BaseException:
            telling.close()
            raise
        return Answer(found.conversation, opening, telling, self, marked=mark is not None)

    def _greeting(self) -> str:
        config = self._parts.config
        return config.greeting.replace("{name}", self._assistant or config.default or "Parley")

    async def _switch(self, found: Snapshot | None, opening: str, model: str, key: str | None) -> "Answer":
        state, config = found.conversation if found else None, self._parts.config
        own = next((choice.model for choice in config.assistants if choice.name == self._assistant), "")
        current = (found.about.model if found else "") or own or config.default
        if not model:
            return Answer(state, opening + serverless.choices(self._models, current), None, self)
        if model not in self._models:
            told = serverless.failure(f"there is no model named {model[:100]!r}")
            return Answer(state, f"{opening}{told}\n\n{serverless.choices(self._models, current)}", None, self)
        conversation, _ = await self._with(found, model, {}, key)
        return Answer(conversation, f"{opening}From here on {model} answers.", None, self)


class Answer:
    """What an action says to one call: a state first, then text. `texts` once, then `settle`, and `close` in any case.

    Args:
        opening: what can be said at once.
        telling: what is written now; None: nothing is.
        marked: the telling goes on from a mark.
    """

    def __init__(
        self, state: str | None, opening: str, telling: Telling | None, action: Action, *, marked: bool = False
    ) -> None:
        self.state = state
        self.telling = telling
        self.unfinished = False  # there is more, for the next call
        self._opening = opening
        self._action = action
        self._marked = marked

    async def texts(self, until: float) -> AsyncIterator[str]:
        """The text as it comes, never empty, up to its end or to a moment (of `time.monotonic`)."""
        if self._opening:
            yield self._opening
        telling, said = self.telling, bool(self._opening)
        while telling is not None:
            if telling.waiting:
                said = True
                yield telling.take()
            elif telling.ended:
                break
            elif telling.away or time.monotonic() >= until:
                self.unfinished = said = True
                yield serverless.MORE
                break
            else:
                await telling.advance(until - time.monotonic())
        if not said:
            yield serverless.NOTHING_MORE

    async def settle(self, *, heard: bool) -> None:
        """Remember what is still to be told.

        Args:
            heard: whether the texts arrived; if not, all of it is.
        """
        if self.telling is None or self.state is None:
            return
        mark = self.telling.mark
        if not heard:
            await self._action.remember(self.state, Mark(mark.turn, mark.generation, 0))
        elif self.unfinished:
            await self._action.remember(self.state, mark)
        elif self._marked:
            await self._action.remember(self.state, None)

    def close(self) -> None:
        """Listen no more."""
        if self.telling is not None:
            self.telling.close()
