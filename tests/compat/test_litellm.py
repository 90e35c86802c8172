"""LiteLLM, as a library in front of Parley."""

from typing import Any

import litellm as library
import openai
import pytest

from tests.compat.place import MODEL, Place, tokens

# Untyped, as its unions are too wide.
litellm: Any = library
# Of a model it does not know it asks the whole response at once, and plays a stream.
KNOWN = {"litellm_provider": "openai", "mode": "chat", "supports_native_streaming": True}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_litellm",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}},
    },
}

# Its warnings are about itself.
pytestmark = pytest.mark.filterwarnings("ignore")
# It reports whatever goes wrong on the standard output too.
litellm.suppress_debug_info = True
litellm.register_model({f"openai/{MODEL}": KNOWN})


def options(place: Place, **more: Any) -> dict[str, Any]:
    return {"model": f"openai/{MODEL}", "api_base": place.url, "api_key": "any", "max_retries": 0} | more


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_a_completion(parley: Place) -> None:
    answer = litellm.completion(messages=said("say 4 tag=ll_whole reasoning=1"), **options(parley))
    assert answer.choices[0].message.content == tokens("ll_whole", 4)
    assert answer.choices[0].message.reasoning_content == "think:0000 "
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == 4
    assert parley.asked("ll_whole") == 1


def test_a_stream(parley: Place) -> None:
    asked = said("say 8 tag=ll_stream delay=0.02")
    chunks = list(
        litellm.completion(messages=asked, stream=True, stream_options={"include_usage": True}, **options(parley))
    )
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(texts) == tokens("ll_stream", 8)
    assert len(texts) > 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].usage.completion_tokens == 8
    assert parley.asked("ll_stream") == 1


def test_a_call(parley: Place) -> None:
    messages = said("say 1 tag=look_litellm calls=1")
    calling = litellm.completion(messages=messages, tools=[TOOL], **options(parley))
    message = calling.choices[0].message
    assert calling.choices[0].finish_reason == "tool_calls"
    assert [(call.function.name, call.function.arguments) for call in message.tool_calls] == [
        ("look_litellm", '{"number": 0}')
    ]
    messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "found 0"}]
    answer = litellm.completion(messages=messages, tools=[TOOL], **options(parley))
    assert answer.choices[0].message.content == tokens("look_litellm", 1)
    assert parley.asked("look_litellm") == 2


def test_responses_go_on_behind_each_other(parley: Place) -> None:
    """Its ids are its own, around ours."""
    first = litellm.responses(input="hello", **options(parley))
    second = litellm.responses(input="and now?", previous_response_id=first.id, **options(parley))
    assert second.output[0].content[0].text == "You said: and now? (3 messages)"
    found = litellm.get_responses(second.id, api_base=parley.url, api_key="any")
    assert found.output == second.output
    item = second.output[0].id
    conversation = f"conv_{item.removeprefix('msg_')[:34]}"
    assert parley.turns(conversation) == [
        ("completed", "You said: hello (1 messages)"),
        ("completed", "You said: and now? (3 messages)"),
    ]
    litellm.delete_responses(second.id, api_base=parley.url, api_key="any")
    with pytest.raises(litellm.exceptions.NotFoundError):
        litellm.get_responses(second.id, api_base=parley.url, api_key="any")


def test_a_responses_stream(parley: Place) -> None:
    events = list(litellm.responses(input="say 8 tag=ll_events delay=0.02", stream=True, **options(parley)))
    kinds = [event.type.value for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    deltas = [event.delta for event in events if event.type.value == "response.output_text.delta"]
    assert "".join(deltas) == tokens("ll_events", 8)
    assert len(deltas) > 1
    assert parley.asked("ll_events") == 1


def test_a_conversation_is_passed_on(parley: Place) -> None:
    with openai.OpenAI(base_url=parley.url, api_key="any") as client:
        conversation = client.conversations.create().id
    body = {"conversation": conversation}
    first = litellm.responses(input="hello", extra_body=body, **options(parley))
    assert first.output[0].content[0].text == "You said: hello (1 messages)"
    second = litellm.completion(messages=said("and now?"), extra_body=body, **options(parley))
    assert second.choices[0].message.content == "You said: and now? (3 messages)"
    assert parley.turns(conversation) == [
        ("completed", "You said: hello (1 messages)"),
        ("completed", "You said: and now? (3 messages)"),
    ]


def test_a_model_nobody_has(parley: Place) -> None:
    chosen = options(parley, model="openai/nobody")
    with pytest.raises(litellm.exceptions.NotFoundError, match="The model 'nobody' does not exist"):
        litellm.completion(messages=said("hello"), **chosen)
    with pytest.raises(litellm.exceptions.NotFoundError, match="The model 'nobody' does not exist"):
        litellm.responses(input="hello", **chosen)


def test_a_model_that_fails(parley: Place) -> None:
    with pytest.raises(litellm.exceptions.BadGatewayError, match="upstream refused"):
        litellm.completion(messages=said("say 3 tag=ll_broken status=400"), **options(parley))
    assert parley.asked("ll_broken") == 1
    failed = litellm.responses(input="say 3 tag=ll_failed status=400", **options(parley, max_retries=3))
    assert (failed.status, failed.error["code"]) == ("failed", "server_error")
    assert parley.asked("ll_failed") == 1


def test_a_stream_that_breaks_off_never_ends_well(parley: Place) -> None:
    asked = "say 9 tag=ll_cut error=3 delay=0.02"
    chunks: list[Any] = []
    with pytest.raises(litellm.exceptions.MidStreamFallbackError, match="upstream reported an error"):
        chunks.extend(litellm.completion(messages=said(asked), stream=True, **options(parley)))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == tokens("ll_cut", 3)
    events: list[Any] = []
    with pytest.raises(litellm.exceptions.MidStreamFallbackError, match="upstream reported an error"):
        events.extend(litellm.responses(input=asked, stream=True, **options(parley)))
    assert "".join(getattr(event, "delta", "") for event in events) == tokens("ll_cut", 3)
