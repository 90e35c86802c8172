"""The first seed's rows on our own server: streamer, page, login, states (A7-A10, A14-A18, A22-A27, S1-S13, b.3-b.6).

Each docstring tells what the seed was measured to do (S) and what is done here (P).
"""

import asyncio
import base64
import io
import json
import re
import time
from typing import Any

from starlette.routing import Route

from parley.core.limits import Limits
from parley.server import serverless
from parley.server.config import Choice
from tests.server.course import (
    ANSWERS,
    BEARER,
    CHAT,
    KEY,
    KNOWN,
    PIRATE,
    STREAM,
    USERS,
    Stream,
    course,
    tokens,
)
from tests.server.harness import DEADLINE, until
from tests.store.harness import PREFIX, run

GREETING = {"output": "Hello from scripted.", "streaming": True}
EXPIRED = "[This conversation has expired; here a new one begins.]\n\n"
MORE = "\n\n[The answer goes on: say /more for the rest.]"
ROUTES = (
    "/web/guest/assistant",
    "/web/guest/parley/assistant",
    "/web/guest/my/a%20pirate",
    "/web/guest/default/assistant",
    "/action/guest/assistant",
    "/action/guest/parley/assistant",
)


def first_chunk_readable(stream: Stream) -> str:
    """What the seed's example page shows: it parses each network chunk, and shows what there is to show."""
    return "".join(json.loads(chunk).get("output") or "" for chunk in stream.chunks)


def lines_readable(stream: Stream) -> str:
    """What the platform's command line shows: a line each, up to the first output that is empty."""
    shown = ""
    for line in b"".join(stream.chunks).splitlines():
        item = json.loads(line)
        if "output" in item:
            if not item["output"]:
                break
            shown += item["output"]
    return shown


# Streams.


def test_s02_the_streamers_four_routes() -> None:
    """S: GET and POST of four paths. P: the same, for each assistant and the default model."""

    async def main() -> None:
        async with course() as c:
            for path in ROUTES:
                headers = BEARER if path.startswith("/action") else None
                told = await c.stream("What is the capital of Italy?", path=path, headers=headers)
                assert told.output == ANSWERS["Italy"]
                assert told.objects[0] == {"state": told.state}
                async with c.home.http.get(c.home.served[0].url + path, headers=headers) as answer:
                    assert answer.status == 200
                    name = "a pirate" if "pirate" in path else "scripted"
                    assert await answer.text() == json.dumps({"output": f"Hello from {name}."}) + "\n{}\n"
            # README's own path never existed.
            async with c.home.http.post(c.home.served[0].url + "/stream/guest/assistant") as answer:
                assert answer.status in (404, 405)

    run(main())


def test_s03_unknown_actions_and_bodies_that_are_no_json() -> None:
    """S: 500 and a line of text. P: the status it is, and the one form that readers know."""

    async def main() -> None:
        async with course(workers=0) as c:
            for path in ("/web/guest/parley/nobody", "/web/guest/other/assistant", "/web/guest/nobody"):
                told = await c.stream("x", path=path, expect=404)
                assert told.output == "[error: The requested resource does not exist]"
            url = c.home.served[0].url + STREAM
            for data, kind, status in (
                (b"{", "application/json", 400),
                (b"[]", "application/json", 400),
                (b'{"input": [1]}', "application/json", 400),
                (b'{"input": "a\\u0000b"}', "application/json", 400),
                (b'{"input": "x", "state": 5}', "application/json", 400),
                (b'{"input": "x", "seconds": -1}', "application/json", 400),
                (b"input=x", "application/x-www-form-urlencoded", 415),
                (b'{"input": "%s"}' % (b"x" * 300_000), "application/json", 413),
            ):
                async with c.home.http.post(url, data=io.BytesIO(data), headers={"Content-Type": kind}) as answer:
                    assert answer.status == status, data[:50]
                    shown, end = (await answer.text()).splitlines()
                    assert re.fullmatch(r"\[error: .+\]", json.loads(shown)["output"])
                    assert json.loads(end) == {}
            assert await c.conversations() == []

    run(main())


def test_s04_private_calls_show_a_key() -> None:
    """S: 400 `Missing Authorization header`. P: the same, and the key is looked at."""

    async def main() -> None:
        async with course(access_key=KEY) as c:
            path = "/action/guest/parley/assistant"
            assert "Missing Authorization header" in (await c.stream("Italy", path=path, expect=400)).output
            wrong = {"Authorization": "Bearer " + "x" * 40}
            await c.stream("Italy", path=path, headers=wrong, expect=401)
            assert (await c.stream("Italy", path=path, headers=BEARER)).output == ANSWERS["Italy"]

    run(main())


def test_s05_s06_s07_lines_that_can_always_be_parsed() -> None:
    """S: 0 of 45 lines parseable for 18 kB messages, raw UTF-8 cut apart, and contents corrupted.

    P: one ASCII object of at most 2,048 bytes a line, whatever is said.
    """

    async def main() -> None:
        long = 'Grüße, "\\" 日本語 🎉 \n' * 500
        async with course() as c:
            c.upstream.answer("long", long)
            told = await c.stream("long")
            assert told.output == long
            assert len(told.objects) > 15
            # Each is alone: readers take what comes in one read for one object.
            assert told.seconds >= 0.02 * (len(told.objects) - 1)
            [turn] = await c.turns(told.state or "")
            assert turn["text"] == long

    run(main())


def test_d12_both_reference_readers_get_200_tokens_at_full_speed() -> None:
    """S: 13 of 18 lines unparsable back to back; the first, empty delta ends the display. P: both show it whole."""

    async def main() -> None:
        async with course() as c:
            for _ in range(3):
                told = await c.stream("say 200")
                assert lines_readable(told) == told.output == tokens(200)
                # A reader that the machine holds up finds two chunks in one; not three times in a row.
                if all(chunk.count(b"\n") == 1 for chunk in told.chunks):
                    assert first_chunk_readable(told) == tokens(200)
                    return
            raise AssertionError("every stream came glued")

    run(main())


def test_a07_a08_a22_what_is_streamed_is_what_is_stored() -> None:
    """S: the published solution stores `ChatCompletionChunk(id=…` (1,411 characters for "Rome"), and the stateful
    action does not stream. P: streaming and history together, one text.
    """

    async def main() -> None:
        async with course() as c:
            told = await c.stream("What is the capital of Italy?")
            again = await c.stream("And France?", told.state)
            assert again.state == told.state
            stored = [turn["text"] for turn in await c.turns(told.state or "")]
            assert stored == [told.output, again.output] == [ANSWERS["Italy"], "Paris"]
            # The second question was answered with the first in sight.
            said = [message["content"] for message in c.upstream.seen[-1].body["messages"]]
            assert said == ["What is the capital of Italy?", ANSWERS["Italy"], "And France?"]

    run(main())


def test_a09_the_same_action_plain_and_streamed() -> None:
    """S: without a stream the streaming action answers `error`. P: the same answer in either form."""

    async def main() -> None:
        async with course() as c:
            plain, streamed = await c.send("France"), await c.stream("France")
            assert plain["output"] == streamed.output == "Paris"
            assert plain.keys() == {"output", "state", "streaming"}

    run(main())


def test_a10_s12_a_reader_that_goes_away_does_not_end_the_turn() -> None:
    """S: `traceback.print_exc(e)` raises itself, the turn is lost. P: it is answered, stored, and told to who asks."""

    async def main() -> None:
        async with course() as c:
            url = c.home.served[0].url + STREAM
            async with c.home.http.post(url, json={"input": "say 40 delay=0.02 tag=left"}) as answer:
                state = json.loads(await answer.content.readline())["state"]
                await answer.content.readline()
                answer.close()
            async with asyncio.timeout(DEADLINE):
                while (await c.turns(state))[0]["status"] != "completed":
                    await asyncio.sleep(0.02)
            assert (await c.turns(state))[0]["text"] == tokens(40, "left")
            rest = await c.stream("", state)
            assert (rest.output, rest.state) == (tokens(40, "left"), state)
            assert len(await c.turns(state)) == 1

    run(main())


def test_s08_s09_errors_are_told_in_the_stream() -> None:
    """S: an action that never connects hangs its caller; one that fails leaves text behind. P: told as an output."""

    async def main() -> None:
        async with course() as c:
            failed = await c.stream("say 5 status=400")
            assert re.fullmatch(r"\[error: .+\]", failed.output)
            late = await c.stream("say 5 error=2")
            assert late.output.startswith(tokens(2))
            assert re.search(r"\n\n\[error: .+\]$", late.output)
            plain = await c.send("say 5 status=400", late.state)
            assert plain["output"] == failed.output
            assert plain["state"] == late.state

    run(main())


def test_s11_everything_goes_down_the_stream() -> None:
    """S: what the action returns is dropped. P: the state comes first, alone; errors and the end as well."""

    async def main() -> None:
        async with course() as c:
            told = await c.stream("say 3")
            assert told.objects[0] == {"state": told.state}
            assert [list(item) for item in told.objects[1:-1]] == [["output"]] * (len(told.objects) - 2)

    run(main())


def test_s13_d15_a_turn_that_outlasts_its_caller() -> None:
    """S: the platform kills every action at its limit, and the answer with it. P: a note, and the rest on the next
    call with the same state.
    """

    async def main() -> None:
        async with course() as c:
            told = await c.stream("say 60 delay=0.05 tag=slow", seconds=1)
            assert told.output.endswith(MORE)
            assert [item for item in told.objects if "state" in item] == [{"state": told.state}] * 2
            begun = told.output.removesuffix(MORE)
            assert 0 < len(begun) < len(tokens(60, "slow"))
            rest = await c.stream("", told.state)
            assert begun + rest.output == tokens(60, "slow")
            # The same without a stream, and in several goes.
            text, reply = "", await c.send("say 60 delay=0.05 tag=plain", seconds=0.7)
            while reply["output"].endswith(MORE):
                text += reply["output"].removesuffix(MORE)
                reply = await c.send("/more", reply["state"], seconds=1)
            assert text + reply["output"] == tokens(60, "plain")
            assert text
            # Afterwards there is nothing left to be told but the answer itself.
            assert (await c.send("", reply["state"]))["output"] == tokens(60, "plain")
            about = (await c.home.call("GET", f"/api/conversations/{reply['state']}"))["about"]
            assert about["metadata"] == {}

    run(main())


def test_s13_who_moves_on_is_not_taken_back() -> None:
    """The rest of a reply is told to who asks for it next; after another message that is the last one."""

    async def main() -> None:
        async with course() as c:
            told = await c.stream("say 20 delay=0.05", seconds=0.4)
            assert told.output.endswith(MORE)
            assert (await c.send("Italy", told.state))["output"] == ANSWERS["Italy"]
            assert (await c.send("", told.state))["output"] == ANSWERS["Italy"]

    run(main())


def test_s13_a_silent_model_is_handed_over_too() -> None:
    """S: an idle gap of 300 s is cut. P: nothing is sent to fill it, as that ends a display; it is handed over."""

    async def main() -> None:
        async with course() as c:
            told = await c.stream("say 2 first=1.5", seconds=0.3)
            assert told.output == MORE
            assert (await c.stream("", told.state)).output == tokens(2)

    run(main())


def test_s01_other_origins_where_listed() -> None:
    """S: `*` unless configured. P: none unless configured; then that one, with what the page needs to ask."""

    async def main() -> None:
        page = "https://ann.example"
        async with course(origins=(page,)) as c:
            for path in (STREAM, CHAT):
                url = c.home.served[0].url + path
                asked = {"Origin": page, "Access-Control-Request-Method": "POST"}
                wanted = {"Access-Control-Request-Headers": "authorization,content-type"}
                async with c.home.http.options(url, headers=asked | wanted) as answer:
                    assert answer.status == 200
                    assert answer.headers["access-control-allow-origin"] == page
                    assert "POST" in answer.headers["access-control-allow-methods"]
                async with c.home.http.post(url, json={"input": ""}, headers={"Origin": page}) as answer:
                    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, page)
                async with c.home.http.post(url, json={"input": ""}, headers={"Origin": page + ".evil"}) as answer:
                    assert answer.status == 403
                    assert "access-control-allow-origin" not in answer.headers

    run(main())


# States.


def test_a17_a_greeting_creates_nothing() -> None:
    """S: `Hello from phi4:14b`. P: the same, as the operator words it; no model call, no conversation."""

    async def main() -> None:
        async with course(greeting="Ahoy, this is {name}!") as c:
            for said in ("", "   ", None, "\n"):
                assert await c.send(said) == {"output": "Ahoy, this is scripted!", "streaming": True}
            assert await c.send("", path="/api/my/my/a%20pirate") == {
                "output": "Ahoy, this is a pirate!",
                "streaming": True,
            }
            assert (await c.stream("")).objects == [{"output": "Ahoy, this is scripted!"}, {}]
            assert await c.conversations() == []
            assert c.upstream.stats.started == 0

    run(main())


def test_a14_states_are_opaque_and_of_their_owner() -> None:
    """S: the state is a Redis key, and another user's is accepted and sent to the model. P: as if there were none."""

    async def main() -> None:
        async with course(access_key=KEY, users=USERS) as c:
            ann, bob = await c.log_in("ann"), await c.log_in("bob")
            state = (await c.send("my secret is 42", token=ann))["state"]
            assert re.fullmatch(r"conv_[0-9a-f]{34}", state)
            stolen = await c.send("what is my secret?", state, token=bob)
            assert stolen["output"].startswith(EXPIRED)
            assert stolen["state"] != state
            said = [message["content"] for message in c.upstream.seen[-1].body["messages"]]
            assert said == ["what is my secret?"]
            # Nor its rest, nor by the access key, nor by the native protocol.
            assert await c.send("", state, token=bob) == {"output": EXPIRED + "Hello from scripted.", "streaming": True}
            assert (await c.send("x", state, headers=BEARER))["state"] != state
            await c.home.call("GET", f"/api/conversations/{state}", expect=404, headers=BEARER)
            kept = await c.send("And France?", state, token=ann)
            assert (kept["output"], kept["state"]) == ("Paris", state)

    run(main())


def test_a15_a_state_that_is_over() -> None:
    """S: silently empty, under the same id. P: a new conversation, and that is said."""

    async def main() -> None:
        async with course() as c:
            state = (await c.send("Italy"))["state"]
            await c.home.call("DELETE", f"/api/conversations/{state}")
            for over in (state, "conv_00" + "0" * 32, "msciab:assistant:1f", "x" * 1_000, "\u2603", "../..", "*"):
                plain, streamed = await c.send("France", over), await c.stream("France", over)
                assert plain["output"] == streamed.output == EXPIRED + "Paris"
                assert len({plain["state"], streamed.state, over}) == 3
            await c.send("France", "x" * 1_001, expect=400)

    run(main())


def test_a15_a_state_is_renewed_by_use() -> None:
    """S: 24 h from the last save. P: from the last use, reading included."""

    async def main() -> None:
        async with course() as c:
            state = (await c.send("Italy"))["state"]
            key = c.home.bench.keys.conversation(state)[0]
            for said in ("", "/model", "France"):
                await c.home.bench.client.expire(key, 1_000)
                await c.send(said, state)
                assert await c.home.bench.client.ttl(key) > 86_000, said

    run(main())


def test_a14_a_key_of_another_type_is_no_state() -> None:
    """S: a string's key gives `WRONGTYPE` and a 502, and any list can be read. P: no key can be named at all."""

    async def main() -> None:
        async with course() as c:
            await c.home.bench.client.set(f"{PREFIX}text", "x")
            await c.home.bench.client.rpush(f"{PREFIX}assistant:1", "user:secret")
            for state in (f"{PREFIX}text", f"{PREFIX}assistant:1"):
                assert (await c.send("France", state))["output"] == EXPIRED + "Paris"
                assert "secret" not in str(c.upstream.seen[-1].body)

    run(main())


def test_a16_no_state_in_any_form() -> None:
    """S: `""` is one conversation that all such callers share. P: "", null and none begin a new one each."""

    async def main() -> None:
        async with course() as c:
            states = set()
            for more in ({"state": ""}, {"state": None}, {}):
                reply = await c.home.call("POST", CHAT, {"input": "Italy", **more})
                assert reply["output"] == ANSWERS["Italy"]
                states.add(reply["state"])
            assert len(states) == 3

    run(main())


def test_a18_forms() -> None:
    """S: stored as `user:{'form': {...}}`. P: as a line for each field, wrapped or not; anything else is refused."""

    async def main() -> None:
        async with course() as c:
            form = {"name": "Ann", "age": 7, "size": 1.5, "sure": True, "tags": ["a", "b"], "note": "x\ny", "no": None}
            text = "name: Ann\nage: 7\nsize: 1.5\nsure: yes\ntags: a, b\nnote: x\ny\nno: "
            for said in ({"form": form}, form):
                reply = await c.send(said)
                [turn] = await c.turns(reply["state"])
                assert turn["request"]["input"] == [{"role": "user", "content": text}]
            assert await c.send({"form": {}}) == GREETING
            for bad in (5, True, ["x"], {"form": "x"}, {"form": {"a": {"b": 1}}}, {"form": {"a": [1]}}):
                refused = await c.send(bad, expect=400)
                assert refused.keys() == {"output"}
            await c.send({"form": {str(number): "x" for number in range(101)}}, expect=400)

    run(main())


def test_a27_files_in_a_form_are_named_not_read() -> None:
    """S: a picture goes to a model that can see. P: not yet: its size is told, its letters are not."""

    async def main() -> None:
        async with course() as c:
            picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1_000)).decode()
            other = base64.b64encode(bytes(range(256)) * 4).decode()
            reply = await c.send({"form": {"file": picture, "other": other, "what": "see?", "long": "word " * 100}})
            [turn] = await c.turns(reply["state"])
            said = turn["request"]["input"][0]["content"].splitlines()
            assert said[:3] == [
                "file: (PNG picture of 1008 bytes, not shown to the model)",
                "other: (file of 1024 bytes, not shown to the model)",
                "what: see?",
            ]
            assert said[3] == "long: " + "word " * 100

    run(main())


def test_a20_two_at_once_on_one_state() -> None:
    """S: both load, both save, one context is lost. P: one after the other, both with all that was said before."""

    async def main() -> None:
        async with course() as c:
            state = (await c.send("Italy"))["state"]
            both = await asyncio.gather(c.send("say 5 delay=0.02 tag=one", state), c.stream("say 5 tag=two", state))
            assert {both[0]["output"], both[1].output} == {tokens(5, "one"), tokens(5, "two")}
            turns = await c.turns(state)
            assert [turn["status"] for turn in turns] == ["completed"] * 3
            assert turns[2]["parent"] == turns[1]["turn"]

    run(main())


# Models and reasoning.


def test_a23_the_model_of_a_conversation() -> None:
    """S: a module global: it switches for everyone of that warm container. P: for this conversation."""

    async def main() -> None:
        async with course() as c:

            def answered_by() -> str:
                name: str = c.upstream.seen[-1].body["model"]
                return name

            mine, theirs = (await c.send("Italy"))["state"], (await c.send("Italy"))["state"]
            for bare in ("/model", "@"):
                listed = await c.send(bare, mine)
                assert listed["output"].startswith("Models:\n\n- scripted (answers here)\n- other\n")
            for switch in ("/model other", "@other"):
                assert "other answers" in (await c.send(switch, mine))["output"]
                await c.send("France", mine)
                assert answered_by() == "other"
                await c.send("France", theirs)
                assert answered_by() == "scripted"
                await c.send("@scripted France", mine)
                assert answered_by() == "scripted"
                await c.send("France", mine)
                assert answered_by() == "scripted"
            # Commands are no turns.
            assert len(await c.turns(theirs)) == 3
            for unknown in ("/model nobody", "@nobody"):
                refused = await c.send(unknown, mine)
                assert refused["output"].startswith("[error: there is no model named 'nobody']\n\nModels:")
            # Somebody else's name before a message is a part of it.
            assert (await c.send("@ann hello", theirs))["output"].startswith("You said: @ann hello")
            # A switch may come first.
            begun = await c.send("/model other")
            await c.send("France", begun["state"])
            assert answered_by() == "other"

    run(main())


def test_each_assistant_is_an_action() -> None:
    async def main() -> None:
        async with course() as c:
            await c.send("Italy", path="/api/my/parley/a%20pirate")
            seen = c.upstream.seen[-1].body
            assert seen["model"] == "other"
            assert seen["messages"][0] == {"role": "system", "content": PIRATE.instructions}

    run(main())


def test_a24_reasoning_is_shown_apart() -> None:
    """S: `<think>` is replaced by `[think]`, as markdown would swallow it. P: the same, however it arrives."""

    async def main() -> None:
        async with course() as c:
            told, plain = await c.stream("say 2 reasoning=2"), await c.send("say 2 reasoning=2")
            shown = "[think]\nthink:0000 think:0001 \n[/think]\n\n" + tokens(2)
            assert told.output == plain["output"] == shown
            assert (await c.turns(plain["state"]))[0]["text"] == tokens(2)
            c.upstream.answer("riddle", "<think> 1 < 2 </think> <thin ice> <b> <thin")
            assert (await c.stream("riddle")).output == "[think] 1 < 2 [/think] <thin ice> <b> <thin"

    run(main())


# The page: index, login, display.


def test_b5_index_lists_each_assistant() -> None:
    async def main() -> None:
        async with course(users=USERS, access_key=KEY) as c:
            services = [
                {"name": "scripted", "url": "parley/assistant"},
                {"name": "a pirate", "url": "parley/a%20pirate"},
            ]
            index = "/api/my/mastrogpt/index"
            assert await c.home.call("GET", index) == {"username": "parley", "services": {"Parley": services}}
            token = await c.log_in()
            for service in services:
                await c.send("Italy", path=f"/api/my/{service['url']}", token=token)
        # Where nobody logs in, it is for whoever has the key.
        async with course(access_key=KEY, assistants=(Choice("assistant"),), workers=0) as c:
            await c.home.call("GET", index, expect=401)
            listed = await c.home.call("GET", index, headers=BEARER)
            assert listed["services"] == {"Parley": [{"name": "assistant", "url": "parley/assistant"}]}

    run(main())


def test_a25_b6_login_and_token() -> None:
    """S: a login per user; the next one ends it. P: the same, the secret at rest as a hash."""

    async def main() -> None:
        async with course(users=USERS, access_key=KEY) as c:
            first = await c.log_in()
            assert re.fullmatch(r"ann:[\w-]{43}", first)
            assert (await c.send("Italy", token=first))["output"] == ANSWERS["Italy"]
            kept = await c.home.bench.client.get(f"{PREFIX}TOKEN:ann")
            assert kept is not None
            assert first.partition(":")[2].encode() not in kept
            assert 86_000 < await c.home.bench.client.ttl(f"{PREFIX}TOKEN:ann") <= 86_400
            second = await c.log_in()
            await c.send("Italy", token=first, expect=401)
            assert (await c.send("Italy", token=second))["output"] == ANSWERS["Italy"]
            # The course's own login keeps the secret as it is: it is taken as well.
            await c.home.bench.client.set(f"{PREFIX}TOKEN:bob", "s3cret")
            await c.send("Italy", token="bob:s3cret")
            await c.send("Italy", token="bob:s3cre", expect=401)

    run(main())


def test_b6_no_token_with_an_empty_secret() -> None:
    """S: `nobody:` is authenticated; two colons raise ValueError. P: refused, every one alike."""

    async def main() -> None:
        async with course(users=USERS, access_key=KEY) as c:
            await c.log_in()
            bad = ["nobody:", "ann:", ":", ":x", "ann", "ann:x", "ann:x:y", "nobody::", "::", " ", "guest:x", "ann :x"]
            bad += [f"ann:{'x' * 43}", "ann:\u00e9", "*:x", "a" * 101 + ":x", KEY, f"x:{KEY}"]
            refusals = [await c.send("Italy", token=token, expect=401) for token in [*bad, "", None]]
            assert all(refusal == refusals[0] for refusal in refusals)
            await c.send("", expect=401)
            for path in ROUTES[:4]:
                await c.stream("Italy", path=path, token="nobody:", expect=401)
            assert c.upstream.stats.started == 0

    run(main())


def test_b6_an_open_server_with_users_asks_them_to_log_in() -> None:
    async def main() -> None:
        async with course(users=USERS) as c:
            await c.send("Italy", expect=401)
            await c.send("Italy", token=await c.log_in())
        async with course() as c:
            # Without users nobody logs in, and a token is nobody's; without one, this machine's people are the owner.
            body = {"username": "ann", "password": ""}
            assert await c.home.call("POST", "/api/my/mastrogpt/login", body) == {"authenticated": False}
            await c.send("Italy", token="ann:x", expect=401)
            state = (await c.send("Italy"))["state"]
            assert [each["id"] for each in await c.conversations()] == [state]

    run(main())


def test_b5_login_refuses() -> None:
    async def main() -> None:
        async with course(users=USERS, access_key=KEY, workers=0, limits=Limits(logins=2)) as c:
            login = "/api/my/mastrogpt/login"
            for user, password in (
                ("ann", ""),
                ("ann", "bob's password"),
                ("nobody", "x"),
                ("", ""),
                ("ann:", "x"),
                ("ANN", "ann's password"),
            ):
                body = {"username": user, "password": password}
                assert await c.home.call("POST", login, body) == {"authenticated": False}
            malformed: list[Any] = [{}, {"username": "ann"}, {"username": 1, "password": 2}, []]
            for body in malformed:
                assert await c.home.call("POST", login, body, expect=400) == {"authenticated": False}
            # Guessing is stopped, for that name, which was tried in vain twice.
            for password in ("x", "ann's password"):
                body = {"username": "ann", "password": password}
                async with c.home.http.post(c.home.served[0].url + login, json=body) as answer:
                    assert (answer.status, await answer.json()) == (429, {"authenticated": False})
                    assert 1 <= int(answer.headers["retry-after"]) <= 30
            await c.log_in("bob")

    run(main())


def test_an_action_speaks_for_its_users() -> None:
    """`user` is for the owner of the deployment: the platform's action, which has checked who asks."""

    async def main() -> None:
        async with course(users=USERS, access_key=KEY) as c:
            token = await c.log_in()
            state = (await c.send("Italy", headers=BEARER, user="ann"))["state"]
            assert (await c.send("France", state, token=token))["state"] == state
            assert (await c.send("France", state, headers=BEARER, user="guest"))["state"] != state
            await c.send("France", state, headers=BEARER, user="a b", expect=400)
            made = await c.home.call("POST", "/api/sessions", {"name": "x"}, expect=201, headers=BEARER)
            session = {"Authorization": f"Bearer {made['token']}"}
            await c.send("France", headers=session, user="ann", expect=403)
            assert (await c.send("France", headers=session))["output"] == "Paris"
            await c.send("France", user="ann", expect=401)

    run(main())


def test_b5_display_never_hands_on_html() -> None:
    """S: `innerHTML`, unsanitised; one variant evaluates scripts. P: text, or a frame in which nothing runs."""

    async def main() -> None:
        evil = '</code></pre></iframe><script>alert(1)</script><img src=x onerror=alert(1)>"\' onload="x'
        async with course(workers=0) as c:

            async def show(shown: dict[str, Any], expect: int = 200) -> str:
                url = c.home.served[0].url + "/api/my/mastrogpt/display"
                async with c.home.http.post(url, json=shown) as answer:
                    assert answer.status == expect
                    return await answer.text()

            shown: dict[str, Any]
            for shown in (
                {"html": evil}, {"code": evil, "language": evil}, {"chess": evil}, {"message": evil, "title": evil},
            ):  # fmt: skip
                page = await show(shown)
                tags = re.findall(r"<[^>]*>", page)
                assert all(re.match(r"</?(iframe|pre|code|h3|p)\b", tag) for tag in tags), page
                assert "<script" not in page
                assert "<img" not in page
                assert not re.search(r'<[^>]*" on\w+=', page)
            framed = await show({"html": "<b>x</b>"})
            assert framed.startswith('<iframe sandbox title="Display" srcdoc="&lt;!doctype html&gt;&lt;meta')
            assert "allow-" not in framed
            assert await show({"chess": "8/8/8/8/8/8/8/K1k5 w - - 0 1"}) == "<pre>8/8/8/8/8/8/8/K1k5 w - - 0 1</pre>"
            assert await show({"message": "hi", "title": "T", "unknown": 1}) == "<h3>T</h3><p>hi</p>"
            await show({}, expect=400)
            await show({"code": 5}, expect=400)

    run(main())


def test_errors_keep_to_the_keys_the_page_knows() -> None:
    """b.5: an unknown key opens the side view."""

    async def main() -> None:
        async with course(access_key=KEY, users=USERS, limits=Limits(message_bytes=1_000)) as c:
            token = await c.log_in()
            replies = [
                await c.send("x" * 1_001, token=token, expect=413),
                await c.send("x", path="/api/my/parley/nobody", token=token, expect=404),
                await c.send("x", path="/api/my/other/assistant", token=token, expect=404),
            ]
            assert all(reply.keys() == {"output"} <= KNOWN for reply in replies)
            # What was refused left nothing behind.
            assert await c.home.bench.conversations.listing("user:ann") == []

    run(main())


def test_the_same_key_is_the_same_call() -> None:
    """A19: a call that is repeated is one turn of one conversation."""

    async def main() -> None:
        async with course() as c:
            headers = {"Idempotency-Key": "activation-1"}
            told = [await c.stream("Italy", headers=headers) for _ in range(2)]
            assert told[0].state == told[1].state
            assert told[0].output == told[1].output == ANSWERS["Italy"]
            plain = await c.send("Italy", headers=headers)
            assert plain["state"] == told[0].state
            assert len(await c.turns(plain["state"])) == 1
            await c.send("France", headers=headers, expect=409)
            assert len(await c.turns(plain["state"])) == 1
            await c.send("x", headers={"Idempotency-Key": "x" * 300}, expect=400)

    run(main())


def test_a_server_that_goes_hands_its_readers_over() -> None:
    """The rest comes from any other server, with the same state."""

    async def main() -> None:
        async with course() as c:
            other = await c.home.serve(models=(Choice("scripted"),), default="scripted")
            asking = asyncio.create_task(c.stream("say 60 delay=0.03 tag=moved"))
            await until(lambda: c.upstream.stats.tokens > 10)
            c.home.served[0].server.go()
            told = await asking
            assert told.output.endswith(MORE)
            rest = await c.stream("", told.state, path=other.url + STREAM)
            assert told.output.removesuffix(MORE) + rest.output == tokens(60, "moved")

    run(main())


def test_a26_the_pages_own_conversation() -> None:
    """S: `test_stateful_int`: GET greeting, POST, `state`, "Italy" is Rome, "France" is Paris. P: the same."""

    async def main() -> None:
        async with course(users=USERS, access_key=KEY) as c:
            index = await c.home.call("GET", "/api/my/mastrogpt/index")
            url = index["services"]["Parley"][0]["url"]
            body = {"username": "ann", "password": "ann's password"}
            token = (await c.home.call("POST", "/api/my/mastrogpt/login", body))["token"]
            greeting = await c.send("", path=f"/api/my/{url}", token=token)
            assert greeting["output"]
            first = await c.send("What is the capital of Italy?", path=f"/api/my/{url}", token=token)
            assert "Rome" in first["output"]
            # `streaming` sends the page to the streamer from here on.
            assert first["streaming"]
            path = f"/web/{index['username']}/{url}"
            second = await c.stream("And the capital of France?", first["state"], path=path, token=token)
            assert "Paris" in second.output
            said = [message["content"] for message in c.upstream.seen[-1].body["messages"]]
            assert said[0] == "What is the capital of Italy?"

    run(main())


def test_a26_a_get_greets() -> None:
    async def main() -> None:
        async with course(workers=0) as c:
            assert await c.home.call("GET", CHAT) == GREETING
            # A query is not looked at, as addresses are written down.
            assert await c.home.call("GET", f"{CHAT}?input=x&state=y&token=z") == GREETING

    run(main())


def test_every_route_declares_who_may_use_it() -> None:
    """X29: where nobody logs in, all but two want the key, and a cookie is none."""

    async def main() -> None:
        async with course(access_key=KEY, workers=0) as c:
            server = c.home.served[0]
            cookie = {"Cookie": f"parley_{server.port}={server.server.app.parts.auth._badge}", "Origin": server.url}
            free = {"/api/my/mastrogpt/login": 200, "/api/my/mastrogpt/display": 400}
            seen = 0
            for route in serverless.routes(server.server.app.parts):
                assert isinstance(route, Route)
                path = route.path.replace("{ns}", "ns").replace("{pkg}", "parley").replace("{action}", "assistant")
                path = path.replace("{action:path}", "assistant")
                for method in (route.methods or set()) - {"HEAD"}:
                    body = {"username": "x", "password": "y"} if method == "POST" else None
                    async with c.home.http.request(method, server.url + path, json=body, headers=cookie) as answer:
                        wanted = free.get(path, 400 if path.startswith("/action") else 401)
                        assert answer.status == wanted, (method, path)
                        seen += 1
            assert seen == 13

    run(main())


def test_many_streams_at_once() -> None:
    """Each gets its own, whole."""

    async def main() -> None:
        async with course(workers=2) as c:
            began = time.monotonic()
            told = await asyncio.gather(*(c.stream(f"say 50 tag=n{number} delay=0.005") for number in range(30)))
            assert [stream.output for stream in told] == [tokens(50, f"n{number}") for number in range(30)]
            assert time.monotonic() - began < DEADLINE

    run(main())
