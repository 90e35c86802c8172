"""The adapters: `ParleySession` of the Agents SDK, `ParleyChatMessageHistory` of LangChain."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import openai
import pytest
from agents import Agent, OpenAIChatCompletionsModel, Runner, Session, SessionSettings
from langchain_core._api.deprecation import LangChainDeprecationWarning
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_openai import ChatOpenAI

from parley.adapters.agents import ParleySession
from parley.adapters.langchain import ParleyChatMessageHistory
from tests.compat.place import MODEL, Place, tokens
from tests.compat.test_agents import counted
from tests.system.deployment import deployment, upstream, workplace


def text(item: Any) -> str:
    content = item["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


def said(number: int) -> Any:
    return {"role": "user", "content": f"message {number}"}


def image(url: str) -> Any:
    parts = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": url}]
    return {"role": "user", "content": parts}


def numbered(items: list[Any]) -> list[int]:
    return [int(text(item).removeprefix("message ")) for item in items]


def run_with(place: Place, session_id: str, asked: str, *tools: Any) -> Any:
    """Ask an agent whose model keeps nothing; nothing but the session's name is carried on from one to the next."""

    async def main() -> Any:
        async with (
            openai.AsyncOpenAI(base_url=place.url, api_key="any", max_retries=0) as client,
            ParleySession(session_id, url=place.up.url) as session,
        ):
            assert isinstance(session, Session)
            agent = Agent(name="A", model=OpenAIChatCompletionsModel(MODEL, client), tools=list(tools))
            return (await Runner.run(agent, asked, session=session)).final_output

    return asyncio.run(main())


def test_two_runs_are_one_talk(parley: Place) -> None:
    async def found() -> str:
        async with ParleySession("Anna", url=parley.up.url) as session:
            return await session.conversation()

    tool, called = counted("look_kept")
    first = run_with(parley, "Anna", "say 1 tag=look_kept calls=1", tool)
    second = run_with(parley, "Anna", "and now?", tool)
    other = run_with(parley, "Otto", "and now?", tool)
    assert (first, called) == (tokens("look_kept", 1), [0])
    assert second == "You said: and now? (5 messages)"
    assert other == "You said: and now? (1 messages)"
    assert parley.items(asyncio.run(found())) == [
        ("user", "say 1 tag=look_kept calls=1"),
        ("assistant", tokens("look_kept", 1)),
        ("function_call", 'look_kept({"number": 0})'),
        ("function_call_output", "found 0"),
        ("assistant", tokens("look_kept", 1)),
        ("user", "and now?"),
        ("assistant", "You said: and now? (5 messages)"),
    ]
    # What is written down asks for no answer: the model was asked by the agent alone.
    assert parley.asked("look_kept") == 2


def test_a_session_outlives_its_server() -> None:
    with workplace() as directory, upstream(directory) as url:
        arguments = ("--model-url", url, "--model", MODEL)
        with deployment(directory, *arguments) as up:
            first = run_with(Place(up, url), "Anna", "hello")
        with deployment(directory, *arguments) as up:
            second = run_with(Place(up, url), "Anna", "and now?")
        assert (first, second) == ("You said: hello (1 messages)", "You said: and now? (3 messages)")


def test_more_items_than_a_request_or_a_page_has(parley: Place) -> None:
    async def main() -> None:
        async with ParleySession("many", url=parley.up.url) as session:
            assert await session.get_items() == []
            assert await session.pop_item() is None
            await session.add_items([said(number) for number in range(230)])
            assert numbered(await session.get_items()) == list(range(230))
            assert numbered(await session.get_items(limit=3)) == [227, 228, 229]
            assert numbered(await session.get_items(limit=150)) == list(range(80, 230))
            assert await session.get_items(limit=0) == []
            assert await session.pop_item() == said(229)
            session.session_settings = SessionSettings(limit=2)
            assert numbered(await session.get_items()) == [227, 228]
            await session.clear_session()
            assert await session.get_items() == []
            await session.add_items([said(1)])
            assert await session.get_items() == [said(1)]

    asyncio.run(main())


def test_what_is_no_text_is_left_out_or_refused(parley: Place) -> None:
    async def main() -> None:
        picture: Any = image("https://example.com/x.png")
        thought: Any = {"type": "reasoning", "id": "rs_1", "summary": []}
        async with ParleySession("hostile", url=parley.up.url) as session:
            await session.add_items([])
            await session.add_items([thought])
            assert await session.get_items() == []
            with pytest.raises(openai.BadRequestError, match="nothing is fetched"):
                await session.add_items([picture])
            assert await session.get_items() == []

    asyncio.run(main())


def test_an_image_is_kept(parley: Place) -> None:
    pixel = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

    async def main() -> None:
        async with ParleySession("seeing", url=parley.up.url) as session:
            await session.add_items([image(pixel)])
            found: list[Any] = await session.get_items()
            history = ParleyChatMessageHistory(await session.conversation(), url=parley.up.url)
            assert [each.text for each in await history.aget_messages()] == ["What is this?"]
        assert [(each["role"], [part["type"] for part in each["content"]]) for each in found] == [
            ("user", ["input_text", "input_image"])
        ]
        assert found[0]["content"][1]["image_url"] == pixel

    asyncio.run(main())


def test_a_write_whose_answer_was_lost_is_done_once(parley: Place) -> None:
    """The connection is cut behind the request; the client sends it again, with the same key."""

    async def main() -> None:
        async with (
            Losing(parley.up.port) as way,
            ParleySession("lossy", url=f"http://127.0.0.1:{way.port}") as session,
        ):
            await session.add_items([said(number) for number in range(45)])
            assert way.lost == 3
        async with ParleySession("lossy", url=parley.up.url) as session:
            assert numbered(await session.get_items()) == list(range(45))

    asyncio.run(main())


class Losing:
    """A way to a server that loses the first answer to each write of items: it was done, and nobody hears of it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._heard: set[bytes] = set()
        self.lost = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
            back.write(head.replace(b"\r\nConnection: keep-alive", b"\r\nConnection: close"))
            back.write(await reader.readexactly(int(fields.get(b"content-length", b"0"))))
            answer = await there.read()
            key = fields.get(b"idempotency-key", b"")
            if b"/items" in head.split(b"\r\n")[0] and key not in self._heard:
                self._heard.add(key)
                self.lost += 1
            else:
                writer.write(answer)
                await writer.drain()
        finally:
            writer.close()
            back.close()


def test_a_session_may_be_a_conversation_that_is_there(parley: Place) -> None:
    """What was said on the page or by an API client is what the agent remembers."""
    with openai.OpenAI(base_url=parley.url, api_key="any", max_retries=0) as client:
        conversation = client.conversations.create().id
        client.responses.create(model=MODEL, input="hello", conversation=conversation)
    assert run_with(parley, conversation, "and now?") == "You said: and now? (3 messages)"
    assert len(parley.items(conversation)) == 4
    with pytest.raises(openai.NotFoundError):
        run_with(parley, "conv_" + "0" * 34, "hello")


def test_a_history_keeps_every_kind_of_message(parley: Place) -> None:
    history = ParleyChatMessageHistory("kinds", url=parley.up.url)
    assert history.messages == []
    calls: list[Any] = [
        {"name": "look", "args": {"at": number}, "id": f"call_{number}", "type": "tool_call"} for number in (1, 2)
    ]
    bad: list[Any] = [{"name": "look", "args": "{", "id": "call_3", "error": None, "type": "invalid_tool_call"}]
    kept: list[BaseMessage] = [
        SystemMessage("Be brief."),
        HumanMessage([{"type": "text", "text": "two "}, {"type": "text", "text": "parts"}]),
        AIMessage("I look.", tool_calls=calls, invalid_tool_calls=bad),
        ToolMessage("one", tool_call_id="call_1"),
        ToolMessage("two", tool_call_id="call_2"),
        AIMessage([{"type": "reasoning", "summary": []}, {"type": "text", "text": "There."}]),
    ]
    history.add_messages(kept)
    found = ParleyChatMessageHistory("kinds", url=parley.up.url).messages
    assert [(each.type, each.text) for each in found] == [
        *(("system", "Be brief."), ("human", "two parts"), ("ai", "I look.")),
        *(("tool", "one"), ("tool", "two"), ("ai", "There.")),
    ]
    calling = found[2]
    assert isinstance(calling, AIMessage)
    assert calling.tool_calls == calls
    assert [(call["id"], call["args"]) for call in calling.invalid_tool_calls] == [("call_3", "{")]
    history.clear()
    assert history.messages == []


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(content="hello", role="robot"),
        HumanMessage([{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]),
    ],
)
def test_a_history_refuses_what_it_would_lose(parley: Place, message: BaseMessage) -> None:
    history = ParleyChatMessageHistory("refused", url=parley.up.url)
    with pytest.raises(ValueError, match="kept"):
        history.add_messages([HumanMessage("hello"), message])
    assert history.messages == []


def test_a_history_can_be_awaited(parley: Place) -> None:
    async def main() -> None:
        history = ParleyChatMessageHistory("awaited", url=parley.up.url)
        await history.aadd_messages([HumanMessage(f"message {number}") for number in range(130)])
        assert [each.text for each in await history.aget_messages()] == [f"message {number}" for number in range(130)]
        await history.aclear()
        assert await history.aget_messages() == []

    asyncio.run(main())


def remembering(place: Place) -> Callable[[str, str], str]:
    """A chain of LangChain that remembers, by session."""
    client = openai.OpenAI(base_url=place.url, api_key="any")
    model = ChatOpenAI(model=MODEL, base_url=place.url, api_key="any", max_retries=0)  # type: ignore[arg-type]
    with pytest.warns(LangChainDeprecationWarning):  # what it is to be replaced by keeps a whole agent's state
        chain = RunnableWithMessageHistory(
            model, lambda session_id: ParleyChatMessageHistory(session_id, client=client)
        )

    def ask(session: str, asked: str) -> str:
        return str(chain.invoke(asked, {"configurable": {"session_id": session}}).text)

    return ask


def test_a_runnable_remembers_by_session() -> None:
    with workplace() as directory, upstream(directory) as url:
        arguments = ("--model-url", url, "--model", MODEL)
        with deployment(directory, *arguments) as up:
            ask = remembering(Place(up, url))
            assert ask("Anna", "hello") == "You said: hello (1 messages)"
            assert ask("Anna", "and now?") == "You said: and now? (3 messages)"
            assert ask("Otto", "hello") == "You said: hello (1 messages)"
        with deployment(directory, *arguments) as up:
            place = Place(up, url)
            assert remembering(place)("Anna", "still there?") == "You said: still there? (5 messages)"
            conversation = ParleyChatMessageHistory("Anna", url=up.url).conversation
            assert [text for _, text in place.items(conversation)] == [
                *("hello", "You said: hello (1 messages)"),
                *("and now?", "You said: and now? (3 messages)"),
                *("still there?", "You said: still there? (5 messages)"),
            ]
