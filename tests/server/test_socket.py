"""The WebSocket: every frame of the protocol, and how it ends."""

import asyncio
import json

import pytest
import redis.asyncio
import websockets.asyncio.client

from parley.core.cursor import sequence
from parley.core.view import View
from parley.server.auth import LOCAL
from parley.wire import frames
from tests.server.harness import Line, house, text_of, until
from tests.store.harness import run


def test_a_turn_from_say_to_end() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation(title="x")
            await line.send(type="follow", id="f", conversation=name)
            snapshot = await line.expect("snapshot")
            assert (snapshot["id"], snapshot["cursor"], snapshot["turns"]) == ("f", "0-0", [])
            await line.send(type="say", id="s", conversation=name, input="hi", key="k")
            got = [await line.frame(), await line.frame()]
            queued, receipt = sorted(got, key=lambda each: each["type"])
            assert (receipt["id"], receipt["key"], receipt["cursor"]) == ("s", "k", queued["cursor"])
            assert queued["request"] == {"input": [{"role": "user", "content": "hi"}]}
            grant = await home.answer("Hel", "lo")
            rest = await line.until("end")
            assert [each["type"] for each in rest] == ["started", "delta", "delta", "end"]
            assert {each["conversation"] for each in rest} == {name}
            assert text_of(rest) == "Hello"
            assert (rest[-1]["turn"], rest[-1]["status"], rest[-1]["length"]) == (grant.turn.id, "completed", 5)
            cursors = [sequence(each["cursor"]) for each in [queued, *rest]]
            assert cursors == [1, 2, 3, 4, 5]

    run(main())


def test_following_goes_on_behind_a_cursor() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation(title="x")
            await home.say(name, "hi")
            await home.answer("a", "b", "c")
            await line.send(type="follow", conversation=name, after="0-0", id="f")
            assert await line.expect("following") == {
                "type": "following",
                "id": "f",
                "conversation": name,
                "cursor": "0-0",
            }
            whole = await line.until("end")
            async with home.socket() as other:
                middle = whole[3]
                await other.send(type="follow", conversation=name, after=middle["cursor"])
                assert (await other.expect("following"))["cursor"] == middle["cursor"]
                assert await other.until("end") == whole[4:]

    run(main())


def test_unfollow_and_move() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            one, two = await home.conversation(title="x"), await home.conversation(title="x")
            for name in (one, two):
                await line.send(type="follow", conversation=name)
                await line.expect("snapshot")
            await line.send(type="unfollow", conversation=one)
            await line.send(type="ping", id="p")
            assert await line.expect("pong") == {"type": "pong", "id": "p"}
            await home.say(one, "unheard")
            await home.say(two, "heard")
            queued = await line.expect("queued")
            assert queued["conversation"] == two
            await line.send(type="follow", conversation=two, after="0-0")
            await line.expect("following")
            assert await line.expect("queued") == queued

    run(main())


def test_cancel_is_answered_and_seen() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation(title="x")
            turn = (await home.say(name, "hi"))["turn"]
            await line.send(type="follow", conversation=name)
            assert (await line.expect("snapshot"))["waiting"] == [turn]
            await line.send(type="cancel", id="c", conversation=name, turn=turn)
            got = sorted([await line.frame(), await line.frame()], key=lambda each: each["type"])
            assert got[0] == {
                "type": "cancelled",
                "id": "c",
                "conversation": name,
                "turn": turn,
                "status": "cancelled",
                "changed": True,
            }
            assert (got[1]["type"], got[1]["status"]) == ("end", "cancelled")

    run(main())


def test_takeover_rewind_and_delay_are_shown() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation(title="x")
            await line.send(type="follow", conversation=name)
            await line.expect("snapshot")
            await home.say(name, "hi")
            first = home.bench.runs("worker-a")
            await home.bench.append(first, await home.bench.take(first), 0, "abc")
            second = home.bench.runs("worker-b")
            grant = await home.bench.take(second)
            await second.delay(grant, "loading", 2.0)
            gen = await second.rewind(grant, 1, 1)
            await second.final(grant, gen, 1, "completed", b"", ["r", "hm", "", "xy"])
            found = await line.until("end")
            kinds = [each["type"] for each in found]
            assert kinds == ["queued", "started", "delta", "takeover", "delayed", "rewind", "delta", "delta", "end"]
            assert (found[3]["attempt"], found[4]["reason"], found[5]["offset"]) == (1, "loading", 1)
            assert [each.get("channel") for each in found[6:8]] == ["reasoning", None]
            assert found[-1]["length"] == 5

    run(main())


def test_changed_and_deleted_are_shown() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation(title="x")
            await line.send(type="follow", conversation=name)
            await line.expect("snapshot")
            await home.call("PATCH", f"/api/conversations/{name}", {"title": "y"})
            assert (await line.expect("changed"))["about"]["title"] == "y"
            await home.call("DELETE", f"/api/conversations/{name}")
            assert (await line.expect("deleted"))["conversation"] == name

    run(main())


def test_a_first_message_gives_the_title() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation()
            await line.send(type="follow", conversation=name)
            await line.expect("snapshot")
            await home.say(
                name, "  What is the airspeed velocity of an unladen swallow, and why should I care?\nsecond"
            )
            changed = (await line.until("changed"))[-1]
            assert changed["about"]["title"] == "What is the airspeed velocity of an unladen swallow, and…"
            await home.say(name, "more")
            assert (await line.expect("queued"))["type"] == "queued"
            await line.send(type="ping")
            assert (await line.frame())["type"] == "pong"

    run(main())


def test_a_foreign_or_trimmed_cursor_gets_a_snapshot() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation(title="x")
            await home.say(name, "hi")
            await home.answer("a")
            for after in ("1-1", "3-99999999999999", "999999999999999-1", "0-5"):
                await line.send(type="follow", conversation=name, after=after, turns=1)
                assert (await line.expect("snapshot"))["turns"][0]["text"] == "a"
            await home.bench.client.xtrim(home.bench.keys.log(name), maxlen=1, approximate=False)
            await line.send(type="follow", conversation=name, after="0-0")
            assert (await line.expect("snapshot"))["turns"][0]["text"] == "a"

    run(main())


@pytest.mark.parametrize(
    "cursor", ["abc", "-1", "1", "1-", "99999999999999999999-1", "1-1\n", "", "0-99999999999999999999"]
)
def test_a_malformed_cursor_is_an_error(cursor: str) -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation()
            await line.send(type="follow", id="f", conversation=name, after=cursor)
            error = await line.expect("error")
            assert (error["id"], error["error"]["code"]) == ("f", "invalid_cursor")

    run(main())


BAD_MESSAGES = [
    ("{", "invalid_json", None),
    ("[]", "invalid_value", None),
    ("null", "invalid_value", None),
    ('"text"', "invalid_value", None),
    ("plain words", "invalid_json", None),
    ("{}", "missing_parameter", "type"),
    ('{"type":1}', "invalid_value", "type"),
    ('{"type":"nonsense"}', "invalid_value", "type"),
    ('{"type":"ping","extra":1}', "unknown_parameter", "extra"),
    ('{"type":"ping","type":"ping"}', "duplicate_key", None),
    ('{"type":"ping","id":5}', "invalid_value", "id"),
    ('{"type":"ping","id":"%s"}' % ("x" * 65), "invalid_value", "id"),
    ('{"type":"follow"}', "missing_parameter", "conversation"),
    ('{"type":"follow","conversation":"nonsense"}', "conversation_not_found", None),
    ('{"type":"follow","conversation":"conv_00%s"}' % ("0" * 32), "conversation_not_found", None),
    ("[" * 40 + "]" * 40, "too_deep", None),
    ('{"type":"ping","id":"\\ud800"}', "invalid_text", "id"),
    ('{"type":"ping","id":"\\u0000"}', "invalid_text", "id"),
]


@pytest.mark.parametrize(("message", "code", "param"), BAD_MESSAGES, ids=[each[0][:40] for each in BAD_MESSAGES])
def test_a_bad_message_is_answered_and_the_socket_stays(message: str, code: str, param: str | None) -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            await line.link.send(message)
            error = (await line.expect("error"))["error"]
            assert (error["code"], error["param"]) == (code, param)
            await line.send(type="ping")
            await line.expect("pong")

    run(main())


@pytest.mark.parametrize("said", ["a\0b", "\ud800"], ids=["NUL", "surrogate"])
def test_a_message_that_is_refused_for_its_text_is_answered_by_its_name(said: str) -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation(title="x")
            await line.send(type="say", id="s", conversation=name, input=said)
            error = await line.expect("error")
            assert (error["id"], error["error"]["code"], error["error"]["param"]) == ("s", "invalid_text", "input")

    run(main())


def test_ten_bad_messages_close_the_socket() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            for _ in range(10):
                await line.link.send("nonsense")
            assert await line.closed() == 4400

    run(main())


def test_too_many_messages_close_the_socket() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            for _ in range(400):
                await line.send(type="ping")
            assert await line.closed() == 4429

    run(main())


def test_a_binary_message_closes_the_socket() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            await line.link.send(b"{}")
            assert await line.closed() == 1003

    run(main())


def test_a_message_beyond_all_limits_closes_the_socket() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            await line.link.send("x" * (1024 * 1024 + 1))
            assert await line.closed() == 1009

    run(main())


def test_a_long_message_is_refused_and_the_socket_stays() -> None:
    async def main() -> None:
        async with house() as home, home.socket() as line:
            name = await home.conversation()
            await line.send(type="say", id="s", conversation=name, input="x" * (256 * 1024 + 1))
            assert (await line.expect("error"))["error"]["code"] == "message_too_large"
            await line.send(type="say", id="t", conversation=name, input="x" * 256 * 1024)
            assert (await line.expect("receipt"))["id"] == "t"

    run(main())


def test_a_reader_that_does_not_read_is_cut_off_alone() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            url = home.served[0].socket_url
            slow = await websockets.asyncio.client.connect(url, proxy=None, max_queue=1, ping_interval=None)
            await slow.send(json.dumps({"type": "follow", "conversation": name}))
            async with home.socket() as line:
                await line.send(type="follow", conversation=name)
                await line.expect("snapshot")
                await home.say(name, "hi")
                runs = home.bench.runs()
                grant = await home.bench.take(runs)
                hub = home.served[0].server.app.parts.hub
                offset, piece = 0, "x" * 60_000
                while len(hub._outboxes) == 2 and offset < 20_000_000:
                    await home.bench.append(runs, grant, offset, piece)
                    offset += len(piece)
                    await runs.renew(grant, patience=1)
                    frame = (await line.until("delta"))[-1]
                    assert frame["offset"] == offset - len(piece)
                assert len(hub._outboxes) == 1
            assert await Line(slow).closed() == 4290

    run(main())


def test_followers_of_two_servers_see_the_same() -> None:
    async def main() -> None:
        async with house(servers=2) as home:
            name = await home.conversation(title="x")
            first, second = home.served
            async with home.socket(first) as one, home.socket(second) as two:
                for line in (one, two):
                    await line.send(type="follow", conversation=name)
                    await line.expect("snapshot")
                await two.send(type="say", conversation=name, input="hi", key="k")
                await home.answer("a", "b")
                seen = [await line.until("end") for line in (one, two)]
                logs = [[each for each in frames if each["type"] != "receipt"] for frames in seen]
                assert logs[0] == logs[1]
                await one.send(type="say", conversation=name, input="hi", key="k")
                assert (await one.expect("receipt"))["replayed"] is True

    run(main())


def test_nothing_is_lost_when_the_bell_is_cut() -> None:
    """Cut the link while entries flow, also around the very last one: every follower sees the whole chain."""

    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            runs = home.bench.runs()
            views: list[View] = []

            async def watch() -> None:
                view = View()
                views.append(view)
                async with home.socket() as line:
                    await line.send(type="follow", conversation=name, after="0-0")
                    await line.expect("following")
                    previous = "0-0"
                    while True:
                        frame = await line.frame()
                        assert frame["type"] not in ("snapshot", "error"), frame
                        data = json.dumps({k: v for k, v in frame.items() if k not in ("conversation", "cursor")})
                        view.apply(frame["cursor"], previous, frames.decode_event(data.encode()))
                        previous = frame["cursor"]
                        if frame["type"] == "end":
                            return

            watchers = [asyncio.create_task(watch()) for _ in range(5)]
            await until(lambda: len(views) == 5)
            await home.say(name, "hi")
            grant = await home.bench.take(runs)
            sent = ""
            for number in range(60):
                if number % 7 == 3:
                    await cut_bells(home.bench.client)
                word = f"word{number} "
                await home.bench.append(runs, grant, len(sent), word)
                sent += word
            await cut_bells(home.bench.client)
            await runs.final(grant, 1, len(sent), "completed", b"", [])
            await asyncio.wait_for(asyncio.gather(*watchers), 10)
            assert [view.turns[grant.turn.id].body.decode() for view in views] == [sent] * 5

    run(main())


async def cut_bells(client: "redis.asyncio.Redis") -> None:
    """Kill every link that listens."""
    await client.client_kill_filter(_type="pubsub")


def test_a_thousand_followers_cost_one_read_after_a_cut() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            await home.say(name, "hi")
            hub = home.served[0].server.app.parts.hub
            outboxes = [hub.admit(LOCAL) for _ in range(1000)]
            followers = [await hub.follow(name, outbox, turns=0) for outbox in outboxes]
            for outbox in outboxes:
                assert (await outbox.take()).kind == "snapshot"  # type: ignore[union-attr]
            before = (await home.bench.client.info("commandstats")).get("cmdstat_xrange", {}).get("calls", 0)
            await cut_bells(home.bench.client)
            grant = await home.answer("a", "b")
            last = (await home.bench.conversations.snapshot(name, turns=0)).cursor
            await until(lambda: all(follower.cursor == last and not follower.behind for follower in followers))
            after = (await home.bench.client.info("commandstats"))["cmdstat_xrange"]["calls"]
            assert after - before < 50
            for outbox in outboxes:
                kinds = [(await outbox.take()).kind for _ in range(4)]  # type: ignore[union-attr]
                assert kinds == ["started", "delta", "delta", "end"], grant
            for follower in followers:
                hub.leave(follower)
                hub.disconnect(follower.outbox)

    run(main())


def test_a_conversation_nobody_follows_is_not_listened_to() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            channel = home.bench.keys.log(name)
            async with home.socket() as line:
                await line.send(type="follow", conversation=name)
                await line.expect("snapshot")
                assert (await home.bench.client.pubsub_numsub(channel))[0][1] == 1
            deadline = asyncio.get_running_loop().time() + 15
            while (await home.bench.client.pubsub_numsub(channel))[0][1]:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.1)

    run(main())


def test_silence_is_broken_by_pings_and_a_waiting_turn_is_told() -> None:
    async def main() -> None:
        async with house(quiet_seconds=2) as home, home.socket() as line:
            name = await home.conversation(title="x")
            turn = (await home.say(name, "hi"))["turn"]
            ping = json.loads(await asyncio.wait_for(line.link.recv(), 10))
            assert ping["type"] == "ping"
            assert ping["at"] > 1_700_000_000_000
            await line.send(type="follow", conversation=name)
            await line.expect("snapshot")
            status = await line.expect("status")
            assert (status["turn"], status["state"]) == (turn, "waiting_for_worker")
            again = await line.expect("status")
            assert again["seconds"] > status["seconds"] >= 1
            await home.answer("done")
            await line.until("end")
            late = json.loads(await asyncio.wait_for(line.link.recv(), 10))
            assert late["type"] == "ping"

    run(main())


def test_a_turn_that_waited_before_anyone_looked_is_told_to_who_comes_by_cursor() -> None:
    async def main() -> None:
        async with house(quiet_seconds=1) as home, home.socket() as line:
            name = await home.conversation(title="x")
            receipt = await home.say(name, "hi")
            await line.send(type="follow", conversation=name, after=receipt["cursor"])
            await line.expect("following")
            status = await line.expect("status")
            assert (status["turn"], status["seconds"] >= 2) == (receipt["turn"], True)

    run(main())


def test_a_drained_server_says_goodbye() -> None:
    async def main() -> None:
        async with house(servers=2) as home:
            name = await home.conversation(title="x")
            async with home.socket() as line, home.events(f"/api/conversations/{name}/events") as stream:
                await line.send(type="follow", conversation=name)
                await line.expect("snapshot")
                snapshot = await stream.event()
                assert snapshot is not None
                home.served[0].server.go()
                assert await home.call("GET", "/readyz", expect=503)
                bye = await line.expect("bye")
                assert bye["reason"] == "restart"
                assert 0 < bye["retry_ms"] <= 2000
                assert await line.closed() == 1012
                last = await stream.all()
                assert [each["type"] for each in last] == ["bye"]
                assert stream.retry == last[0]["retry_ms"]
            await asyncio.wait_for(home.served[0].task, 5)
            async with home.socket(home.served[1]) as line:
                await line.send(type="follow", conversation=name, after=snapshot["cursor"])
                await line.expect("following")

    run(main())
