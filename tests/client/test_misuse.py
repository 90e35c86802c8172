"""The client used wrongly: what it says then names what is wrong, and nobody waits for ever."""

from typing import Any

import pytest

from parley.client.client import AsyncClient
from parley.client.errors import Closed, InvalidRequest, error_of
from tests.client.scripted import ScriptedServer
from tests.client.stories import play, said, until

NO_MESSAGES: list[Any] = [3, None, b"bytes", ["text"], {"role": "user", "content": "x"}, [{"role": "robot"}]]


def test_what_is_no_message_is_refused_before_it_is_sent() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = server.create().name
        for wrong in NO_MESSAGES:
            with pytest.raises(InvalidRequest, match="a text, or a list of messages"):
                client.say(chat, wrong)
        assert not said(server)

    play(story)


def test_what_cannot_be_written_is_refused_and_waited_for_by_nobody() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = server.create().name
        wrong: Any = object()
        with pytest.raises(InvalidRequest, match="cannot be sent"):
            await client.say(chat, "half a pair: \ud800")
        with pytest.raises(InvalidRequest, match="cannot be sent"):
            await client.say(chat, "x", model=wrong)
        with pytest.raises(InvalidRequest, match="cannot be sent"):
            await client.create(title="\ud800")
        assert (await client.say(chat, "x")).text == "ok"

    play(story, answer=["ok"])


def test_an_overlong_message_is_not_taken_for_a_lost_line() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        server.mute.add("say")
        reply = client.say(server.create().name, "long")
        await server.asked()
        await server.close(1009, "too big")
        with pytest.raises(InvalidRequest, match="longer than the server takes"):
            # The first thing to be heard of it: not that the line was lost.
            await anext(reply.changes())

    play(story)


@pytest.mark.parametrize("cursor", ["foo", "", "1", 3])
def test_what_is_no_cursor_is_not_followed_from(cursor: Any) -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = server.create().name
        for until_when in (None, "idle"):
            with pytest.raises(InvalidRequest, match="is no cursor"):
                await anext(client.follow(chat, after=cursor, until=until_when))

    play(story)


@pytest.mark.parametrize("name", ["", " ", "n" * 256, "й" * 43])
def test_a_name_that_cannot_be_one_is_called_so(name: str) -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        with pytest.raises(InvalidRequest, match="conversation's name"):
            await client.conversation(name)

    play(story)


def test_a_closed_client_is_of_no_more_use() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = await client.conversation()
        assert (await chat.say("x")).text == "ok"
        await client.aclose()
        with pytest.raises(Closed):
            chat.say("y")
        with pytest.raises(Closed):
            chat.attach("0" * 16)
        with pytest.raises(Closed):
            await client.conversation()
        with pytest.raises(Closed):
            await client.cancel(chat.id, "0" * 16)
        with pytest.raises(Closed):
            await anext(chat.follow())
        with pytest.raises(Closed):
            await client.connect()
        with pytest.raises(Closed):
            await client.__aenter__()
        await client.aclose()
        connections = server.connections
        await until(lambda: not client.connected)
        assert (len(said(server)), server.connections) == (1, connections)

    play(story, answer=["ok"])


def test_what_is_wrong_with_a_value_names_the_value() -> None:
    kind = "invalid_request_error"
    error = error_of(kind, "invalid_value", "Expected `float` <= 2.0.", param="parameters.temperature")
    assert (str(error), error.param) == ("parameters.temperature: Expected `float` <= 2.0.", "parameters.temperature")
    told = error_of(kind, "invalid_value", "`limit` must be a number from 1 to 200.", param="limit")
    assert str(told) == "`limit` must be a number from 1 to 200."


def test_what_is_printed_of_them_says_what_they_are() -> None:
    async def story(server: ScriptedServer, client: AsyncClient) -> None:
        chat = await client.conversation()
        reply = chat.say("x")
        assert repr(reply) == "<AsyncReply, queued, 0 characters>"
        await reply
        assert repr(reply) == "<AsyncReply, completed, 2 characters>"
        assert (repr(client), repr(chat)) == (f"<AsyncClient of {server.url}>", f"<AsyncChat {chat.id}>")

    play(story, answer=["ok"])
