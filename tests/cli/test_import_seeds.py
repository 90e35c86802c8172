"""`parley import-seeds`: what the two seeds stored, in each of their forms, becomes conversations; none is touched."""

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from parley.cli.main import main
from parley.core.snapshot import Snapshot
from parley.seeds import history
from parley.store.permissions import acl_rules
from parley.store.seed_data import READS
from parley.store.sessions import Sessions
from parley.wire import old_seeds, seeds
from tests.redis_servers import Server, binaries, running
from tests.seeds.classroom import PREFIX, SHARDS
from tests.store.harness import Bench
from tests.system.deployment import environment


class Old:
    """An old database, and a Parley in it or beside it."""

    def __init__(self, server: Server, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.redis = redis.Redis.from_url(server.url)
        self._directory = directory
        self._capsys = capsys

    def course(self, *items: str, older: bool = False, ttl: int = 86_400) -> str:
        """A list of the course."""
        key = f"{PREFIX}{':' if older else 'assistant:'}{uuid.uuid4()}"
        self.redis.rpush(key, *items)
        self.redis.expire(key, ttl)
        return key

    def tutorial(self, *messages: str, name: str = "Bob") -> str:
        """A session of the tutorial, as a plain string."""
        token = str(uuid.uuid4())
        self.redis.set(token, json.dumps(session(token, *messages, name=name)), ex=3600)
        return token

    def run(self, *words: str, url: str = "") -> str:
        """The verb, on its database; what it prints."""
        status, said, _ = self.outcome(*words, url=url)
        assert status == 0
        return said

    def outcome(self, *words: str, url: str = "") -> tuple[int, str, str]:
        status = main(["import-seeds", "--redis", url or self.server.url, "--prefix", PREFIX, *words])
        printed = self._capsys.readouterr()
        return status, printed.out, printed.err

    def snapshot(self, conversation: str) -> Snapshot:
        async def work(bench: Bench) -> Snapshot:
            bench.keys = type(bench.keys)(PREFIX, SHARDS)
            bench.conversations._keys = bench.keys
            return await bench.conversations.snapshot(conversation, turns=1000)

        snapshot: Snapshot = asyncio.run(self._with_bench(work))
        return snapshot

    async def _with_bench(self, work: Any) -> Any:
        bench = Bench(self.server.url)
        try:
            return await work(bench)
        finally:
            await bench.client.aclose()

    def content(self, *keys: str) -> list[Any]:
        """What lies under keys, whatever it is."""
        return [self.redis.dump(key) for key in keys]


def session(token: str, *messages: str, name: str = "Bob") -> dict[str, Any]:
    times = [f"2026-11-21 05:45:{second:02d}.085343" for second in range(len(messages))]
    listed = [{"id": "x", "msg": msg, "timestamp": at} for msg, at in zip(messages, times, strict=True)]
    return {"token": token, "messages": listed, "name": name, "session_start": "2026-11-21 05:45:25.085343"}


def shown(snapshot: Snapshot) -> list[tuple[list[str], str, str]]:
    """Each turn: what was asked, how it ended, the answer."""
    return [
        ([f"{message.role}:{message.content}" for message in turn.request.input], turn.status, turn.outcome.body)
        for turn in snapshot.turns
        if turn.outcome is not None
    ]


@pytest.fixture
def old(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Old]:
    with database(None, tmp_path, capsys, monkeypatch) as made:
        yield made


@contextlib.contextmanager
def database(
    binary: Path | None, directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Old]:
    monkeypatch.chdir(directory)
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    with running(binary, tcp=True) as server:
        made = Old(server, directory, capsys)
        yield made
        made.redis.close()


def target(said: str, key: str) -> str:
    """The conversation that a key was imported as."""
    [line] = [line for line in said.splitlines() if key[:8] in line and "->" in line and key[-6:] in line + key[-6:]]
    return line.split("-> ")[1].split()[0]


@pytest.mark.parametrize("binary", binaries().values(), ids=binaries().keys())
def test_a12_both_forms_of_the_course(
    binary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A12: `role:content`, in older code JSON objects and the key `{prefix}:{uuid}`."""
    with database(binary, tmp_path, capsys, monkeypatch) as old:
        key = old.course(
            "system:I tell the country", "user:Italy: where?", "assistant:Rome", "user:France", "assistant:"
        )
        said = old.run()
        snapshot = old.snapshot(target(said, key))
        assert snapshot.owner == "local"
        assert (snapshot.about.title, snapshot.about.instructions) == ("Italy: where?", "I tell the country")
        assert shown(snapshot) == [
            (["user:Italy: where?"], "completed", "Rome"),
            (["user:France"], "completed", ""),
        ]
        items = [
            json.dumps({"role": "user", "content": "Spagna è"}),
            json.dumps({"role": "assistant", "content": "Madrid"}),
        ]
        older = old.course(*items, older=True)
        said = old.run("--from", "course")
        [line] = [line for line in said.splitlines() if older in line]
        assert shown(old.snapshot(target(line, older))) == [(["user:Spagna è"], "completed", "Madrid")]


def test_it_goes_on_from_what_was_imported(old: Old) -> None:
    key = old.course("user:Italy", "assistant:Rome")
    conversation = target(old.run(), key)
    hi = history.History({"REDIS_URL": old.server.url, "REDIS_PREFIX": PREFIX, "state": conversation})
    assert not hi.expired
    hi.save("user:France")
    hi.save("assistant:Paris")
    assert [answer for _, _, answer in shown(old.snapshot(conversation))] == ["Rome", "Paris"]
    # Then what is added to the old list is of a past that is over.
    old.redis.rpush(key, "user:Spain", "assistant:Madrid", "user:Malta", "assistant:Valletta")
    assert "there already" in old.run()
    assert [answer for _, _, answer in shown(old.snapshot(conversation))] == ["Rome", "Paris"]


def test_twice_changes_nothing_and_nothing_is_deleted(old: Old) -> None:
    keys = [old.course("user:Italy", "assistant:Rome"), old.tutorial("Human: Hello", "Bot: Hi")]
    before = old.content(*keys)
    first = old.run()
    assert "2 found: 2 imported" in first
    names = sorted(old.redis.scan_iter("*"))
    cursors = [old.snapshot(target(first, key)).cursor for key in keys]
    second = old.run()
    assert "2 found: 2 there already" in second
    assert sorted(old.redis.scan_iter("*")) == names
    assert [old.snapshot(target(second, key)).cursor for key in keys] == cursors
    assert old.content(*keys) == before
    assert all(int(old.redis.ttl(key)) > 3000 for key in keys)


def test_what_was_added_since_is_added(old: Old) -> None:
    key = old.course("user:Italy", "assistant:Rome")
    conversation = target(old.run(), key)
    old.redis.rpush(key, "user:France", "assistant:Paris")
    assert "1 brought up to date" in old.run()
    assert [answer for _, _, answer in shown(old.snapshot(conversation))] == ["Rome", "Paris"]


def test_an_import_that_was_cut_off_goes_on(old: Old) -> None:
    """Begun and not a turn written, as when the machine goes down in between."""
    key = old.course("user:Italy", "assistant:Rome")
    conversation = target(old.run(), key)
    base = next(key for key in old.redis.scan_iter(f"*{conversation}:meta")).removesuffix(b"meta")
    old.redis.delete(base + b"turns", base + b"order")
    old.redis.hdel(base + b"meta", "head")
    old.run()
    assert shown(old.snapshot(conversation)) == [(["user:Italy"], "completed", "Rome")]


def test_the_last_spoken_in_comes_first_and_times_are_kept(old: Old) -> None:
    key = old.course("user:Italy", "assistant:Rome", ttl=86_400 - 3600)
    snapshot = old.snapshot(target(old.run(), key))
    [turn] = snapshot.turns
    assert snapshot.created_at - turn.created_at in range(3_590_000, 3_620_000)


def test_what_nobody_answered_is_shown_as_that(old: Old) -> None:
    """B29: a crashing worker leaves `H,H,H,H`, then `H×5,B`."""
    messages = ["Human: Hello"] * 4
    token = old.tutorial(*messages, "Human: Hello", "Bot: Hi there", "Human: And?")
    snapshot = old.snapshot(target(old.run(), token))
    assert shown(snapshot) == [
        (["user:Hello"] * 5, "completed", "Hi there"),
        (["user:And?"], "failed", ""),
    ]
    assert snapshot.turns[1].outcome is not None
    assert snapshot.turns[1].outcome.error == old_seeds.NOT_ANSWERED


def test_b7_a_session_of_the_tutorial_goes_on_under_its_token(old: Old) -> None:
    """B7: key = bare token; B14: roles are told apart by the first five letters."""
    token = old.tutorial("Human: Hello", "Bot: Hi: you", "no prefix", name="Bob")
    said = old.run()
    assert token not in said, "a token is printed in part only: whoever has it is let in"
    conversation = target(said, token)

    async def work(bench: Bench) -> Any:
        keys = type(bench.keys)(PREFIX, SHARDS)
        return await Sessions(bench.client, keys, bench.lifetimes).find(token)

    found = asyncio.run(old._with_bench(work))
    assert (found.name, found.conversation) == ("Bob", conversation)
    assert seeds.session(token, found.name, found.started_at, [])["session_start"] == "2026-11-21 05:45:25.085343"
    snapshot = old.snapshot(conversation)
    assert snapshot.owner == f"session:{found.id}"
    lines = [line for at, turn in enumerate(snapshot.turns) for line in seeds.history(turn, at)]
    assert [line["msg"] for line in lines[:3]] == ["Human: Hello", "Bot: Hi: you", "Human: no prefix"]
    assert [line["timestamp"][:19] for line in lines[:2]] == ["2026-11-21 05:45:00", "2026-11-21 05:45:01"]


class ModuleServer:
    """A Redis that has RedisJSON, as far as an import can tell: TYPE and JSON.GET are answered here, the rest there."""

    def __init__(self, server: Server, documents: dict[str, bytes]) -> None:
        self._server = server
        self._documents = documents
        self.asked: list[bytes] = []

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as listener:
            yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, beyond = await asyncio.open_connection("127.0.0.1", self._server.port)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await reader.readline()
                if not header:
                    break
                words, raw = [], header
                for _ in range(int(header[1:])):
                    size = await reader.readline()
                    word = await reader.readexactly(int(size[1:]) + 2)
                    words.append(word[:-2])
                    raw += size + word
                self.asked.append(words[0].upper())
                document = self._documents.get(words[1].decode()) if len(words) > 1 else None
                if document is not None and words[0] == b"TYPE":
                    writer.write(b"+ReJSON-RL\r\n")
                elif document is not None and words[0] == b"JSON.GET":
                    writer.write(b"$%d\r\n%s\r\n" % (len(document), document))
                else:
                    beyond.write(raw)
                    writer.write(await there.read(1 << 20))
        beyond.close()
        writer.close()


@pytest.mark.parametrize("wrapped", [False, True])
def test_b7_redisjson_is_read_where_there_is_the_module(old: Old, wrapped: bool) -> None:
    """B6, B7: the tutorial needs RedisJSON; Parley reads it, and never needs it."""
    token = str(uuid.uuid4())
    document = session(token, "Human: Hello", "Bot: Hi")
    module = ModuleServer(old.server, {token: json.dumps([document] if wrapped else document).encode()})
    old.redis.set(token, "")  # so that it is found

    async def work() -> tuple[int, str, str]:
        async with module.listening() as url:
            return await asyncio.to_thread(old.outcome, "--source", url)

    status, said, _ = asyncio.run(work())
    assert status == 0
    assert shown(old.snapshot(target(said, token))) == [(["user:Hello"], "completed", "Hi")]
    assert b"JSON.GET" in module.asked


def test_b6_without_the_module_it_is_never_asked_for(old: Old) -> None:
    old.tutorial("Human: Hello")
    module = ModuleServer(old.server, {})

    async def work() -> None:
        async with module.listening() as url:
            await asyncio.to_thread(old.run, "--source", url)

    asyncio.run(work())
    assert {b"TYPE", b"GET"} <= set(module.asked)
    assert b"JSON.GET" not in module.asked


def test_another_server_can_be_the_source(old: Old) -> None:
    key = old.course("user:Italy", "assistant:Rome")
    with running(tcp=True) as other:
        said = old.run("--source", old.server.url, url=other.url)
        conversation = target(said, key)
        assert not list(old.redis.scan_iter(f"*{conversation}*"))
        with redis.Redis.from_url(other.url) as there:
            assert list(there.scan_iter(f"{PREFIX}*{conversation}*"))
        said = old.run("--source", old.server.url, "--source-prefix", "other:", url=other.url)
        assert "0 found." in said


def test_only_what_is_a_seeds_is_read(old: Old) -> None:
    """Other people's keys, and other things under keys that look right."""
    old.redis.set(str(uuid.uuid4()), "not a session")
    old.redis.set(str(uuid.uuid4()), json.dumps({"token": 1}))
    old.redis.set(str(uuid.uuid4()), b"\xff")
    old.redis.rpush(str(uuid.uuid4()), "a list")
    old.redis.set(f"{PREFIX}assistant:{uuid.uuid4()}", "a string")
    old.redis.rpush(f"{PREFIX}assistant:none", "user:no uuid")
    old.redis.rpush(f"{PREFIX}assistant:{str(uuid.uuid4()).replace('-', 'z-')[:36]}", "user:no uuid either")
    old.redis.rpush(f"{PREFIX}assistant:{str(uuid.UUID(int=5))[:-1]}z", "user:no hexadecimal digit")
    old.redis.rpush(f"other:assistant:{uuid.uuid4()}", "user:of another")
    old.redis.rpush(
        f"{PREFIX}assistant:{uuid.uuid4()}", "test", "bob:hello", b"user:\xff", "{", '{"role": "user"}', "[1]"
    )
    said = old.run()
    assert "1 found: 1 nothing in it that can be read" in said
    assert "6 unreadable left out" in said
    assert not list(old.redis.scan_iter(f"{PREFIX}*:c:conv_*"))


def test_a18_a_form_is_kept_as_it_was_stored(old: Old) -> None:
    """A18: `user:{'form': {...}}`, a Python repr; older code stores the object in JSON."""
    key = old.course(
        "user:{'form': {'a': 1}}", "assistant:ok", json.dumps({"role": "user", "content": {"form": {"b": "è"}}})
    )
    snapshot = old.snapshot(target(old.run(), key))
    assert [asked for asked, _, _ in shown(snapshot)] == [["user:{'form': {'a': 1}}"], ['user:{"form": {"b": "è"}}']]


def limited(old: Old, *rules: str) -> str:
    """A user who sees the prefix only. Replies his URL."""
    words = ("ACL", "SETUSER", "msciab", "on", ">secret", *acl_rules(PREFIX), *rules)
    old.redis.execute_command(*words)  # type: ignore[no-untyped-call]
    return old.server.url.replace("redis://", "redis://msciab:secret@")


def test_d13_the_courses_form_under_a_user_limited_to_the_prefix(old: Old) -> None:
    """A11, d.13: others can see key names, not read them."""
    key = old.course("user:Italy", "assistant:Rome")
    hers = old.tutorial("Human: Hello", "Bot: Hi")
    url = limited(old, *(f"+{command}" for command in READS))
    said = old.run("--from", "course", url=url)
    assert "1 found: 1 imported" in said
    status, _, err = old.outcome("--from", "tutorial", url=url)
    assert status == 1
    assert "refused" in err
    assert hers not in err
    assert key in said


def test_where_scan_is_refused_the_keys_are_named(old: Old) -> None:
    key = old.course("user:Italy", "assistant:Rome")
    url = limited(old, *(f"+{command}" for command in READS if command != "scan"))
    status, _, err = old.outcome(url=url)
    assert status == 2
    assert "SCAN was refused" in err
    assert "name the keys" in err
    said = old.run(key, url=url)
    assert "1 found: 1 imported" in said


def test_a_key_that_is_named_and_not_there_is_said(old: Old) -> None:
    status, said, err = old.outcome(f"{PREFIX}assistant:{uuid.uuid4()}", "nonsense", str(uuid.uuid4()))
    assert status == 1
    assert said == "0 found. Nothing was deleted.\n"
    assert err.count("no conversation of either seed") == 3


@pytest.mark.parametrize(
    "words", [("--source", "http://x"), ("--source-prefix", "*"), ("--source", "redis://127.0.0.1:9")]
)
def test_a_source_that_cannot_be_used_is_an_error_in_one_line(old: Old, words: tuple[str, str]) -> None:
    status, said, err = old.outcome(*words)
    assert status in (1, 2)
    assert said == ""
    assert len(err.splitlines()) == 1


def test_ids_cannot_be_guessed_from_the_old_keys(old: Old) -> None:
    """In the course's Redis others can see the names of keys."""
    key = old.course("user:Italy", "assistant:Rome")
    with running(tcp=True) as other:
        here = target(old.run(), key)
        there = target(old.run("--source", old.server.url, url=other.url), key)
    assert here != there
