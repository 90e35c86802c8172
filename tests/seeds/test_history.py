"""`History` of the first seed, row by row of what it shows (A11-A23); the seed's own figures beside."""

import json
import re
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from parley.core.about import About
from parley.core.errors import Unavailable
from parley.core.limits import Timing
from parley.core.message import Message
from parley.core.turn import Private, Request
from parley.seeds import chat, history
from parley.seeds.settings import SettingsError
from parley.store.connect import connect
from parley.store.conversations import Conversations
from parley.store.keys import Keys
from parley.store.permissions import acl_rules
from parley.store.runs import Runs
from tests.redis_servers import binaries
from tests.seeds.classroom import PREFIX, SHARDS, Classroom, Reader, _clean_environment, classroom, room
from tests.system.deployment import environment, until

__all__ = ["_clean_environment", "room"]

ID = re.compile(r"conv_[0-9a-f]{34}")


class Own:
    """Somebody's own chat class: it can `add`, and nothing else."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, message: str) -> None:
        self.lines.append(message)


def lines(room: Classroom, state: str) -> list[str]:
    """What a history gives back."""
    own = Own()
    history.History(room.args(state=state)).load(own)
    return own.lines


def turn(room: Classroom, said: str, state: str | None, **more: Any) -> dict[str, Any]:
    """The slides' stateful action."""
    args = room.args(input=said, state=state, **more)
    res: dict[str, Any] = {}
    hi = history.History(args)
    ch = chat.Chat(args)
    hi.load(ch)
    msg = f"user:{said}"
    ch.add(msg)
    hi.save(msg)
    out = ch.complete()
    hi.save(f"assistant:{out}")
    res["output"] = out
    res["state"] = hi.id()
    return res


def in_page(room: Classroom, conversation: str, said: str, answer: str) -> None:
    """Something is said in the page, and answered by a worker."""

    async def work(conversations: Conversations) -> None:
        client = connect(room.server.url)
        runs = Runs(client, client, Keys(PREFIX, SHARDS), Timing(), "page-worker")
        try:
            await runs.prepare()
            message = Request((Message("user", said),))
            await conversations.post(conversation, f"{abs(hash(said)):016x}"[:16], message, Private())
            claims, _ = await runs.wait(2)
            grant = await runs.acquire(claims[0], "fence")
            assert grant is not None
            await runs.final(grant, 1, 0, "completed", b"", ["", answer])
        finally:
            await client.aclose()

    room.store(work)


@pytest.mark.parametrize("missing", ["REDIS_URL", "REDIS_PREFIX"])
def test_a11_without_a_prefix_it_fails(room: Classroom, missing: str) -> None:
    """A11: 'NOTE: you have always to use a prefix'; the seed fails with a TypeError."""
    with pytest.raises(SettingsError, match=f"{missing} is missing"):
        history.History(room.args(**{missing: ""}))


@pytest.mark.parametrize(
    "wrong", [{"REDIS_PREFIX": "a b:"}, {"REDIS_PREFIX": "*"}, {"REDIS_URL": "http://:pass@x"}, {"PARLEY_SHARDS": "0"}]
)
def test_a11_a_setting_that_cannot_be_used_is_named(room: Classroom, wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="cannot be used") as caught:
        history.History(room.args(**wrong))
    assert "pass" not in str(caught.value).replace("password", "")


def test_a11_every_key_has_the_prefix(room: Classroom) -> None:
    turn(room, "Italy", None)
    assert all(key.startswith(PREFIX.encode()) for key in room.all_keys())


@pytest.mark.parametrize("binary", binaries().values(), ids=binaries().keys())
def test_a11_d13_a_user_limited_to_the_prefix_is_enough(binary: Any) -> None:
    """d.13: others can see key names, not read them; no KEYS, no CONFIG, no FLUSHDB."""
    with classroom(binary) as room:
        room.command("ACL", "SETUSER", "msciab", "on", ">secret", *acl_rules(PREFIX))
        url = room.server.url.replace("redis://", "redis://msciab:secret@")
        first = turn(room, "Italy", None, REDIS_URL=url)
        turn(room, "France", first["state"], REDIS_URL=url)
        assert len(lines(room, first["state"])) == 4
        assert all(key.startswith(PREFIX.encode()) for key in room.all_keys())


def test_a12_nothing_of_the_seeds_own_form_is_written(room: Classroom) -> None:
    """A12: a LIST of `role:content` under `{prefix}assistant:{uuid4}`. Ours is a conversation like any other."""
    state = turn(room, "Italy", None)["state"]
    assert not [key for key in room.all_keys() if b"assistant:" in key]
    found = room.store(lambda conversations: conversations.listing("local"))
    assert found[0].conversation == state
    assert found[0].about.title == "Italy"


def test_a13_it_lives_a_day_from_its_last_use(room: Classroom) -> None:
    """A13: `EXPIRE key 86400` after every save: a sliding day; the transcript says a day from the creation."""
    state = turn(room, "Italy", None)["state"]
    meta = Keys(PREFIX, SHARDS).conversation(state)[0]
    for use in (lambda: history.History(room.args(state=state)).save("user:x"), lambda: lines(room, state)):
        room.redis.expire(meta, 100)
        use()
        assert int(room.redis.ttl(meta)) in range(86_390, 86_401)


def test_a13_how_long_can_be_set(room: Classroom) -> None:
    more = {"PARLEY_LIFETIMES_CONVERSATION": "1000", "PARLEY_LIFETIMES_CAP": 500}
    state = turn(room, "Italy", None, **more)["state"]
    assert int(room.redis.ttl(Keys(PREFIX, SHARDS).conversation(state)[0])) in range(480, 501)
    for wrong in ("0", "-1", "1.5", "day"):
        with pytest.raises(SettingsError, match="number of seconds"):
            history.History(room.args(PARLEY_LIFETIMES_CONVERSATION=wrong))


def test_a14_the_state_is_an_opaque_id(room: Classroom) -> None:
    """A14: the state is the raw Redis key, `msciab:assistant:<uuid>`."""
    ids = {turn(room, "Italy", None)["state"] for _ in range(5)}
    assert len(ids) == 5
    assert all(ID.fullmatch(each) for each in ids)


@pytest.mark.parametrize(
    "state",
    ["msciab:assistant:0", "msciab:text", "conv_", "conv_" + "0" * 34, "x" * 100_000, "\0", "é", 5, {"a": 1}, ["x"]],
)
def test_a14_a15_d11_a_state_of_nothing_gets_a_new_conversation(room: Classroom, state: Any) -> None:
    """A14, A15, d.11: any LIST key is read and sent to the model, a string key is `WRONGTYPE` and 502, an unknown one
    silently starts empty under the same id."""
    room.redis.rpush("msciab:assistant:0", "user:the secret of another")
    room.redis.set("msciab:text", "a string")
    hi = history.History(room.args(state=state))
    assert hi.expired
    assert ID.fullmatch(hi.id())
    assert hi.id() != state
    own = Own()
    hi.load(own)
    assert own.lines == []
    room.redis.delete("msciab:assistant:0", "msciab:text")


def test_a14_d11_another_owners_conversation_does_not_exist(room: Classroom) -> None:
    """A14: another conversation's key is accepted, and its content sent to the model."""
    hers = history.History(room.args(), owner="user:alice")
    hers.save("user:my secret")
    for owner in ("local", "user:bob"):
        his = history.History(room.args(state=hers.id()), owner=owner)
        assert his.expired
        assert his.id() != hers.id()
    assert not history.History(room.args(state=hers.id()), owner="user:alice").expired


def test_a15_an_expired_state_is_signalled(room: Classroom) -> None:
    """A15: silently starts empty under the same id."""
    state = turn(room, "Italy", None)["state"]
    room.redis.delete(*Keys(PREFIX, SHARDS).conversation(state)[:7])
    hi = history.History(room.args(state=state))
    assert hi.expired
    assert hi.id() != state


@pytest.mark.parametrize("deleted", [False, True])
def test_a15_one_that_goes_in_between_is_replaced(room: Classroom, deleted: bool) -> None:
    """Expired, or deleted in the page, between two lines of an action: nothing that is said from then on is lost."""

    def gone(state: str) -> None:
        if deleted:
            room.store(lambda conversations: conversations.delete(state))
        else:
            room.redis.delete(*Keys(PREFIX, SHARDS).conversation(state)[:7])

    state = turn(room, "Italy", None)["state"]
    hi, ch = history.History(room.args(state=state)), chat.Chat(room.args())
    hi.load(ch)
    gone(state)
    hi.save("user:France")
    assert hi.expired
    assert hi.id() == ch.state != state
    hi.save("assistant:Paris")
    assert lines(room, hi.id()) == ["user:France", "assistant:Paris"]

    hi = history.History(room.args(state=hi.id()))
    gone(hi.id())
    own = Own()
    hi.load(own)
    assert own.lines == []
    assert hi.expired


@pytest.mark.parametrize("state", ["", None])
def test_a16_no_state_is_a_conversation_of_ones_own(room: Classroom, state: str | None) -> None:
    """A16: `""` is taken for the key `""`: all such callers share one conversation."""
    hi, other = history.History(room.args(state=state)), history.History(room.args(state=state))
    hi.save("user:mine")
    other.save("user:yours")
    assert not hi.expired
    assert lines(room, hi.id()) == ["user:mine"]


def test_a17_nothing_is_made_before_something_is_said(room: Classroom) -> None:
    """A17: selecting a chat sends an empty input, and makes no state."""
    before = room.redis.dbsize()
    hi = history.History(room.args())
    hi.id()
    hi.load(chat.Chat(room.args()))
    assert room.redis.dbsize() == before


def test_a19_what_a_user_says_is_kept_before_the_model_is_asked(room: Classroom) -> None:
    """A19: in the published solution both are saved after; when the model raises, nothing was."""
    hi, ch = history.History(room.args()), chat.Chat(room.args())
    ch.add("user:say 2 status=400")
    hi.save("user:say 2 status=400")
    with pytest.raises(chat.ModelError):
        ch.complete()
    assert lines(room, hi.id()) == ["user:say 2 status=400"]
    # The next turn answers it together with what follows.
    assert turn(room, "Italy", hi.id())["output"] == "You said: Italy (3 messages)"


def test_a20_parallel_turns_on_one_state_are_serialised(room: Classroom) -> None:
    """A20: load, complete and save without a lock: two parallel turns interleave and lose context."""
    state = turn(room, "Italy", None)["state"]
    failures: list[BaseException] = []

    def act(number: int) -> None:
        try:
            turn(room, f"say 3 first=0.05 tag=n{number}", state)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    found = lines(room, state)[2:]
    assert len(found) == 12
    for question, answer in zip(found[::2], found[1::2], strict=True):
        tag = question.rpartition("=")[2]
        assert answer == "assistant:" + "".join(f"{tag}:{at:04d} " for at in range(3))
    # Each model was shown all that came before it.
    assert sorted(len(asked) for asked in room.asked()[-6:]) == [4, 6, 8, 10, 12, 14]


def test_a20_parallel_processes_too(room: Classroom) -> None:
    """Two containers of one action."""
    state = turn(room, "Italy", None)["state"]
    code = (
        "import sys; from parley.seeds import chat, history\n"
        "args = {'state': sys.argv[1]}\n"
        "hi = history.History(args); ch = chat.Chat(args); hi.load(ch)\n"
        "msg = 'user:say 2 first=0.1 tag=' + sys.argv[2]\n"
        "ch.add(msg); hi.save(msg); hi.save('assistant:' + ch.complete())\n"
    )
    env = environment(**room.variables)
    running = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, state, f"p{number}"], env=env)
        for number in range(3)
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    found = lines(room, state)[2:]
    assert [line.partition(":")[0] for line in found] == ["user", "assistant"] * 3
    assert sorted(len(asked) for asked in room.asked()[-3:]) == [4, 6, 8]


def test_a21_connections_are_kept_between_activations(room: Classroom) -> None:
    """A21: a new connection for each call."""
    state = turn(room, "Italy", None)["state"]
    before = room.redis.info("stats")["total_connections_received"]
    for _ in range(5):
        state = turn(room, "France", state)["state"]
    assert room.redis.info("stats")["total_connections_received"] == before


def test_a22_d10_stateful_and_streaming_at_once(room: Classroom) -> None:
    """A22, d.10: 'There is no streaming' in the stateful action; together the two exercises store object reprs."""

    with Reader() as reader:
        first = turn(room, "say 40 delay=0.002 tag=s", None, **reader.args)
    objects = [json.loads(piece) for piece in reader.pieces]
    streamed = "".join(each.get("output", "") for each in objects)
    assert objects[0] == {"state": first["state"]}
    assert streamed == first["output"] == "".join(f"s:{at:04d} " for at in range(40))
    assert lines(room, first["state"])[-1] == f"assistant:{streamed}"


def test_a26_italy_then_france(room: Classroom) -> None:
    """A26: the repository's own `test_stateful_int`, against a scripted model."""
    first = turn(room, "Italy", None)
    second = turn(room, "France", first["state"])
    assert second["state"] == first["state"]
    assert room.asked()[-1] == [
        ("system", chat.ROLE),
        ("user", "Italy"),
        ("assistant", first["output"]),
        ("user", "France"),
    ]


def test_begun_here_it_goes_on_in_the_page_and_back(room: Classroom) -> None:
    hi = history.History(room.args())
    hi.save("system:I tell the country you tell the capital")
    ch = chat.Chat(room.args())
    hi.load(ch)
    ch.add("user:Italy")
    hi.save("user:Italy")
    hi.save(f"assistant:{ch.complete()}")

    snapshot = room.store(lambda conversations: conversations.snapshot(hi.id()))
    assert snapshot.owner == "local"
    assert snapshot.about.instructions == "I tell the country you tell the capital"
    assert [turn.status for turn in snapshot.turns] == ["completed"]

    in_page(room, hi.id(), "Spain", "Madrid")
    # The same chat goes on, and knows what was said in the page.
    ch.add("user:France")
    hi.save("user:France")
    hi.save(f"assistant:{ch.complete()}")
    assert [text for _, text in room.asked()[-1]] == [
        chat.ROLE, "I tell the country you tell the capital", "Italy", "You said: Italy (3 messages)",
        "Spain", "Madrid", "France",
    ]  # fmt: skip
    assert lines(room, hi.id())[3:] == [
        "user:Spain",
        "assistant:Madrid",
        "user:France",
        "assistant:" + ch.messages[-1]["content"],
    ]


def test_begun_in_the_page_it_is_loaded_here(room: Classroom) -> None:
    name = history.History(room.args()).id()
    room.store(lambda conversations: conversations.create(name, "local", About(title="Trip", instructions="Be brief.")))
    in_page(room, name, "Portugal", "Lisbon")
    assert lines(room, name) == ["system:Be brief.", "user:Portugal", "assistant:Lisbon"]
    turn(room, "Norway", name)
    snapshot = room.store(lambda conversations: conversations.snapshot(name))
    assert snapshot.about.title == "Trip"
    assert [turn.request.input[0].content for turn in snapshot.turns] == ["Portugal", "Norway"]


def test_what_the_page_said_between_two_lines_is_caught_up_with(room: Classroom) -> None:
    state = turn(room, "Italy", None)["state"]
    hi, ch = history.History(room.args(state=state)), chat.Chat(room.args())
    hi.load(ch)
    ch.add("user:France")
    hi.save("user:France")
    answer = ch.complete()
    in_page(room, state, "Malta", "Valletta")
    hi.save(f"assistant:{answer}")
    ch.add("user:Spain")
    hi.save("user:Spain")
    said = [message["content"] for message in ch.messages[1:]]
    assert said == ["Italy", "You said: Italy (2 messages)", "Malta", "Valletta", "France", answer, "Spain"]


@pytest.mark.parametrize("bad", ["no colon", "bob:hello"])
def test_a4_bad_lines_are_refused(room: Classroom, bad: str) -> None:
    before = room.redis.dbsize()
    with pytest.raises(ValueError, match="message"):
        history.History(room.args()).save(bad)
    assert room.redis.dbsize() == before


def test_a_redis_that_is_not_there_is_an_error_of_its_own() -> None:
    args = {"REDIS_URL": "redis://user:secret@127.0.0.1:9", "REDIS_PREFIX": PREFIX}
    with pytest.raises(Unavailable) as caught:
        history.History(args).save("user:hello")
    assert "secret" not in str(caught.value)


def test_an_interrupt_ends_what_is_waited_for(room: Classroom) -> None:
    """Ctrl-C in the notebook, while the model is silent."""
    left = room.upstream.stats.disconnected
    said = room.python(
        "import os, signal, threading\n"
        "from parley.seeds import chat\n"
        "ch = chat.Chat({}); ch.add('user:say 2 hang=1')\n"
        "pieces = ch.stream(); next(pieces)\n"
        "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try: next(pieces)\n"
        "except KeyboardInterrupt: print('interrupted', len(ch.messages))\n"
    )
    assert said.split() == ["interrupted", "2"]
    until(lambda: room.upstream.stats.disconnected == left + 1, 5)


def test_a_redis_that_is_killed_meanwhile_loses_and_doubles_nothing() -> None:
    """What was saved is kept, once, whenever the connection breaks."""
    with classroom() as room:
        # Else Redis may answer up to two seconds before its file has it, when the disk is slow.
        room.server.arguments = ("--appendfsync", "always")
        room.server.restart()
        hi = history.History(room.args())

        def kill() -> None:
            for _ in range(4):
                time.sleep(0.1)
                room.server.restart()

        killer = threading.Thread(target=kill)
        killer.start()
        expected: list[str] = []
        while killer.is_alive():
            for line in (f"user:{len(expected)}", f"assistant:{len(expected)}"):
                hi.save(line)
                expected.append(line)
        killer.join()
        assert lines(room, hi.id()) == expected


@pytest.mark.parametrize("ending", ["os._exit(0)", "raise SystemExit"])
def test_a_forked_child_has_connections_of_its_own(room: Classroom, ending: str) -> None:
    said = room.python(
        "import os\n"
        "from parley.seeds import history\n"
        "hi = history.History({}); hi.save('user:parent')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    hi = history.History({'state': hi.id()}); hi.save('assistant:child'); print(hi.expired, flush=True); "
        f"{ending}\n"
        "os.waitpid(child, 0)\n"
        "hi.save('user:again'); print('done')\n"
    )
    assert said.split() == ["False", "done"]
