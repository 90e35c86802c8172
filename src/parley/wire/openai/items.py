"""Items: what is said in a turn, as OpenAI's APIs list it.

A turn's items are numbered: first its input messages, then the items of its output. An item's id is made of the
response's id and that number, so it is the same wherever the item is shown, and leads back to it:
``msg_<conversation><turn><number: 4 hex>``, with `fc_`, `fco_` or `rs_` in front for what is no message.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal

from parley.core import ids
from parley.core.blocks import Block, blocks, call_id
from parley.core.errors import InvalidRequest
from parley.core.message import Message
from parley.core.turn import TERMINAL_STATUSES, Turn

ItemStatus = Literal["in_progress", "completed", "incomplete"]

PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco"}
ITEM = re.compile(r"(?:msg|rs|fc|fco)_([0-9a-f]{34})([0-9a-f]{16})([0-9a-f]{4})")


def item_id(kind: str, response: str, number: int) -> str:
    """Name an item of a turn."""
    return f"{PREFIXES[kind]}_{response.removeprefix('resp_')}{number:04x}"


def parse_item_id(text: str) -> tuple[str, str, int] | None:
    """The conversation, the turn and the number of an item; None when it is no id of ours."""
    match = ITEM.fullmatch(text)
    return None if match is None else (f"conv_{match[1]}", match[2], int(match[3], 16))


def text_part(text: str) -> dict[str, Any]:
    """The text of a message of the assistant."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def block_item(block: Block, response: str, status: ItemStatus, *, begun: bool = False) -> dict[str, Any]:
    """A block as an item.

    Args:
        begun: as it is when it begins, with nothing in it.
    """
    item: dict[str, Any] = {"id": item_id(block.kind, response, block.number), "type": block.kind, "status": status}
    text = "" if begun else block.text
    if block.kind == "message":
        item |= {"role": "assistant", "content": [] if begun else [text_part(text)]}
    elif block.kind == "reasoning":
        item["summary"] = [] if begun else [{"type": "summary_text", "text": text}]
    else:
        turn = response[-16:]
        item |= {"call_id": call_id(turn, block.number), "name": block.name, "arguments": text}
    return item


def output_items(found: Iterable[Block], response: str, turn: Turn) -> list[dict[str, Any]]:
    """The items of a reply; when it broke off, the last one is incomplete."""
    listed = list(found)
    last: ItemStatus = "completed"
    if turn.status not in TERMINAL_STATUSES:
        last = "in_progress"
    elif turn.status != "completed":
        last = "incomplete"
    return [block_item(block, response, last if block is listed[-1] else "completed") for block in listed]


def input_item(message: Message, response: str, number: int) -> dict[str, Any]:
    """A message of a turn's input as an item."""
    if message.role == "tool":
        return {
            "id": item_id("function_call_output", response, number),
            "type": "function_call_output",
            "status": "completed",
            "call_id": message.call,
            "output": message.content,
        }
    if message.calls:
        call = message.calls[0]
        return {
            "id": item_id("function_call", response, number),
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
    if message.role == "assistant":
        content = [text_part(message.content)]
    else:
        content = [{"type": "input_text", "text": message.content}] if message.content or not message.images else []
        content += [{"type": "input_image", "image_url": each.url, "detail": each.detail} for each in message.images]
    return {
        "id": item_id("message", response, number),
        "type": "message",
        "status": "completed",
        "role": message.role,
        "content": content,
    }


def input_items(turn: Turn, response: str) -> list[dict[str, Any]]:
    """What a turn says, as items, in order."""
    return [input_item(message, response, number) for number, message in enumerate(turn.request.input)]


def turn_items(turn: Turn, conversation: str) -> list[dict[str, Any]]:
    """What was said in a turn, in order, without what was taken out; its input alone as long as it has not ended."""
    response = ids.response_id(conversation, turn.id)
    listed = input_items(turn, response)
    if turn.outcome is not None:
        listed += output_items(blocks(turn, turn.outcome.body, turn.outcome.pieces), response, turn)
    return [item for number, item in enumerate(listed) if number not in turn.removed]


def behind(listed: list[dict[str, Any]], after: str | None) -> list[dict[str, Any]]:
    """What stands behind an item; None: everything.

    Raises:
        InvalidRequest: there is no such item.
    """
    if after is None:
        return listed
    place = next((place for place, item in enumerate(listed) if item["id"] == after), None)
    if place is None:
        raise bad_after()
    return listed[place + 1 :]


def bad_after() -> InvalidRequest:
    """The refusal of a place to go on from."""
    return InvalidRequest("invalid_value", "`after` is no item of this list.", param="after")


def page(listed: list[dict[str, Any]], *, limit: int) -> dict[str, Any]:
    """The first items of a list, as clients page through it."""
    shown = listed[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
        "has_more": len(listed) > limit,
    }
