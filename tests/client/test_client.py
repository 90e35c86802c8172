"""The client against a server that the test writes: what is said is asked once, and what is shown is what stands."""

import asyncio

import pytest

from parley.client.client import AsyncClient
from parley.client.errors import (
    Busy,
    Closed,
    Conflict,
    Error,
    InvalidRequest,
    ModelError,
    NotAllowed,
    NotFound,
    Rewound,
    ServerFault,
    Unreachable,
)
from parley.client.progress import Notice
from parley.client.reply import AsyncReply, Delta, Rewind
from tests.client.scripted import ScriptedServer
from tests.client.stories import play, said, until


def test_a_reply_is_read_in_pieces_and_tells_what_it_took() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = await client.create(instructions="Capitals.", key="one")
        assert (await client.create(key="one")).id == chat.id
        reply = client.say(chat.id, "Italy", key="k", model="small")
        assert "".join([delta async for delta in reply]) == "Rome"
        assert (reply.text, reply.status, reply.model, reply.error) == ("Rome", "completed", "scripted", None)
        assert reply.usage.output_tokens == 2
        assert reply.first_token_ms is not None
        assert reply.seconds is not None
        assert reply.receipt is not None
        assert reply.receipt.turn == reply.turn
        assert said(server)[0]["model"] == "small"
        assert (await client.say(chat.id, [{"role": "user", "content": "Italy"}])).text == "Rome"

    play(story, answer=["Ro", "me"])


def test_leaving_the_loop_does_not_stop_the_reply() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        reply = client.say(server.create().name, "go")
        turn = await server.asked()
        server.delta(turn, "a")
        async with reply:
            async for delta in reply:
                assert delta == "a"
                break
        server.delta(turn, "b")
        server.end(turn)
        assert (await reply).text == "ab"
        assert [delta async for delta in reply] == ["ab"]
        assert not said(server, "cancel")

    play(story)


def test_cancel_keeps_the_text() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        reply = client.say(server.create().name, "go")
        server.delta(await server.asked(), "half")
        async for _ in reply:
            await reply.cancel()
        assert (reply.text, reply.status) == ("half", "cancelled")
        await reply.cancel()
        assert len(said(server, "cancel")) == 1

    play(story)


def test_a_broken_line_loses_and_repeats_nothing() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        reply = client.say(server.create().name, "go")
        turn = await server.asked()
        for number in range(20):
            server.delta(turn, f"{number} ")
            await until(lambda number=number: reply.text.endswith(f"{number} "))  # type: ignore[misc]
            if number % 5 == 4:
                connections = server.connections
                server.drop()
                server.delta(turn, "(unseen) ")
                await until(lambda connections=connections: server.connections > connections)  # type: ignore[misc]
                await until(lambda: reply.text == turn.text)
        server.end(turn)
        await reply
        changes = [change async for change in reply.changes()]
        assert not [change for change in changes if isinstance(change, Rewind)]
        assert reply.text == turn.text
        assert len(said(server)) == 1
        kinds = [change.kind for change in changes if not isinstance(change, Delta | Rewind)]
        assert kinds.count("disconnected") == kinds.count("reconnected") == 4

    play(story)


def test_a_server_that_dies_is_waited_for() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        reply = client.say(server.create().name, "go")
        turn = await server.asked()
        server.delta(turn, "before ")
        await until(lambda: reply.text)
        await server.stop()
        server.delta(turn, "meanwhile ")
        await asyncio.sleep(0.3)
        await server.start()
        server.delta(turn, "after")
        server.end(turn)
        assert (await reply).text == "before meanwhile after"

    play(story)


def test_an_unacknowledged_message_is_sent_again_and_asked_once() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        server.mute.add("say")
        reply = client.say(server.create().name, "go")
        turn = await server.asked()
        server.delta(turn, "once")
        server.mute.clear()
        server.drop()
        await reply.accepted()
        server.end(turn)
        assert (await reply).text == "once"
        keys = [frame["key"] for frame in said(server)]
        assert len(keys) == 2
        assert len(set(keys)) == 1

    play(story)


def test_many_messages_at_once_do_not_overrun_the_server() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        replies = [client.say(server.create(f"conv_{number}").name, "go") for number in range(150)]
        for reply in replies:
            assert (await reply).text == "ok"
        kinds = [change async for change in replies[-1].changes()]
        assert not [change for change in kinds if isinstance(change, Notice)][1:]
        assert server.connections == 1
        times = [frame["at"] for frame in server.received]
        late = [at for number, at in enumerate(times) if number >= 150 and at - times[0] < (number - 150) / 50]
        assert not late, "more than 150 at once and 50 a second"

    play(story, answer=["ok"])


def test_a_message_said_while_the_server_is_away_arrives() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = server.create().name
        await client.say(chat, "first")
        await server.stop()
        reply = client.say(chat, "second")
        await asyncio.sleep(0.1)
        await server.start()
        assert (await reply).text == "ok"

    play(story, answer=["ok"])


def test_a_trimmed_log_is_made_good_by_a_snapshot() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        reply = client.say(server.create().name, "go")
        turn = await server.asked()
        server.delta(turn, "one ")
        await until(lambda: reply.text)
        server.drop()
        server.delta(turn, "two ")
        server.forget_log(turn.conversation)
        await until(lambda: reply.text == "one two ")
        server.delta(turn, "three")
        server.end(turn)
        await reply
        changes = [change async for change in reply.changes()]
        assert [change.text for change in changes if isinstance(change, Delta)] == ["one two three"]

    play(story)


def test_text_is_rewound_and_never_glued() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        reply = client.say(server.create().name, "go")
        turn = await server.asked()
        server.delta(turn, "Hm.", "reasoning")
        server.delta(turn, "élan vital")
        shown, thought = "", ""
        async for change in reply.changes():
            match change:
                case Delta(text, "text"):
                    shown += text
                case Delta(text):
                    thought += text
                case Rewind(length, reasoning):
                    shown, thought = shown[:length], thought[:reasoning]
            if shown == "élan vital":
                server.rewind(turn, 3 + 3)
                server.delta(turn, "égance")
                server.end(turn)
        assert (shown, thought) == ("élégance", "Hm.")
        assert reply.text == "élégance"

    play(story)


def test_a_plain_loop_is_told_of_a_rewind() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        reply = client.say(server.create().name, "go")
        turn = await server.asked()
        server.delta(turn, "wrong")
        pieces = aiter(reply)
        assert await anext(pieces) == "wrong"
        server.rewind(turn, 0)
        server.delta(turn, "right")
        with pytest.raises(Rewound):
            await anext(pieces)
        server.end(turn)
        assert "".join([delta async for delta in reply]) == "right"

    play(story)


def test_a_rewind_into_what_only_a_snapshot_showed_takes_another_snapshot() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        conversation = server.create()
        asked = client.say(conversation.name, "go")
        turn = await server.asked()
        server.delta(turn, "think", "reasoning")
        server.delta(turn, "talk")
        await asked.accepted()
        async with AsyncClient(client.url) as other:
            reply = other.attach(conversation.name, asked.turn)
            await until(lambda: reply.text == "talk")
            server.rewind(turn, 7)
            await until(lambda: reply.text == "ta")
            server.delta(turn, "le")
            server.end(turn)
            assert (await reply).text == "tale"
            assert reply.reasoning == "think"
            assert reply.first_token_ms is None

    play(story)


def test_two_messages_at_once_share_one_line_and_keep_apart() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = server.create().name
        first, second = client.say(chat, "1", key="one"), client.say(chat, "2", key="two")
        turns = {turn.said: turn for turn in (await server.asked(), await server.asked())}
        server.delta(turns["1"], "one")
        await until(lambda: first.text == "one")
        server.end(turns["1"])
        server.delta(turns["2"], "two")
        server.end(turns["2"])
        again = client.say(chat, "1", key="one")
        assert [(await reply).text for reply in (first, second, again)] == ["one", "two", "one"]
        assert server.connections == 1

    play(story)


def test_a_turn_the_server_lost_is_asked_again() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        conversation = server.create()
        reply = client.say(conversation.name, "go")
        turn = await server.asked()
        await reply.accepted()
        server.drop()
        conversation.turns.clear()  # a database restored to before the message
        conversation.log.clear()
        again = await server.asked()
        assert again.name == turn.name
        server.delta(again, "here")
        server.end(again)
        assert (await reply).text == "here"

    play(story)


def test_a_turn_older_than_the_snapshot_is_looked_up() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        conversation = server.create()
        old = client.say(conversation.name, "old", key="old")
        turn = await server.asked()
        server.delta(turn, "older")
        server.end(turn)
        await old
        server.snapshot_turns = 0
        assert (await client.attach(conversation.name, turn.name)).text == "older"
        assert (await client.say(conversation.name, "old", key="old")).text == "older"

    play(story)


def test_a_failed_reply_says_why() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        reply = client.say(server.create().name, "go")
        turn = await server.asked()
        server.delta(turn, "so far")
        server.end(turn, "failed", error=("upstream_error", "The model server broke off."))
        with pytest.raises(ModelError, match="broke off") as caught:
            await reply
        assert caught.value.code == "upstream_error"
        assert (reply.text, reply.status) == ("so far", "failed")
        assert [change.text async for change in reply.changes() if isinstance(change, Delta)] == ["so far"]
        with pytest.raises(ModelError):
            [delta async for delta in reply]

    play(story)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("not_found_error", NotFound),
        ("conflict_error", Conflict),
        ("rate_limit_error", Busy),
        ("invalid_request_error", InvalidRequest),
        ("authentication_error", NotAllowed),
    ],
)
def test_a_refused_message_raises_what_the_server_says(kind: str, error: type[Error]) -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        server.refuse["say"] = [(kind, "some_code", "Because.")]
        reply = client.say(server.create().name, "go")
        for wait in (reply.accepted(), reply):
            with pytest.raises(error, match="Because") as caught:
                await wait
            assert caught.value.code == "some_code"
        with pytest.raises(error):
            await reply.cancel() if not reply.ended else await reply

    play(story)


def test_a_server_that_cannot_just_now_is_asked_again() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        away = ("service_unavailable", "redis_unreachable", "Redis is away.")
        server.refuse = {"say": [away, away], "follow": [away]}
        assert (await client.say(server.create().name, "go")).text == "ok"
        assert len(said(server)) == 3

    play(story, answer=["ok"])


def test_patience_ends() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = server.create().name
        reply = client.say(chat, "go")
        await server.asked()
        await reply.accepted()
        await server.stop()
        with pytest.raises(Unreachable, match="parley up"):
            await reply
        with pytest.raises(Unreachable):
            await client.get(chat)

    play(story, patience=0.3)


def test_a_server_that_never_was_is_reported_at_once() -> None:
    async def main() -> None:
        async with ScriptedServer() as server:
            url = server.url
        async with asyncio.timeout(5), AsyncClient(url) as client:
            with pytest.raises(Unreachable, match="nothing listens"):
                await client.connect()
            with pytest.raises(Unreachable):
                await client.create()
            with pytest.raises(Unreachable):
                await client.say("conv_x", "hello")
            with pytest.raises(Unreachable):
                await anext(client.follow("conv_x"))

    asyncio.run(main())


def test_the_token_is_shown_and_a_wrong_one_is_refused() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = server.create().name
        assert (await client.say(chat, "hello")).text == "ok"
        async with AsyncClient(server.url, "wrong") as other:
            with pytest.raises(NotAllowed, match="--token"):
                await other.connect()
            with pytest.raises(NotAllowed):
                await other.say(chat, "hello")
        expired = client.attach(chat, "0" * 16)
        await until(lambda: said(server, "follow"))
        await server.close(4401, "expired")
        with pytest.raises((NotAllowed, NotFound)):
            await expired

    play(story, answer=["ok"], token="secret")


def test_an_overlong_message_fails_and_is_not_sent_for_ever() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        server.mute.add("say")
        reply = client.say(server.create().name, "long")
        await server.asked()
        await server.close(1009, "too big")
        with pytest.raises(InvalidRequest, match="longer than the server takes"):
            await reply
        server.mute.clear()
        assert (await client.say(server.create().name, "short")).text == "ok"

    play(story, answer=["ok"])


def test_what_is_not_there_cannot_be_followed_or_answered() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        with pytest.raises(NotFound):
            await anext(client.follow("conv_none"))
        with pytest.raises(NotFound):
            await client.say("conv_none", "hello")
        with pytest.raises(NotFound):
            await client.get("conv_none")
        reply = client.say(server.create().name, "go")
        await reply.accepted()
        await client.delete(server.create().name)
        with pytest.raises(NotFound):
            await reply

    play(story)


def test_closing_the_client_ends_what_waits() -> None:
    async def main() -> None:
        async with asyncio.timeout(10), ScriptedServer() as server:
            async with AsyncClient(server.url) as client:
                reply: AsyncReply = client.say(server.create().name, "go")
                await reply.accepted()
            with pytest.raises(Closed):
                await reply

    asyncio.run(main())


def test_closing_the_client_ends_what_was_not_even_accepted() -> None:
    async def main() -> None:
        async with asyncio.timeout(10), ScriptedServer() as server:
            server.mute.add("say")
            async with AsyncClient(server.url) as client:
                reply = client.say(server.create().name, "go")
                await server.asked()
            with pytest.raises(Closed):
                await reply.accepted()
            with pytest.raises(Closed):
                await reply

    asyncio.run(main())


def test_a_server_that_speaks_otherwise_is_told_of() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        conversation = server.create(title=["no", "text"])
        with pytest.raises(ServerFault, match="does not understand"):
            await client.get(conversation.name)
        with pytest.raises(ServerFault, match="does not understand"):
            await client.conversations()
        reply = client.say(conversation.name, "go", key="k")
        await server.asked()
        with pytest.raises(Error, match="does not understand"):
            await client.say(conversation.name, "go", key="k")  # a replay takes a snapshot
        with pytest.raises(Error, match="does not understand"):
            await reply

    play(story)


def test_conversations_are_listed_changed_and_deleted() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        one = await client.create(title="one")
        two = await client.create(title="two")
        assert [chat.title for chat in await client.conversations()] == ["two", "one"]
        assert (await client.rename(one.id, "first")).title == "first"
        await client.say(one.id, "hello")
        shown = await client.get(one.id)
        assert [(turn.question, turn.text, turn.ended) for turn in shown.turns] == [("hello", "ok", True)]
        assert (await client.models()).names() == ["small", "large"]
        await client.delete(two.id)
        assert [chat.id for chat in await client.conversations()] == [one.id]
        for empty in (client.get, client.delete):
            with pytest.raises(InvalidRequest):
                await empty("")

    play(story, answer=["ok"])


@pytest.mark.parametrize(
    "url", ["ftp://x", "localhost:8000", "http://", "http://u:p@host", "http://h:x", "http://h/?a"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        AsyncClient(url)
