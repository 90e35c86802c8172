"""The action folder as the platform runs it: deployed, called, streamed, cut off (b.1-b.5, A7-A10, S3-S12, d.11-d.15).

Each docstring tells what the seed was measured to do (S) and what is done here (P).
"""

import ast
import asyncio
import contextlib
import importlib
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from parley.server.config import Choice
from tests.redis_servers import free_port, running
from tests.seeds.platform import FOLDER, READ_BYTES, Platform
from tests.server.course import ANSWERS, KEY, KNOWN, USERS, Course, course, tokens
from tests.server.harness import DEADLINE, until
from tests.store.harness import PREFIX, run

LOCAL = "127.0.0.0/8"
STREAM = "/web/ns/parley/assistant"
MORE = "\n\n[The answer goes on: say /more for the rest.]"


class Class:
    """A course with the action deployed."""

    def __init__(self, course: Course, platform: Platform) -> None:
        self.course = course
        self.platform = platform

    async def say(self, said: Any = "", **args: Any) -> dict[str, Any]:
        """Call the action without a stream; its body, of the keys that the page knows."""
        reply = await self.platform.call(input=said, **args)
        assert reply.keys() == {"body"}
        body: dict[str, Any] = reply["body"]
        assert body.keys() <= KNOWN
        assert isinstance(body["output"], str)
        assert "state" not in body or body["state"]
        return body

    async def chunks(self, said: Any = "", **args: Any) -> list[bytes]:
        """Call it through the streamer; the network chunks that a reader gets."""
        async with (
            aiohttp.ClientSession() as client,
            client.post(self.platform.url + STREAM, json={"input": said, **args}) as answer,
            asyncio.timeout(DEADLINE),
        ):
            assert answer.status == 200, await answer.text()
            return [chunk async for chunk in answer.content.iter_any()]

    async def stream(self, said: Any = "", **args: Any) -> list[dict[str, str]]:
        """Call it through the streamer; the objects a reader gets that takes concatenated values."""
        return objects(b"".join(await self.chunks(said, **args)))


@contextlib.asynccontextmanager
async def lesson(directory: Path, *, bound: dict[str, str] | None = None, **options: Any) -> AsyncIterator[Class]:
    """A course's deployment and the platform in front of it."""
    async with course(access_key=KEY, **options) as c:
        given = {
            "PARLEY_URL": c.home.served[0].url,
            "PARLEY_TOKEN": KEY,
            "PARLEY_ASSISTANT": "",
            "PARLEY_LOGIN": "none",
            "PARLEY_STREAM_ALLOW": LOCAL,
            "REDIS_URL": c.home.bench.url,
            "REDIS_PREFIX": PREFIX,
        }
        async with Platform(given | (bound or {})).deployed(directory) as platform:
            yield Class(c, platform)


def objects(data: bytes) -> list[dict[str, str]]:
    """The values in a stream of them, with or without white space between."""
    text, found, decoder = data.decode(), [], json.JSONDecoder()
    while text := text.lstrip():
        item, end = decoder.raw_decode(text)
        found.append(item)
        text = text[end:]
    return found


def output(items: list[dict[str, str]]) -> str:
    return "".join(item.get("output", "") for item in items)


def page_shows(chunks: list[bytes]) -> str:
    """The seed's example page: parses each network chunk; one that is glued ends it."""
    return "".join(json.loads(chunk).get("output") or "" for chunk in chunks)


def command_line_shows(chunks: list[bytes]) -> str:
    """The platform's command line: parses each line, and stops at the first output that is empty."""
    shown = ""
    for line in filter(None, b"".join(chunks).split(b"\n")):
        item = json.loads(line)
        if "output" in item:
            if item["output"] == "":
                break
            shown += item["output"]
    return shown


# The folder.


def test_b1_the_folder_needs_nothing_but_the_stock_runtime() -> None:
    """S: `requirements.txt` and a build, or what the runtime has. P: the standard library and `redis`; no Parley."""
    own = {path.stem for path in FOLDER.glob("*.py")}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] in {*sys.stdlib_module_names, *own, "redis"}, (path.name, name)
    # Its modules come first on the runtime's path: none may hide one of the library's.
    assert not own & sys.stdlib_module_names


def test_b1_the_header_is_one_the_platforms_tool_reads() -> None:
    """Lines that begin with `#-` become flags of a shell's command; every setting is bound there, even to nothing, so
    that no caller can set it.
    """
    lines = (FOLDER / "__main__.py").read_text().splitlines()
    flags = [line[1:] for line in lines if line.startswith("#-")]
    variables = {"PATH": os.environ["PATH"], "PARLEY_URL": "http://x", "PARLEY_STREAM_ALLOW": "10.0.0.0/8 streamer"}
    command = "printf '%s\\n' " + " ".join(flags)
    shown = subprocess.run(["sh", "-c", command], env=variables, capture_output=True, text=True, check=True).stdout
    words = shown.split("\n")[:-1]
    assert words[:6] == ["--kind", "python:default", "--web", "true", "--timeout", "300000"]
    assert words[-3:] == ["--annotation", "index", "50:Parley:Assistant:parley:"]
    bound = {words[at + 1]: words[at + 2] for at, word in enumerate(words) if word == "--param"}
    source = "".join(path.read_text() for path in FOLDER.glob("*.py"))
    assert bound == {name: variables.get(name, "") for name in re.findall(r'setting\(args, "(\w+)"\)', source)}


# Calls.


def test_a17_a_greeting_creates_nothing(tmp_path: Path) -> None:
    """S: `{"output":"Hello from phi4:14b"}`. P: the same in form; no conversation, no model call."""

    async def main() -> None:
        async with lesson(tmp_path) as c:
            for said in ("", None, "  "):
                assert await c.say(said) == {"output": "Hello from scripted.", "streaming": True}
            assert await c.stream("") == [{"output": "Hello from scripted."}, {}]
            assert await c.course.home.bench.client.keys(f"{PREFIX}*:c:*") == []
            assert c.course.upstream.stats.started == 0

    run(main())


def test_a26_the_pages_own_conversation(tmp_path: Path) -> None:
    """S: greeting, `state`, "Italy" is Rome, "France" is Paris. P: the same, plain and streamed."""

    async def main() -> None:
        async with lesson(tmp_path) as c:
            assert (await c.say(""))["output"]
            first = await c.say("What is the capital of Italy?")
            assert first["output"] == ANSWERS["Italy"]
            second = await c.say("And of France?", state=first["state"])
            assert (second["output"], second["state"]) == ("Paris", first["state"])
            streamed = await c.stream("Italy again?", state=first["state"])
            assert streamed[0] == {"state": first["state"]}
            assert (output(streamed), streamed[-1]) == (ANSWERS["Italy"], {})
            said = [message["content"] for message in c.course.upstream.seen[-1].body["messages"]]
            assert said[1::2] == [ANSWERS["Italy"], "Paris"]

    run(main())


def test_a09_s11_the_same_plain_and_streamed(tmp_path: Path) -> None:
    """S: `error` without a stream, reprs with one. P: one text: told, returned and stored."""

    async def main() -> None:
        async with lesson(tmp_path) as c:
            told = await c.stream("say 20 reasoning=2")
            returned = c.platform.replies[-1]["body"]
            plain = await c.say("say 20 reasoning=2")
            assert output(told) == returned["output"] == plain["output"]
            assert plain["output"] == f"[think]\nthink:0000 think:0001 \n[/think]\n\n{tokens(20)}"
            assert told[0] == {"state": returned["state"]}
            assert returned["streaming"] is True

    run(main())


def test_a14_a15_a16_d11_states(tmp_path: Path) -> None:
    """S: any key of Redis is a state; "" is one that all share. P: "", null and none are new; all others are new, and
    that is said.
    """

    async def main() -> None:
        async with lesson(tmp_path, bound={"PARLEY_LOGIN": "course"}) as c:
            for name in ("ann", "bob"):
                await c.course.home.bench.client.set(f"{PREFIX}TOKEN:{name}", f"{name}s secret", ex=60)
            ann, bob = {"token": "ann:anns secret"}, {"token": "bob:bobs secret"}
            states = [(await c.say("Italy", state=state, **ann))["state"] for state in ("", None)]
            states.append((await c.say("Italy", **ann))["state"])
            assert len(set(states)) == 3
            for state, who in ((states[0], bob), ("conv_00" + "0" * 32, ann), (f"{PREFIX}TOKEN:ann", ann)):
                reply = await c.say("France", state=state, **who)
                assert reply["output"] == "[This conversation has expired; here a new one begins.]\n\nParis"
                assert reply["state"] not in (*states, state)
                assert len(c.course.upstream.seen[-1].body["messages"]) == 1
            assert (await c.say("France", state=states[0], **ann))["state"] == states[0]

    run(main())


def test_a18_a23_forms_and_commands_arrive(tmp_path: Path) -> None:
    async def main() -> None:
        async with lesson(tmp_path) as c:
            assert (await c.say({"form": {"capital of": "Italy"}}))["output"] == ANSWERS["Italy"]
            assert "- other" in (await c.say("/model"))["output"]
            state = (await c.say("@other"))["state"]
            await c.say("France", state=state)
            assert c.course.upstream.seen[-1].body["model"] == "other"

    run(main())


@pytest.mark.parametrize("login", ["course", "parley"])
def test_a25_b6_who_may_ask(tmp_path: Path, login: str) -> None:
    """S: `nobody:` is authenticated, two colons raise. P: refused, before anything is asked."""

    async def main() -> None:
        async with lesson(tmp_path, bound={"PARLEY_LOGIN": login}, users=USERS) as c:
            if login == "course":
                await c.course.home.bench.client.set(f"{PREFIX}TOKEN:ann", "secret")
                token = "ann:secret"
            else:
                token = await c.course.log_in()
            assert (await c.say("Italy", token=token))["output"] == ANSWERS["Italy"]
            for bad in ("nobody:", "ann:", ":", "ann", "", None, 5, ["ann:secret"], "ann:x", "a:b:c", "guest:x"):
                assert re.fullmatch(r"\[error: [^\]]+\]", (await c.say("Italy", token=bad))["output"])
            told = await c.stream("Italy", token="nobody:")
            assert re.fullmatch(r"\s*\[error: [^\]]+\]", output(told))
            assert told[-1] == {}
            # What only the action may say, its callers cannot.
            assert "[error" in (await c.say("Italy", user="ann"))["output"]
            assert "[error" in (await c.say("Italy", token="ann:x", PARLEY_LOGIN="none"))["output"]
            assert c.course.upstream.stats.started == 1

    run(main())


def test_b6_an_empty_secret_is_never_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """S: a key that is not there counts as an empty secret. P: as none; nor does an empty one count that is there."""
    monkeypatch.syspath_prepend(str(FOLDER))
    callers = importlib.import_module("callers")
    with running() as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("p:TOKEN:ann", "")
            client.set("p:TOKEN:bob", "secret")
        for user, secret, known in (
            ("nobody", "", False),
            ("ann", "", False),
            ("bob", "", False),
            ("bob", "secret", True),
        ):
            assert callers.known(user, secret, server.url, "p:") is known
    for asked in (("bob", "secret", "", "p:"), ("bob", "secret", f"redis://127.0.0.1:{free_port()}", "p:")):
        with pytest.raises(callers.Unknown):
            callers.known(*asked)


# Streams.


def test_b4_the_rules_of_the_stream(tmp_path: Path) -> None:
    """S: `{"output": ""}{"output": "Ro"}…{"output": null}`, nothing between. P: one object a read, each short, ASCII,
    alone, and none empty.
    """

    async def main() -> None:
        text = 'Grüße "\\" 日本語 🎉🎉 \n' * 200
        async with lesson(tmp_path) as c:
            c.course.upstream.answer("long", text)
            assert output(await c.stream("long")) == text
            [reads] = c.platform.sent
            items = [json.loads(data) for _, data in reads]
            assert list(items[0]) == ["state"]
            assert items[-1] == {}
            assert all(list(item) == ["output"] and item["output"] for item in items[1:-1])
            assert max(len(data) for _, data in reads) <= READ_BYTES
            assert all(data.isascii() for _, data in reads)
            assert c.platform.connections == 1
            took = reads[-1][0] - reads[0][0]
            assert took >= 0.02 * (len(reads) - 1)

    run(main())


def test_d12_both_reference_readers_get_200_tokens_at_full_speed(tmp_path: Path) -> None:
    """S: through the real streamer 5 of 5 runs wrong back to back, and the first empty delta ends the display.

    P: both readers show every token.
    """

    async def main() -> None:
        async with lesson(tmp_path) as c:
            for _ in range(3):
                chunks = await c.chunks("say 200")
                assert output(objects(b"".join(chunks))) == tokens(200)
                # The platform glues what a busy machine lets it read at once; not three times in a row.
                with contextlib.suppress(ValueError):
                    assert page_shows(chunks) == command_line_shows(chunks) == tokens(200)
                    return
            raise AssertionError("every stream came glued")

    run(main())


def test_the_stand_in_has_the_streamers_faults(tmp_path: Path) -> None:
    """S6, S7: what is sent back to back is glued or overwritten, so what readers get above is the action's doing."""

    async def main() -> None:
        async with Platform({}).deployed(tmp_path) as platform:
            reader = asyncio.StreamReader()
            written: list[bytes] = []

            class Response:
                async def write(self, data: bytes) -> None:
                    written.append(data)

            relaying = asyncio.create_task(platform._relay(reader, Response()))  # type: ignore[arg-type]
            for number in range(10):
                reader.feed_data(json.dumps({"output": f"{number}"}).encode())
                await asyncio.sleep(0.001)
            reader.feed_eof()
            await relaying
            assert b"".join(written) != b"".join(b'{"output": "%d"}\n' % number for number in range(10))

    run(main())


def test_a10_s12_a_reader_that_goes_away(tmp_path: Path) -> None:
    """S: the action's next send fails, and the turn with it. P: it is answered; the next call gets it."""

    async def main() -> None:
        async with lesson(tmp_path) as c:
            async with aiohttp.ClientSession() as client:
                body = {"input": "say 60 delay=0.03 tag=left"}
                async with client.post(c.platform.url + STREAM, json=body) as answer:
                    state = json.loads(await answer.content.readline())["state"]
                    await answer.content.readline()
                    answer.close()
            await until(lambda: bool(c.platform.replies))
            rest = await c.say("", state=state)
            while rest["output"].endswith(MORE):
                rest = await c.say("", state=state)
            assert rest["output"] == tokens(60, "left")

    run(main())


def test_d15_a_turn_that_outlasts_the_action(tmp_path: Path) -> None:
    """S: the platform kills it at its limit, with the answer. P: a note and the state in time; the rest on the next
    call, with the same state and nothing said.
    """

    async def main() -> None:
        async with lesson(tmp_path) as c:
            c.platform.seconds = 3.5
            began = time.monotonic()
            told = await c.stream("say 100 delay=0.05 tag=slow")
            assert time.monotonic() - began < 3.5
            assert told[-1] == {}
            assert told[0] == told[-2] == {"state": told[0]["state"]}
            assert output(told).endswith(MORE)
            begun = output(told).removesuffix(MORE)
            assert 0 < len(begun) < len(tokens(100, "slow"))
            c.platform.seconds = 60
            assert begun + output(await c.stream("", state=told[0]["state"])) == tokens(100, "slow")
            assert c.course.upstream.stats.by_tag == {"slow": 1}

    run(main())


def test_b2_only_streams_that_are_allowed(tmp_path: Path) -> None:
    """S: whoever calls the action has it connect to any host and port. P: those that the operator named."""

    async def main() -> None:
        connected = 0

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connected
            connected += 1
            writer.close()

        inside = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = str(inside.sockets[0].getsockname()[1])
        async with inside, lesson(tmp_path, bound={"PARLEY_STREAM_ALLOW": "10.42.0.0/16, streamer"}) as c:
            host: Any
            for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"):
                args = {"STREAM_HOST": host, "STREAM_PORT": port, "PARLEY_STREAM_ALLOW": LOCAL}
                reply = await c.platform.call(input="Italy", **args)
                assert reply["statusCode"] in (403, 502), host
                assert reply["body"].keys() == {"output"}
            c.platform.bound["PARLEY_STREAM_ALLOW"] = LOCAL
            malformed: list[tuple[Any, Any]] = [
                ("127.0.0.1", "22"), ("127.0.0.1", "x"), ("127.0.0.1", None), ("127.0.0.1", "-1"),
                ("127.0.0.1", "99999"), ("127.0.0.1", []), ("", port), (None, port), (["127.0.0.1"], port), (5, port),
                ("\udcff.example", port), ("x" * 300, port),
            ]  # fmt: skip
            for host, bad in malformed:
                reply = await c.platform.call(input="Italy", STREAM_HOST=host, STREAM_PORT=bad)
                assert reply["statusCode"] == 403, (host, bad)
            assert connected == 0
            assert c.course.upstream.stats.started == 0
            # A streamer that is allowed but not there: nothing is asked for nobody.
            gone = await c.platform.call(input="Italy", STREAM_HOST="127.0.0.1", STREAM_PORT=str(free_port()))
            assert gone["statusCode"] == 502
            # By its name.
            c.platform.bound["PARLEY_STREAM_ALLOW"] = "localhost"
            await c.platform.call(input="", STREAM_HOST="localhost", STREAM_PORT=port)
            assert connected == 1
            assert (await c.platform.call(input="", STREAM_HOST="127.0.0.1", STREAM_PORT=port))["statusCode"] == 403

    run(main())


def test_b2_the_streamer_tells_that_it_was_refused(tmp_path: Path) -> None:
    """S9: an action that fails before its first byte is a 500."""

    async def main() -> None:
        async with (
            lesson(tmp_path, bound={"PARLEY_STREAM_ALLOW": ""}) as c,
            aiohttp.ClientSession() as client,
            client.post(c.platform.url + STREAM, json={"input": "Italy"}) as answer,
        ):
            assert (answer.status, await answer.text()) == (500, "not ok (403 Forbidden)\n")

    run(main())


def test_b4_one_object_a_send_and_never_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast the server talks: objects of at most 2,048 bytes, 20 ms apart, none empty, and an end."""
    monkeypatch.syspath_prepend(str(FOLDER))
    relay = importlib.import_module("relay")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps each send apart
    with theirs:
        listener = relay.Listener(ours)
        began = time.monotonic()
        for item in ({"state": "s"}, {"output": ""}, {"output": "é" * 1_000}, {"output": "a"}, {"output": "b", "x": 1}):
            assert listener.tell(item)
        listener.end()
        took = time.monotonic() - began
        sent = list(iter(lambda: theirs.recv(65_536), b""))
    items = [json.loads(each) for each in sent]
    assert (items[0], items[-1]) == ({"state": "s"}, {})
    assert "".join(item["output"] for item in items[1:-1]) == "é" * 1_000 + "ab"
    assert all(item["output"] for item in items[1:-1])
    assert max(map(len, sent)) <= READ_BYTES
    assert took >= 0.02 * (len(sent) - 1)
    # A reader that is gone is no error, and nothing more is sent.
    ours, theirs = socket.socketpair()
    theirs.close()
    listener = relay.Listener(ours)
    assert not listener.tell({"output": "a"})
    listener.end()


# What goes wrong.


def test_s08_errors_are_told_in_the_stream(tmp_path: Path) -> None:
    """S: an action that fails before it connects leaves its caller hanging. P: it always connects, and says why."""

    async def main() -> None:
        async with lesson(tmp_path) as c:
            for said, wanted in (("say 3 status=400", r"\[error: .+\]"), ([1], r"\[error: .*input.*\]")):
                told = await c.stream(said)
                assert re.fullmatch(rf"\s*{wanted}", output(told))
                assert told[-1] == {}
            for url, reason in (("", "PARLEY_URL"), ("ftp://x", "PARLEY_URL"), ("http://[", "")):
                c.platform.bound["PARLEY_URL"] = url
                told = await c.stream("Italy")
                assert re.search(rf"\[error: .*{reason}", output(told)), url
                assert told[-1] == {}

    run(main())


def test_b2_a_result_fits_into_the_platforms_megabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not is cut off in the result, and says so; down a stream everything goes."""
    monkeypatch.syspath_prepend(str(FOLDER))
    action = runpy.run_path(str(FOLDER / "__main__.py"))
    reply = action["Reply"](None)
    reply.add({"state": "conv_x"})
    for _ in range(1_000):
        assert reply.add({"output": "é" * 1_000})
    body = reply.body()
    assert 800_000 < len(json.dumps({"body": body}, ensure_ascii=False).encode()) < 1_000_000
    assert body["output"].endswith("[cut off: the platform's results may not be longer]")
    assert body["state"] == "conv_x"


def test_a_server_that_is_no_parley(tmp_path: Path) -> None:
    async def main() -> None:
        async with lesson(tmp_path) as c:
            c.platform.bound["PARLEY_URL"] = c.course.upstream.root
            assert "not as a Parley server does" in (await c.say("Italy"))["output"]
            c.platform.bound["PARLEY_TOKEN"] = "x" * 40
            c.platform.bound["PARLEY_URL"] = c.course.home.served[0].url
            assert "valid access key" in (await c.say("Italy"))["output"]

    run(main())


def test_a_server_that_dies_and_comes_back(tmp_path: Path) -> None:
    """The same call is asked again: nothing is told twice, nothing is asked of the model twice."""

    async def main() -> None:
        async with lesson(tmp_path) as c:
            other = await c.course.home.serve(access_key=KEY, models=(Choice("scripted"),), default="scripted")
            door = await Door.open(other.port)
            c.platform.bound["PARLEY_URL"] = f"http://127.0.0.1:{door.port}"
            asking = asyncio.create_task(c.stream("say 80 delay=0.02 tag=kept"))
            await until(lambda: c.course.upstream.stats.tokens > 20)
            door.slam()
            told = await asking
            await door.close()
            assert door.accepted == 2
            assert output(told) == tokens(80, "kept")
            assert c.course.upstream.stats.by_tag == {"kept": 1}

    run(main())


class Door:
    """A way to a server that can be slammed."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.accepted = 0
        self._target = target
        self._open: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, target: int) -> "Door":
        door = cls(target)
        door._server = await asyncio.start_server(door._accept, "127.0.0.1", 0)  # type: ignore[attr-defined]
        door.port = door._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return door

    def slam(self) -> None:
        """Break every connection there is."""
        for writer in self._open:
            writer.transport.abort()

    async def close(self) -> None:
        self.slam()
        self._server.close()  # type: ignore[attr-defined]
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open += [writer, far_writer]
        pairs = ((reader, far_writer), (far_reader, writer))
        self._tasks += [asyncio.create_task(pump(*pair)) for pair in pairs]


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, until either side ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
