"""The OpenAI Agents SDK: runs, tools, sessions, chains, and its own WebSocket model."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from agents import (
    Agent,
    Model,
    ModelBehaviorError,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    OpenAIResponsesWSModel,
    Runner,
    RunResult,
    function_tool,
)
from agents.models.openai_responses import ResponsesWebSocketError
from openai.types.responses import ResponseTextDeltaEvent

from tests.compat.place import MODEL, Place, play, tokens


def counted(name: str) -> tuple[Any, list[int]]:
    """A function tool of that name, and the numbers it was called with."""
    called: list[int] = []

    @function_tool(name_override=name)
    def tool(number: int) -> str:
        """Looks.

        Args:
            number: where.
        """
        called.append(number)
        return f"found {number}"

    return tool, called


def last(result: RunResult) -> str:
    """The id of the response a run ended with."""
    assert result.last_response_id is not None
    return result.last_response_id


def test_a_run_calls_its_tool_once(parley: Place) -> None:
    async def story(client: openai.AsyncOpenAI) -> None:
        tool, called = counted("look_run")
        agent = Agent(name="A", model=OpenAIResponsesModel(MODEL, client), tools=[tool])
        result = await Runner.run(agent, "say 2 tag=look_run calls=2")
        assert result.final_output == tokens("look_run", 2)
        assert sorted(called) == [0, 1]
        assert parley.asked("look_run") == 2  # the calls, and the answer that knows what they found
        roles = [each["role"] for each in parley.shown()["messages"]]
        assert roles == ["user", "assistant", "tool", "tool"]
        assert {each["content"] for each in parley.shown()["messages"][2:]} == {"found 0", "found 1"}

    play(parley, story)


def test_a_streamed_run_tells_every_piece(parley: Place) -> None:
    async def story(client: openai.AsyncOpenAI) -> None:
        tool, called = counted("look_stream")
        agent = Agent(name="A", model=OpenAIResponsesModel(MODEL, client), tools=[tool])
        result = Runner.run_streamed(agent, "say 3 tag=look_stream calls=1 reasoning=2")
        deltas: list[str] = []
        kinds: list[str] = []
        async for event in result.stream_events():
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
                deltas.append(event.data.delta)
            elif event.type == "run_item_stream_event":
                kinds.append(event.name)
        # It says its text, then calls; asked again with what was found it says its text and is done.
        assert "".join(deltas) == tokens("look_stream", 3) * 2
        assert result.final_output == tokens("look_stream", 3)
        assert called == [0]
        assert kinds == [
            *("reasoning_item_created", "message_output_created", "tool_called", "tool_output"),
            *("reasoning_item_created", "message_output_created"),
        ]

    play(parley, story)


def test_a_conversations_session_is_a_conversation(parley: Place) -> None:
    async def story(client: openai.AsyncOpenAI) -> None:
        tool, called = counted("look_session")
        agent = Agent(name="A", model=OpenAIResponsesModel(MODEL, client), tools=[tool])
        session = OpenAIConversationsSession(openai_client=client)
        first = await Runner.run(agent, "say 1 tag=look_session calls=1", session=session)
        second = await Runner.run(agent, "and now?", session=session)
        assert first.final_output == tokens("look_session", 1)
        # Before it: what was asked, text and call, what was found, the answer.
        assert second.final_output == "You said: and now? (5 messages)"
        assert called == [0]
        expected = [
            ("user", "say 1 tag=look_session calls=1"),
            ("assistant", tokens("look_session", 1)),
            ("function_call", 'look_session({"number": 0})'),
            ("function_call_output", "found 0"),
            ("assistant", tokens("look_session", 1)),
            ("user", "and now?"),
            ("assistant", "You said: and now? (5 messages)"),
        ]
        assert parley.items(session.session_id) == expected
        assert len(await session.get_items()) == len(expected)
        popped: Any = await session.pop_item()
        assert popped["content"][0]["text"] == "You said: and now? (5 messages)"
        assert parley.items(session.session_id) == expected[:-1]
        gone = session.session_id
        await session.clear_session()
        with pytest.raises(openai.NotFoundError):
            await client.conversations.retrieve(gone)

    play(parley, story)


def test_a_conversation_may_be_the_memory(parley: Place) -> None:
    """`conversation_id`: the runner sends what is new alone, and the server knows the rest."""

    async def story(client: openai.AsyncOpenAI) -> None:
        tool, called = counted("look_conversation")
        agent = Agent(name="A", model=OpenAIResponsesModel(MODEL, client), tools=[tool])
        conversation = (await client.conversations.create()).id
        await Runner.run(agent, "say 1 tag=look_conversation calls=1", conversation_id=conversation)
        second = await Runner.run(agent, "and now?", conversation_id=conversation)
        assert second.final_output == "You said: and now? (5 messages)"
        assert called == [0]
        said = tokens("look_conversation", 1)
        assert parley.items(conversation) == [
            ("user", "say 1 tag=look_conversation calls=1"),
            ("assistant", said),
            ("function_call", 'look_conversation({"number": 0})'),
            ("function_call_output", "found 0"),
            ("assistant", said),
            ("user", "and now?"),
            ("assistant", "You said: and now? (5 messages)"),
        ]
        # Three turns: the question, what the tool found, the second question.
        assert [status for status, _ in parley.turns(conversation)] == ["completed"] * 3

    play(parley, story)


def test_a_chain_of_responses_is_one_conversation(parley: Place) -> None:
    async def story(client: openai.AsyncOpenAI) -> None:
        tool, _ = counted("look_chain")
        agent = Agent(name="A", model=OpenAIResponsesModel(MODEL, client), tools=[tool])
        first = await Runner.run(agent, "say 1 tag=look_chain calls=1", auto_previous_response_id=True)
        second = await Runner.run(agent, "and now?", previous_response_id=last(first))
        assert second.final_output == "You said: and now? (5 messages)"
        assert parley.conversation(last(second)) == parley.conversation(last(first))
        turns = parley.turns(parley.conversation(last(second)))
        assert turns == [
            ("completed", tokens("look_chain", 1)),
            ("completed", tokens("look_chain", 1)),
            ("completed", "You said: and now? (5 messages)"),
        ]

    play(parley, story)


def test_the_web_socket_model(parley: Place) -> None:
    async def story(client: openai.AsyncOpenAI) -> None:
        tool, called = counted("look_socket")
        model = OpenAIResponsesWSModel(MODEL, client)
        agent = Agent(name="A", model=model, tools=[tool])
        try:
            result = Runner.run_streamed(agent, "say 2 tag=look_socket calls=1", auto_previous_response_id=True)
            deltas = [
                event.data.delta
                async for event in result.stream_events()
                if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
            ]
            assert "".join(deltas) == tokens("look_socket", 2) * 2
            assert called == [0]
            assert result.last_response_id is not None
            again = await Runner.run(agent, "and now?", previous_response_id=result.last_response_id)
            assert again.final_output == "You said: and now? (5 messages)"
            assert [status for status, _ in parley.turns(parley.conversation(last(again)))] == ["completed"] * 3
        finally:
            await model.close()

    play(parley, story)


def test_the_chat_completions_model(parley: Place) -> None:
    async def story(client: openai.AsyncOpenAI) -> None:
        tool, called = counted("look_chat")
        agent = Agent(name="A", model=OpenAIChatCompletionsModel(MODEL, client), tools=[tool])
        result = Runner.run_streamed(agent, "say 2 tag=look_chat calls=1")
        deltas = [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
        ]
        assert "".join(deltas) == tokens("look_chat", 2) * 2
        assert result.final_output == tokens("look_chat", 2)
        assert called == [0]
        assert parley.asked("look_chat") == 2

    play(parley, story)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (OpenAIResponsesModel, openai.NotFoundError),
        (OpenAIChatCompletionsModel, openai.NotFoundError),
        (OpenAIResponsesWSModel, ResponsesWebSocketError),
    ],
)
def test_a_model_nobody_has(parley: Place, kind: Callable[..., Model], error: type[Exception]) -> None:
    async def story(client: openai.AsyncOpenAI) -> None:
        model = kind("nobody", client)
        try:
            with pytest.raises(error, match="The model 'nobody' does not exist"):
                await Runner.run(Agent(name="A", model=model), "hello")
        finally:
            await model.close()

    play(parley, story)


def test_a_model_that_fails_is_not_asked_again(parley: Place) -> None:
    """Accepted is accepted: the failed response is told once, and a retry would be a second turn."""

    async def story(client: openai.AsyncOpenAI) -> None:
        agent = Agent(name="A", model=OpenAIResponsesModel(MODEL, client.with_options(max_retries=3)))
        conversation = (await client.conversations.create()).id
        result = Runner.run_streamed(agent, "say 3 tag=broken status=400", conversation_id=conversation)
        with pytest.raises(ModelBehaviorError, match="upstream refused"):
            async for _ in result.stream_events():
                pass
        assert [status for status, _ in parley.turns(conversation)] == ["failed"]
        assert parley.asked("broken") == 1

    play(parley, story)
