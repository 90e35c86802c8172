"""Messages as every server of chat completions understands them. Pure.

Few know the role `developer`, and those that do take `system` for it. Calls that stand next to each other, and the
text before them, are one message. A call nobody answered, and an answer to no call, are left out: servers refuse
either, and a conversation could not go on for ever.
"""

from collections.abc import Sequence
from typing import Any

from parley.core.message import Message


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages of a request, oldest first."""
    answers = {message.call: place for place, message in enumerate(messages) if message.role == "tool"}
    called: set[str] = set()
    made: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        if message.role == "tool":
            if message.call in called:
                made.append({"role": "tool", "tool_call_id": message.call, "content": message.content})
        elif message.calls:
            _call(made, message, {name for name, at in answers.items() if at > place}, called)
        else:
            role = "system" if message.role == "developer" else message.role
            made.append({"role": role, "content": _parts(message) if message.images else message.content})
    return made


def _parts(message: Message) -> list[dict[str, Any]]:
    """A message with images, in parts: the text first."""
    text = [{"type": "text", "text": message.content}] if message.content else []
    images = [
        {"type": "image_url", "image_url": {"url": image.url, "detail": image.detail}} for image in message.images
    ]
    return [*text, *images]


def _call(made: list[dict[str, Any]], message: Message, answered: set[str], called: set[str]) -> None:
    """Add the calls of a message to those of the message before, if that is the assistant's too."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
        for call in message.calls
        if call.id in answered and call.id not in called
    ]
    if not calls:
        return
    called.update(call["id"] for call in calls)  # type: ignore[misc]
    if not made or made[-1]["role"] != "assistant":
        made.append({"role": "assistant", "content": message.content or None})
    made[-1].setdefault("tool_calls", []).extend(calls)
