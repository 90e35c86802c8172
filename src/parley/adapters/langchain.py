"""A message history of LangChain, kept by Parley, for `RunnableWithMessageHistory` and whatever else takes one."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import default_tool_parser
from openai import OpenAI

from parley.adapters.keeping import PAGE, batches, named, opening, options, text_of, writing

ROLES = {"human": "user", "ai": "assistant", "system": "system"}
MESSAGES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}


class ParleyChatMessageHistory(BaseChatMessageHistory):
    """The messages of a conversation: what was said lives as long as that, whatever model said it.

    Text and tool calls are kept, nothing else of a message. Every write has a key, so that one whose answer was lost
    is done once. The asynchronous forms, which are LangChain's own, run these in a thread.

    Args:
        session_id: a name of yours, which is the same conversation wherever it is used with the same token; or the
            id of a conversation.
        url: of the server; None takes PARLEY_URL, else http://127.0.0.1:8000.
        token: the access key; None takes PARLEY_TOKEN.
        client: speaks to the server instead of one made from `url` and `token`; one for all histories is quicker.

    Raises:
        parley.InvalidRequest: the URL or the token cannot be one. The methods raise `openai.OpenAIError`.
    """

    def __init__(
        self, session_id: str, *, url: str | None = None, token: str | None = None, client: OpenAI | None = None
    ) -> None:
        self.session_id = session_id
        self._client = client or OpenAI(**options(url, token))
        self._conversation = named(session_id)

    @property
    def conversation(self) -> str:
        """The id of the conversation; it begins when it is first asked for."""
        if self._conversation is None:
            self._conversation = self._client.conversations.create(extra_headers=opening(self.session_id)).id
        return self._conversation

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # declared as an attribute there
        """What was said, oldest first."""
        listed = self._client.conversations.items.list(self.conversation, order="asc", limit=PAGE)
        return messages_of(item.to_dict() for item in listed)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Write down what was said. More than 20 items take several requests; stopped in between, some are there.

        Raises:
            ValueError: a message that is neither human, ai, system nor tool, or says something that is no text.
        """
        items = [item for message in messages for item in items_of(message)]
        for batch in batches(items):
            self._client.conversations.items.create(self.conversation, items=batch, extra_headers=writing())

    def clear(self) -> None:
        """Take out everything. It is shown to no model again; the page goes on showing it until it is deleted there."""
        listed = list(self._client.conversations.items.list(self.conversation, order="desc", limit=PAGE))
        for item in listed:
            self._client.conversations.items.delete(str(item.id), conversation_id=self.conversation)


def items_of(message: BaseMessage) -> Iterator[Any]:
    """A message as items: one, or an assistant's text and its calls.

    Raises:
        ValueError: it cannot be kept.
    """
    if isinstance(message, ToolMessage):
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": said(message)}
        return
    role = ROLES.get(message.type)
    if role is None:
        raise ValueError(f"a message of type {message.type!r} cannot be kept")
    calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
    text = message.text if calls or role == "assistant" else said(message)
    if text or role == "user":
        yield {"type": "message", "role": role, "content": text}
    for call in calls:
        arguments = call["args"] if isinstance(call["args"], str) else json.dumps(call["args"])
        yield {"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": arguments}


def said(message: BaseMessage) -> str:
    """The text of a message that says nothing else.

    Raises:
        ValueError: it does.
    """
    parts = [message.content] if isinstance(message.content, str) else message.content
    if any(isinstance(part, dict) and part.get("type") != "text" for part in parts):
        raise ValueError("only text can be kept: this message has other content")
    return str(message.text)


def messages_of(items: Iterable[dict[str, Any]]) -> list[BaseMessage]:
    """Items as messages: an assistant's calls belong to the text before them."""
    found: list[BaseMessage] = []
    for item in items:
        match item["type"]:
            case "message":
                found.append(MESSAGES[item["role"]](text_of(item)))
            case "function_call":
                if not isinstance(found[-1] if found else None, AIMessage):
                    found.append(AIMessage(""))
                add_call(cast("AIMessage", found[-1]), item)
            case "function_call_output":
                found.append(ToolMessage(item["output"], tool_call_id=item["call_id"]))
    return found


def add_call(message: AIMessage, item: dict[str, Any]) -> None:
    """Give a message one more call."""
    function = {"name": item["name"], "arguments": item["arguments"]}
    calls, invalid = default_tool_parser([{"id": item["call_id"], "function": function}])
    message.tool_calls += calls
    message.invalid_tool_calls += invalid
