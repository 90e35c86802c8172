"""The fold of a reply: whatever is repeated, cut or replaced, what is read is what stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from parley.client.fold import Gap, ReplyText
from parley.core.pieces import LETTERS, Channel

TEXT = st.text(alphabet="aé∑😀\n", min_size=1, max_size=5)


class Folding(RuleBasedStateMachine):
    """Moves a fold and a list of characters side by side; a reader follows by floors."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = ReplyText()
        self.stands: list[tuple[str, Channel]] = []
        self.gen = 1
        self.known = True
        self.reader: dict[Channel, str] = {"text": "", "reasoning": ""}
        self.floors = 0

    def shown(self, channel: Channel) -> str:
        return "".join(char for char, where in self.stands if where == channel)

    def size(self) -> int:
        return sum(len(char.encode()) for char, _ in self.stands)

    @rule(text=TEXT, channel=st.sampled_from(["text", "reasoning", "tool"]))
    def speak(self, text: str, channel: Channel) -> None:
        assert self.fold.delta(self.gen, self.size(), text, channel)
        self.stands += [(char, channel) for char in text]

    @rule(text=TEXT)
    def repeat(self, text: str) -> None:
        size = len(text.encode())
        if size <= self.size():
            assert not self.fold.delta(self.gen, self.size() - size, text)
        assert not self.fold.delta(self.gen - 1, 0, text)

    @rule(text=TEXT)
    def skip(self, text: str) -> None:
        with pytest.raises(Gap):
            self.fold.delta(self.gen, self.size() + 1, text)
        with pytest.raises(Gap):
            self.fold.delta(self.gen + 1, self.size(), text)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        kept = data.draw(st.integers(0, len(self.stands)))
        self.stands = self.stands[:kept]
        self.gen += 1
        assert self.fold.rewind(self.gen, self.size())
        assert not self.fold.rewind(self.gen, 0)

    @precondition(lambda self: not self.known and self.stands)
    @rule()
    def rewind_into_the_unknown(self) -> None:
        with pytest.raises(Gap):
            self.fold.rewind(self.gen + 1, self.size() - 1)

    @rule(
        text=st.text("aé", max_size=6),
        reasoning=st.text("aé", max_size=3),
        tool=st.text("aé", max_size=3),
        later=st.integers(0, 2),
    )
    def snapshot(self, text: str, reasoning: str, tool: str, later: int) -> None:
        self.gen += later
        self.stands = [(char, "reasoning") for char in reasoning] + [(char, "text") for char in text]
        self.stands += [(char, "tool") for char in tool]
        self.known = [bool(text), bool(reasoning), bool(tool)].count(True) < 2
        self.fold.replace(self.gen, self.size(), text, reasoning, tool)

    @rule()
    def look(self) -> None:
        for floor in self.fold.floors[self.floors :]:
            self.reader["text"] = self.reader["text"][: floor.text]
            self.reader["reasoning"] = self.reader["reasoning"][: floor.reasoning]
        self.floors = len(self.fold.floors)
        for channel, had in self.reader.items():
            self.reader[channel] += self.fold.read(channel, len(had))
            assert self.reader[channel] == self.shown(channel)

    @invariant()
    def reads_what_stands(self) -> None:
        assert self.fold.length == self.size()
        for channel in LETTERS:
            assert self.fold.read(channel) == self.shown(channel)
            assert self.fold.size(channel) == len(self.shown(channel))


TestFolding = Folding.TestCase


@given(st.text("aé", min_size=1))
def test_a_snapshot_that_contradicts_itself_is_no_ground_to_stand_on(text: str) -> None:
    with pytest.raises(Gap):
        ReplyText().replace(1, len(text.encode()) + 1, text, "")
