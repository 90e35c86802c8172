"""Responses over a WebSocket, with the official client's own connection against a running deployment."""

import asyncio
import json
from typing import Any

import openai
import pytest
import websockets.asyncio.client
from websockets.exceptions import InvalidStatus

from parley.server import hub
from tests.server.harness import Line, Served, until
from tests.server.openai.harness import Office, office
from tests.store.harness import run
from tests.wire.openai.shapes import check_event

SOON = 60.0
WHOLE = "".join(f"t:{at:04d} " for at in range(60))
SLOW: dict[str, Any] = {"model": "model", "input": "say 60 delay=0.03"}
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": None}
ORPHAN = [{"type": "function_call_output", "call_id": "call_x", "output": "blue"}]
ENDINGS = {"response.completed", "response.incomplete", "response.failed", "error"}


async def answer(connection: Any) -> list[Any]:
    """The events up to the end of a response, or an error."""
    found: list[Any] = []
    async with asyncio.timeout(SOON):
        while not found or found[-1].type not in ENDINGS:
            found.append(await connection.recv())
    return found


async def ask(connection: Any, **fields: Any) -> Any:
    """Create, and read the whole: the response, or the error."""
    await connection.response.create(**({"model": "model"} | fields))
    last = (await answer(connection))[-1]
    return last.error if last.type == "error" else last.response


def numbers(events: list[Any]) -> list[int]:
    return [event.sequence_number for event in events]


def line(it: Office, served: Served | None = None, **options: Any) -> Any:
    """A bare socket, for what the official client does not do."""
    url = (served or it.home.served[0]).url.replace("http", "ws") + "/v1/responses"
    return websockets.asyncio.client.connect(url, proxy=None, max_size=None, **options)


def outboxes(it: Office) -> set[Any]:
    """The connections that the server holds."""
    return it.home.served[0].server.app.parts.hub._outboxes


def asked(it: Office) -> list[tuple[str, str]]:
    """The messages that the model was asked with last."""
    return [(each["role"], each["content"]) for each in it.upstream.seen[-1].body["messages"]]


def test_the_events_are_those_of_a_stream() -> None:
    async def main() -> None:
        async with office() as it, it.client.responses.connect() as connection:
            await connection.response.create(model="model", input="say 5 reasoning=2", stream=True, background=True)
            events = await answer(connection)
            assert numbers(events) == list(range(len(events)))
            assert events[-1].response.output_text == "t:0000 t:0001 t:0002 t:0003 t:0004 "
            assert events[-1].response.background is False
            for event in events:
                check_event(event.to_dict())
            response = events[0].response.id
            replayed = [event async for event in await it.client.responses.retrieve(response, stream=True)]
            assert [each.to_dict() for each in replayed] == [each.to_dict() for each in events]

    run(main())


def test_calls_are_answered_on_the_socket() -> None:
    """Also those of a response that is not stored."""

    async def main() -> None:
        async with office() as it, it.client.responses.connect() as connection:
            made = await ask(connection, input="say 0 calls=1 tag=look", tools=[LOOK], store=False)
            output = {"type": "function_call_output", "call_id": made.output[0].call_id, "output": "blue"}
            after = await ask(connection, input=[output], previous_response_id=made.id, tools=[LOOK], store=False)
            assert after.status == "completed"
            assert [role for role, _ in asked(it)] == ["user", "assistant", "tool"]

    run(main())


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")  # the client's way
def test_the_synchronous_client() -> None:
    def talk(url: str) -> list[str]:
        client: Any = openai.OpenAI(base_url=url, api_key="any", max_retries=0)
        texts, previous = [], None
        with client, client.responses.connect() as connection:
            for said in ("say 2", "say 3"):
                more: dict[str, Any] = {} if previous is None else {"previous_response_id": previous}
                connection.response.create(model="model", input=said, **more)
                for event in connection:
                    if event.type == "response.completed":
                        texts.append(event.response.output_text)
                        previous = event.response.id
                        break
        return texts

    async def main() -> None:
        async with office() as it:
            url = it.home.served[0].url + "/v1"
            assert await asyncio.to_thread(talk, url) == ["t:0000 t:0001 ", "t:0000 t:0001 t:0002 "]
            assert asked(it) == [("user", "say 2"), ("assistant", "t:0000 t:0001 "), ("user", "say 3")]

    run(main())


def test_a_stored_response_is_gone_on_behind_anywhere() -> None:
    async def main() -> None:
        async with office() as it:
            async with it.client.responses.connect() as connection:
                first = await ask(connection, input="hello")
                second = await ask(connection, input="again", previous_response_id=first.id)
            assert second.previous_response_id == first.id
            assert second.output_text == "You said: again (3 messages)"
            assert await it.client.responses.retrieve(second.id) == second
            async with it.client.responses.connect() as other:
                third = await ask(other, input="once more", previous_response_id=second.id, store=False)
                assert third.output_text == "You said: once more (5 messages)"
                assert third.previous_response_id == second.id
                in_conversation = await ask(other, input="there", conversation="conv_" + first.id[5:39])
                assert in_conversation.output_text == "You said: there (5 messages)"

    run(main())


def test_what_is_not_stored_is_gone_on_behind_on_its_socket_only() -> None:
    async def main() -> None:
        async with office() as it:
            async with it.client.responses.connect() as connection, it.client.responses.connect() as other:
                first = await ask(connection, input="one", store=False)
                second = await ask(connection, input="two", store=False, previous_response_id=first.id)
                aside = await ask(connection, input="aside", store=False, previous_response_id=first.id)
                assert [each.output_text for each in (second, aside)] == [
                    "You said: two (3 messages)",
                    "You said: aside (3 messages)",
                ]
                assert second.previous_response_id == first.id
                for elsewhere in (other, connection):
                    foreign = second.id if elsewhere is other else first.id[:-1] + "z"
                    error = await ask(elsewhere, input="three", store=False, previous_response_id=foreign)
                    assert (error.code, error.param) == ("previous_response_not_found", "previous_response_id")
                with pytest.raises(openai.NotFoundError):
                    await it.client.responses.retrieve(second.id)
                kept = await ask(connection, input="three", previous_response_id=second.id)
                assert kept.output_text == "You said: three (5 messages)"
                assert (kept.previous_response_id, kept.store) == (second.id, True)
                assert await it.client.responses.retrieve(kept.id) == kept
            conversation = "conv_" + first.id[5:39]
            # Once the socket is gone there is nothing of it.
            async with asyncio.timeout(SOON):
                while await it.home.bench.conversations.turn(conversation, first.id[39:]) is not None:
                    await asyncio.sleep(0.02)
            after = await it.client.responses.create(model="model", input="four", previous_response_id=kept.id)
            assert after.output_text == "You said: four (7 messages)"

    run(main())


@pytest.mark.parametrize(
    "failure", [{"model": "nobody"}, {"input": "say 1 status=400"}, {"temperature": "hot"}, {"input": ORPHAN}]
)
def test_a_continuation_that_fails_takes_its_parent_along(failure: dict[str, Any]) -> None:
    async def main() -> None:
        async with office() as it, it.client.responses.connect() as connection:
            first = await ask(connection, input="one", store=False)
            behind = {"store": False, "previous_response_id": first.id}
            failed = await ask(connection, **({"input": "two", **behind} | failure))
            assert getattr(failed, "status", "failed") == "failed"
            error = await ask(connection, input="two", **behind)
            assert error.code == "previous_response_not_found"

    run(main())


def test_a_warm_up_says_nothing_and_is_known_afterwards() -> None:
    async def main() -> None:
        async with office() as it, it.client.responses.connect() as connection:
            await connection.response.create(model="model", input="first", instructions="Be brief.", generate=False)
            events = await answer(connection)
            assert [event.type for event in events] == ["response.created", "response.completed"]
            assert numbers(events) == [0, 1]
            for event in events:
                check_event(event.to_dict())
            warm = events[-1].response
            assert (warm.output, warm.usage.total_tokens, warm.store) == ([], 0, False)
            assert it.upstream.stats.started == 0
            # Agents say nothing more when nothing has happened since.
            first = await ask(connection, input=[], previous_response_id=warm.id, store=False)
            assert asked(it) == [("user", "first")]
            assert first.previous_response_id == warm.id
            second = await ask(connection, input="second", previous_response_id=first.id, store=False)
            assert second.output_text == "You said: second (3 messages)"
            # A warm-up may go on behind a response, or another warm-up.
            third = await ask(connection, input="third", previous_response_id=second.id, generate=False)
            fourth = await ask(connection, input="fourth", previous_response_id=third.id, generate=False)
            fifth = await ask(connection, input="fifth", previous_response_id=fourth.id)
            assert fifth.previous_response_id == fourth.id
            assert [text for role, text in asked(it) if role == "user"] == [
                *("first", "second", "third", "fourth", "fifth")
            ]
            with pytest.raises(openai.NotFoundError):
                await it.client.responses.retrieve(warm.id)
            for bad in ({"previous_response_id": "resp_x"}, {"model": "nobody"}, {"input": [{"type": "magic"}]}):
                error = await ask(connection, **({"input": "x", "generate": False} | bad))
                assert error.type in ("invalid_request_error", "not_found_error")

    run(main())


def test_an_error_leaves_the_socket_open() -> None:
    async def main() -> None:
        async with office() as it, it.client.responses.connect() as connection:
            await connection.response.create(model="nobody", input="hello")
            (error,) = await answer(connection)
            assert (error.type, error.status) == ("error", 404)
            assert (error.error.type, error.error.code, error.error.param) == (
                *("not_found_error", "model_not_found", "model"),
            )
            failed = await ask(connection, input="say 1 status=400")
            assert (failed.status, failed.error.code) == ("failed", "server_error")
            assert (await ask(connection, input="hello")).output_text == "You said: hello (1 messages)"

    run(main())


def test_creates_wait_for_each_other() -> None:
    async def main() -> None:
        async with office(workers=2) as it, it.client.responses.connect() as connection:
            await connection.response.create(model="model", input="say 20 delay=0.02 tag=one")
            await connection.response.create(model="model", input=[])
            await connection.response.create(model="model", input="say 2 tag=two")
            first, refused, second = [await answer(connection) for _ in range(3)]
            assert first[-1].response.output_text == "".join(f"one:{at:04d} " for at in range(20))
            assert [event.type for event in refused] == ["error"]
            assert second[-1].response.output_text == "two:0000 two:0001 "
            for events in (first, second):
                assert numbers(events) == list(range(len(events)))
                assert len({event.response.id for event in events if hasattr(event, "response")}) == 1
            assert it.upstream.stats.max_active == 1

    run(main())


def test_a_session_has_so_many_connections() -> None:
    """A response that could not be followed is not begun."""

    async def main() -> None:
        async with office(session_connections=2) as it:
            token = (await it.home.call("POST", "/api/sessions", {"name": "Ada"}, expect=201))["token"]
            ada: Any = it.connect(api_key=token)
            async with ada.responses.connect() as connection:
                first = await ask(connection, input="hello")
                assert first.status == "completed"
                async with ada.responses.connect() as other:
                    error = await ask(other, input="hello", previous_response_id=first.id)
                    assert error.code == "too_many_connections"
                assert it.upstream.stats.started == 1
                await until(lambda: len(outboxes(it)) == 1)
                assert (await ask(connection, input="again", previous_response_id=first.id)).status == "completed"
            with pytest.raises(openai.NotFoundError):
                await it.client.responses.retrieve(first.id)
            await ada.close()

    run(main())


def test_silence_is_silent() -> None:
    """Nobody works yet: nothing is sent that is no event of OpenAI's."""

    async def main() -> None:
        async with office(workers=0, quiet_seconds=1) as it, it.client.responses.connect() as connection:
            await connection.response.create(model="model", input="say 3")
            assert (await connection.recv()).type == "response.created"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.5):
                    await connection.recv()
            it.work()
            events = await answer(connection)
            assert numbers(events) == list(range(1, len(events) + 1))
            assert events[-1].response.output_text == "t:0000 t:0001 t:0002 "

    run(main())


def test_a_store_that_stands_still_is_waited_for() -> None:
    async def main() -> None:
        async with office() as it, it.client.responses.connect() as connection:
            await connection.response.create(store=False, **SLOW)
            events = [await connection.recv() for _ in range(8)]
            await it.home.bench.command("CLIENT", "KILL", "TYPE", "PUBSUB")
            await it.home.bench.command("CLIENT", "PAUSE", "700", "ALL")
            events += await answer(connection)
            assert numbers(events) == list(range(len(events)))
            assert events[-1].response.output_text == WHOLE

    run(main())


def test_only_so_many_wait() -> None:
    async def main() -> None:
        async with office() as it, it.client.responses.connect() as connection:
            await connection.response.create(model="model", input="say 30 delay=0.02")
            for _ in range(17):
                await connection.response.create(model="model", input="x")
            refused, done = [], 0
            async with asyncio.timeout(SOON):
                while done < 17:
                    event = await connection.recv()
                    done += event.type == "response.completed"
                    if event.type == "error":
                        refused.append(event)
            assert [(event.status, event.error.code) for event in refused] == [(429, "too_many_waiting")]

    run(main())


@pytest.mark.parametrize("store", [True, False])
def test_a_client_that_leaves(store: bool) -> None:
    """What is stored is finished without it, what is not is stopped."""

    async def main() -> None:
        async with office() as it:
            async with it.client.responses.connect() as connection:
                await connection.response.create(store=store, **SLOW)
                created = await connection.recv()
                await it.upstream.until(lambda stats: stats.active == 1)
            if store:
                await it.upstream.until(lambda stats: stats.finished == 1)
                async with asyncio.timeout(SOON):
                    while (found := await it.client.responses.retrieve(created.response.id)).status != "completed":
                        await asyncio.sleep(0.02)
                assert found.output_text == WHOLE
            else:
                await it.upstream.until(lambda stats: stats.disconnected == 1)
                assert it.upstream.stats.finished == 0

    run(main())


def test_a_client_that_leaves_at_once() -> None:
    """It is gone before the create was looked at: nothing of it stays running."""

    async def main() -> None:
        async with office() as it:
            for _ in range(5):
                async with line(it) as link:
                    body = {"type": "response.create", "model": "model", "input": "say 500 delay=0.02", "store": False}
                    await link.send(json.dumps(body))
            async with it.client.responses.connect() as connection:
                assert (await ask(connection, input="hello")).status == "completed"
            await it.upstream.until(lambda stats: stats.active == 0)
            await until(lambda: not outboxes(it))

    run(main())


def test_a_lost_worker_does_not_show() -> None:
    async def main() -> None:
        async with office() as it, it.client.responses.connect() as connection:
            await connection.response.create(**SLOW)
            events: list[Any] = []
            async with asyncio.timeout(SOON):
                while not events or events[-1].type not in ENDINGS:
                    events.append(await connection.recv())
                    if len(events) == 15:
                        await it.kill("worker-0")
                        it.work("worker-b")
            assert events[-1].response.output_text == WHOLE
            assert numbers(events) == list(range(len(events)))
            assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == WHOLE
            assert it.upstream.stats.continued == 1

    run(main())


def test_a_rewind_is_an_error_that_names_the_response() -> None:
    async def main() -> None:
        async with office() as it, it.client.responses.connect() as connection:
            await connection.response.create(model="fickle", input="say 40 delay=0.03 vary")
            events: list[Any] = []
            async with asyncio.timeout(SOON):
                while not events or events[-1].type not in ENDINGS:
                    events.append(await connection.recv())
                    if len(events) == 15:
                        await it.kill("worker-0")
                        it.work("worker-b")
            assert (events[-1].status, events[-1].error.code) == (500, "response_rewound")
            assert events[0].response.id in events[-1].error.message
            assert (await ask(connection, input="hello")).status == "completed"

    run(main())


def test_a_server_that_goes_sends_its_clients_to_the_next_one() -> None:
    async def main() -> None:
        async with office(servers=2) as it:
            async with line(it) as idle, line(it) as busy:
                await busy.send(json.dumps({"type": "response.create", **SLOW}))
                created = json.loads(await busy.recv())
                it.home.served[0].server.go()
                assert await Line(idle).closed() == 1012
                assert await Line(busy).closed() == 1012
            other: Any = it.connect(it.home.served[1])
            rest = await other.responses.retrieve(created["response"]["id"], stream=True, starting_after=0)
            events = [event async for event in rest]
            assert numbers(events) == list(range(1, len(events) + 1))
            assert events[-1].response.output_text == WHOLE
            await other.close()

    run(main())


def test_a_connection_lasts_so_long() -> None:
    async def main() -> None:
        async with office(connection_seconds=0.5) as it, line(it) as link:
            await link.send(json.dumps({"type": "response.create", "model": "model", "input": "say 40 delay=0.02"}))
            found = [json.loads(await link.recv())]
            while found[-1]["type"] != "error":
                found.append(json.loads(await link.recv()))
            # What was begun is told to its end.
            assert found[-2]["type"] == "response.completed"
            assert found[-1]["status"] == 400
            assert found[-1]["error"]["code"] == "websocket_connection_limit_reached"
            assert await Line(link).closed() == 1001

    run(main())


def test_who_may_connect() -> None:
    async def main() -> None:
        async with office(access_key="k" * 20, origins=("https://chat.example",)) as it:
            good = {"authorization": "Bearer " + "k" * 20}
            refusals = [
                ({}, 401),
                ({"authorization": "Bearer wrong"}, 401),
                ({**good, "origin": "https://evil.example"}, 403),
                ({"origin": "https://chat.example"}, 401),
            ]
            for headers, status in refusals:
                with pytest.raises(InvalidStatus) as caught:
                    async with line(it, additional_headers=headers):
                        pass
                assert caught.value.response.status_code == status
                assert set(json.loads(caught.value.response.body)["error"]) == {"message", "type", "code", "param"}
                assert caught.value.response.headers["x-request-id"]
            for headers in (good, {**good, "origin": "https://chat.example"}):
                async with line(it, additional_headers=headers) as link:
                    await link.send(json.dumps({"type": "response.create", "input": "hello"}))
                    assert json.loads(await link.recv())["type"] == "response.created"

    run(main())


CREATE: dict[str, Any] = {"type": "response.create", "model": "model"}

BAD: list[tuple[Any, str, str | None]] = [
    ("", "invalid_json", None),
    ("not json", "invalid_json", None),
    ("[" * 50, "too_deep", None),
    ("[]", "invalid_value", None),
    ("null", "invalid_value", None),
    ('{"type": "response.create", "type": "x"}', "duplicate_key", None),
    ({}, "missing_parameter", "type"),
    ({"input": "hello"}, "missing_parameter", "type"),
    ({"type": None}, "invalid_value", "type"),
    ({"type": "response.cancel"}, "invalid_value", "type"),
    ({"type": ["response.create"]}, "invalid_value", "type"),
    (CREATE, "missing_parameter", "input"),
    (CREATE | {"input": None}, "missing_parameter", "input"),
    (CREATE | {"input": 7}, "invalid_value", "input"),
    (CREATE | {"input": []}, "empty_message", "input"),
    (CREATE | {"input": " "}, "empty_message", "input"),
    (CREATE | {"input": [7]}, "invalid_value", "input[0]"),
    (CREATE | {"input": "x" * 300_000}, "message_too_large", "input"),
    (CREATE | {"input": "x", "store": "no"}, "invalid_value", "store"),
    (CREATE | {"input": "x", "generate": "no"}, "invalid_value", "generate"),
    (CREATE | {"input": "x", "metadata": []}, "invalid_value", "metadata"),
    (CREATE | {"input": "x", "previous_response_id": 7}, "invalid_value", "previous_response_id"),
    (CREATE | {"input": "x", "previous_response_id": "y"}, "previous_response_not_found", "previous_response_id"),
    (CREATE | {"input": "x", "previous_response_id": "y", "conversation": "z"}, "mutually_exclusive",
     "previous_response_id"),
    (CREATE | {"input": "x", "conversation": "z"}, "conversation_not_found", "conversation"),
]  # fmt: skip


def test_bad_messages_are_told() -> None:
    async def main() -> None:
        async with office() as it, line(it) as link:
            for message, code, param in BAD:
                await link.send(message if isinstance(message, str) else json.dumps(message))
                async with asyncio.timeout(SOON):
                    told = json.loads(await link.recv())
                assert told["type"] == "error", (message, told)
                assert (told["error"]["code"], told["error"]["param"]) == (code, param), (message, told)
                assert 400 <= told["status"] < 500
                assert told["error"]["message"]
            unknown = CREATE | {"input": "hello", "client_metadata": {"x": 1}, "stream": 7, "background": "x"}
            await link.send(json.dumps(unknown))
            assert json.loads(await link.recv())["type"] == "response.created"

    run(main())


@pytest.mark.parametrize(("message", "code"), [(b"{}", 1003), ("x" * (1024 * 1024 + 1), 1009)])
def test_what_is_no_message_ends_the_socket(message: str | bytes, code: int) -> None:
    async def main() -> None:
        async with office() as it, line(it) as link:
            await link.send(message)
            assert await Line(link).closed() == code

    run(main())


def test_a_client_that_does_not_read_harms_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "STALLED_SECONDS", 1)

    async def main() -> None:
        async with office() as it, line(it, max_queue=1, close_timeout=0.1) as link:
            for _ in range(16):
                await link.send(json.dumps(CREATE | {"input": "say 1 huge=200000", "store": False}))
            await it.upstream.until(lambda stats: stats.finished >= 1)
            async with it.client.responses.connect() as other:
                assert (await ask(other, input="hello")).status == "completed"
            # What cannot be sent on is not asked for, and in the end it is cut off.
            await until(lambda: not outboxes(it))
            assert it.upstream.stats.finished < 16

    run(main())
