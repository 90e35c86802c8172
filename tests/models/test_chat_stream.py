"""A chat completion's chunks, folded."""

import json
from typing import Any

import pytest

from parley.core.turn import Usage
from parley.models.chat_stream import ChatStream

PLAIN = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


@pytest.mark.parametrize(
    ("counted", "usage"),
    [
        (PLAIN, Usage(7, 5)),
        ({**PLAIN, "prompt_tokens_details": None, "completion_tokens_details": {}}, Usage(7, 5)),
        ({**PLAIN, "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0}}, Usage(7, 5, 3)),
        ({**PLAIN, "completion_tokens_details": {"reasoning_tokens": 4}}, Usage(7, 5, 0, 4)),
        ({**PLAIN, "prompt_tokens_details": {"cached_tokens": None}}, Usage(7, 5)),
    ],
)
def test_the_upstream_says_what_its_tokens_were(counted: dict[str, Any], usage: Usage) -> None:
    stream = ChatStream()
    stream.take(json.dumps({"choices": [], "usage": counted}).encode())
    assert stream.finish().usage == usage
