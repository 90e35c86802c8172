"""The page folds what the core folds: random logs, told by the codec, looked at by both."""

import random
from typing import Any

import msgspec
import pytest

from parley.core import event
from parley.core.about import About
from parley.core.event import Entry, Event
from parley.core.message import Message
from parley.core.pieces import Channel, channel_text
from parley.core.snapshot import Partial, Snapshot
from parley.core.turn import ROOT, Outcome, Request, Status, Turn, TurnError
from parley.core.view import View
from parley.wire import frames
from tests.browser.chromium import in_page, modules, play

pytestmark = pytest.mark.browser

NAME = "conv_00" + "0" * 32
WORDS = ("a", "word ", "né", "日本", "🙂", "👩‍👩‍👧", "\n\n", "**", "\u2028", "x" * 50, "\U0001f1ee\U0001f1f9 ")

CHANNELS: tuple[Channel, ...] = ("text", "reasoning", "tool")


class Log:
    """A conversation that is made up, as the store would tell it."""

    def __init__(self, source: random.Random) -> None:
        self.random = source
        self.view = View()
        self.frames: list[Any] = []
        self.snapshots: list[Any] = []
        self.errors: dict[str, TurnError] = {}
        self.about = About(title="first")
        self._tell()

    def _tell(self) -> None:
        turns, running = [], None
        for name, shown in self.view.turns.items():
            ended = shown.status not in ("queued", "in_progress")
            outcome = None
            if ended:
                body = shown.body.decode()
                outcome = Outcome(shown.status, body, shown.pieces, shown.gen, error=self.errors.get(name))
            if shown.status == "in_progress":
                running = Partial(name, shown.gen, shown.body.decode(), shown.pieces)
            turns.append(Turn(name, shown.parent, 1, shown.request, shown.status, outcome))
        waiting = tuple(name for name, shown in self.view.turns.items() if shown.status == "queued")
        snapshot = Snapshot(
            NAME, self.view.cursor, "me", 1, 2, self.about, "", len(turns), 0, tuple(turns), running, waiting
        )
        self.snapshots.append(msgspec.json.decode(frames.encode(frames.snapshot_frame(snapshot))))

    def happen(self, what: Event) -> None:
        """Append an event."""
        previous = self.view.cursor
        cursor = f"{len(self.frames) + 1}-{self.random.randrange(10**9)}"
        self.view.apply(cursor, previous, what)
        frame = frames.entry_frame(NAME, Entry(cursor, previous, msgspec.json.encode(what)))
        self.frames.append(msgspec.json.decode(frame))
        self._tell()

    def step(self) -> None:
        """Whatever may happen next."""
        open_ones = [name for name, shown in self.view.turns.items() if shown.status in ("queued", "in_progress")]
        chance = self.random.random()
        if not open_ones or chance < 0.05:
            name = f"{len(self.view.turns):016x}"
            parent = self.random.choice([ROOT, *self.view.turns])
            self.happen(event.Queued(name, parent, Request((Message("user", f"say {name}"),))))
        elif chance < 0.08:
            self.about = About(title=self.random.choice(WORDS))
            self.happen(event.Changed(self.about.public()))
        else:
            self._go_on(open_ones[0], self.random.random())

    def _go_on(self, name: str, chance: float) -> None:
        shown = self.view.turns[name]
        if shown.status == "queued" and chance < 0.9:
            self.happen(event.Started(name))
        elif shown.status == "queued" or chance < 0.04:
            status: Status = self.random.choice(("completed", "incomplete", "failed", "cancelled"))
            error = TurnError("model_unreachable", "No answer.") if status == "failed" else None
            if error:
                self.errors[name] = error
            self.happen(event.Ended(name, status, len(shown.body), error))
        elif chance < 0.08:
            self.happen(event.TakenOver(name, 2))
        elif chance < 0.1:
            self.happen(event.Delayed(name, "rate_limited", 3.0))
        elif chance < 0.16 and shown.body:
            at = len(shown.body.decode()[: self.random.randrange(len(shown.body.decode()))].encode())
            self.happen(event.Rewound(name, shown.gen + 1, at))
        else:
            channel = self.random.choices(CHANNELS, (8, 2, 1))[0]
            text = "".join(self.random.choices(WORDS, k=self.random.randrange(1, 4)))
            self.happen(event.Delta(name, shown.gen, len(shown.body), text, channel))

    def expected(self) -> list[Any]:
        """What is to be shown at the end."""
        told = []
        for name, shown in self.view.turns.items():
            body = shown.body.decode()
            parts = [channel_text(body, shown.pieces, channel) for channel in CHANNELS]
            told.append([name, shown.parent, shown.status, shown.gen, len(shown.body), *parts])
        return told


FOLD = """async ({frames, snapshots, cuts}) => {
  const {emptyView, fold} = await import("/static/js/fold.js");
  return cuts.map((cut) => {
    const view = emptyView("c");
    let resyncs = 0;
    fold(view, snapshots[cut], 0);
    for (let at = cut; at < frames.length; at += 1) {
      if (!fold(view, frames[at], 0)) {
        resyncs += 1;
        if (frames[at].type !== "rewind") throw new Error(`refused ${JSON.stringify(frames[at])}`);
        fold(view, snapshots[at + 1], 0);
      }
    }
    const turns = [...view.turns.values()];
    return {resyncs, cursor: view.cursor, title: view.about.title, turns: turns.map((turn) =>
      [turn.id, turn.parent, turn.status, turn.gen, turn.length, turn.text, turn.reasoning, turn.tool])};
  });
}"""


def test_folds_what_the_core_folds_from_any_cut() -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    source = random.Random(seed)

    async def main() -> None:
        async with modules() as page:
            folded = 0
            for _ in range(16):
                log = Log(source)
                for _ in range(source.randrange(5, 90)):
                    log.step()
                cuts = [0, len(log.frames), *(source.randrange(len(log.frames)) for _ in range(4))]
                told = {"frames": log.frames, "snapshots": log.snapshots, "cuts": cuts}
                for cut, got in zip(cuts, await in_page(page, FOLD, told), strict=True):
                    assert got["turns"] == log.expected(), f"seed {seed} cut {cut}"
                    assert (got["cursor"], got["title"]) == (log.view.cursor, log.about.title)
                    # Only a reply whose channels a snapshot has mixed cannot be rewound without another one.
                    assert got["resyncs"] == 0 or cut > 0
                    folded += 1
            assert folded == 96

    play(main())


def test_a_frame_that_does_not_join_is_refused_and_changes_nothing() -> None:
    script = """async () => {
      const {emptyView, fold} = await import("/static/js/fold.js");
      const snapshot = (turns) => ({type: "snapshot", cursor: "1-1", about: {}, first: 0, turns, waiting: []});
      const request = {input: []};
      const running = {turn: "t", parent: "", request, status: "in_progress", gen: 2, length: 3, text: "né"};
      const bad = [
        {type: "delta", turn: "t", gen: 1, offset: 3, text: "x"},
        {type: "delta", turn: "t", gen: 2, offset: 2, text: "x"},
        {type: "delta", turn: "t", gen: 2, offset: 4, text: "x"},
        {type: "delta", turn: "other", gen: 2, offset: 3, text: "x"},
        {type: "rewind", turn: "t", gen: 2, offset: 0},
        {type: "rewind", turn: "t", gen: 3, offset: 9},
        {type: "rewind", turn: "t", gen: 3, offset: 2},
        {type: "end", turn: "t", status: "completed", length: 4},
        {type: "queued", turn: "t", parent: "", request: {input: []}},
      ];
      const view = emptyView("c");
      const early = fold(view, {...bad[0], cursor: "9-9"}, 0);
      fold(view, snapshot([running]), 0);
      const before = JSON.stringify([...view.turns]);
      const taken = bad.filter((frame) => fold(view, {...frame, cursor: "2-2"}, 0));
      const ended = emptyView("d");
      fold(ended, snapshot([{...running, status: "completed"}]), 0);
      const late = fold(ended, {type: "delta", turn: "t", gen: 2, offset: 3, text: "x", cursor: "2-2"}, 0);
      return {early, taken, late, same: before === JSON.stringify([...view.turns]), cursor: view.cursor};
    }"""

    async def main() -> None:
        async with modules() as page:
            got = await in_page(page, script)
            assert got == {"early": False, "taken": [], "late": False, "same": True, "cursor": "1-1"}

    play(main())


def test_shows_the_path_to_what_was_said_last_unless_another_was_chosen() -> None:
    script = """async () => {
      const {emptyView, fold} = await import("/static/js/fold.js");
      const {choose, follows, path} = await import("/static/js/fold.js");
      const view = emptyView("c");
      const turn = (id, parent) => ({turn: id, parent, request: {input: []}, status: "completed", length: 1, text: id});
      const turns = [turn("a", ""), turn("b", "a"), turn("c", "b"), turn("d", "a"), turn("e", "d")];
      const snapshot = (first) => ({type: "snapshot", cursor: "1-1", about: {}, first, turns: turns.slice(first)});
      fold(view, snapshot(0), 0);
      const shown = () => path(view).map((step) => `${step.turn.id}/${step.siblings.join("")}`).join(" ");
      const told = [shown(), follows(view) ?? null];
      choose(view, view.turns.get("d"), "b");
      told.push(shown(), follows(view));
      fold(view, {type: "queued", turn: "f", parent: "d", request: {input: []}, cursor: "2-2"}, 0);
      told.push(shown());
      const window = emptyView("w");
      fold(window, snapshot(3), 0);
      told.push(path(window).map((step) => step.turn.id).join(" "));
      return told;
    }"""

    async def main() -> None:
        async with modules() as page:
            assert await in_page(page, script) == [
                "a/a d/bd e/e", None, "a/a b/bd c/c", "c", "a/a d/bd f/ef", "d e",
            ]  # fmt: skip

    play(main())
