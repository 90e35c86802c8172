"""MCP's official client (`mcp`), unmodified, in both of the protocol's eras."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from tests.compat.place import MODEL, Place, place, tokens

Mode = Literal["auto", "legacy"]
MODES: list[Mode] = ["auto", "legacy"]

pytestmark = pytest.mark.parametrize("mode", MODES)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def connect(parley: Place, mode: Mode) -> Client:
    return Client(f"{parley.up.url}/mcp", mode=mode)


async def done(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers that does not fail."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, text(result)
    found: dict[str, Any] = result.structured_content
    return found


def text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def test_the_version_is_negotiated(parley: Place, mode: Mode) -> None:
    async def main() -> None:
        async with connect(parley, mode) as client:
            assert client.protocol_version == {"auto": "2026-07-28", "legacy": "2025-11-25"}[mode]
            assert client.server_capabilities.tools is not None
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert names == ["list_conversations", "get_history", "send_message", "cancel"]

    run(main())


def test_a_conversation(parley: Place, mode: Mode) -> None:
    async def main() -> None:
        async with connect(parley, mode) as client:
            first = await done(client, "send_message", message=f"say 4 tag=mcp-{mode}", model=MODEL)
            assert first["text"] == tokens(f"mcp-{mode}", 4)
            where = first["conversation"]
            again = await client.call_tool("send_message", {"message": "hello", "conversation": where})
            assert text(again) == "You said: hello (3 messages)"
            history = await done(client, "get_history", conversation=where)
            assert [turn["text"] for turn in history["turns"]] == [first["text"], text(again)]
            listed = (await done(client, "list_conversations"))["conversations"]
            assert where in [each["id"] for each in listed]
            # The same conversation on the other interfaces.
            assert [told for _, told in parley.items(where)][1::2] == [first["text"], text(again)]

    run(main())


def test_progress(parley: Place, mode: Mode) -> None:
    async def main() -> None:
        heard: list[str] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(message or "")

        async with connect(parley, mode) as client:
            arguments = {"message": f"say 20 delay=0.02 tag=progress-{mode}"}
            result = await client.call_tool("send_message", arguments, progress_callback=hear)
            assert text(result) == tokens(f"progress-{mode}", 20)
            assert len(heard) > 1, "as it comes"
            assert "".join(heard) == text(result)

    run(main())


def test_an_impatient_client_finds_the_answer_later(parley: Place, mode: Mode) -> None:
    async def main() -> None:
        async with connect(parley, mode) as client:
            where = (await done(client, "send_message", message="hello"))["conversation"]
            said = {"message": f"say 30 delay=0.05 tag=late-{mode}", "conversation": where}
            with pytest.raises(MCPError):
                await client.call_tool("send_message", said, read_timeout_seconds=0.3)
            status = ""
            while status != "completed":
                turn = (await done(client, "get_history", conversation=where))["turns"][-1]
                status = turn["status"]
            assert turn["text"] == tokens(f"late-{mode}", 30)
            assert parley.asked(f"late-{mode}") == 1

    run(main())


def test_cancelling(parley: Place, mode: Mode) -> None:
    async def main() -> None:
        async with connect(parley, mode) as client:
            where = (await done(client, "send_message", message="hello"))["conversation"]
            said = {"message": f"say 900 delay=0.02 tag=stop-{mode}", "conversation": where}
            sending = asyncio.create_task(client.call_tool("send_message", said))
            turn: dict[str, Any] = {"status": ""}
            while turn["status"] != "in_progress":
                turn = (await done(client, "get_history", conversation=where))["turns"][-1]
            assert (await done(client, "cancel", response=turn["response"]))["status"] == "cancelled"
            result = await sending
            assert result.is_error
            assert result.structured_content["status"] == "cancelled"

    run(main())


def test_errors(parley: Place, mode: Mode) -> None:
    async def main() -> None:
        async with connect(parley, mode) as client:
            for name, arguments, code in (
                ("send_message", {}, "missing_parameter"),
                ("send_message", {"message": "x", "model": "other"}, "model_not_found"),
                ("send_message", {"message": "say 3 status=400"}, "upstream"),
                ("get_history", {"conversation": "x"}, "conversation_not_found"),
            ):
                result = await client.call_tool(name, arguments)
                assert result.is_error
                assert code in text(result)
            with pytest.raises(MCPError, match="There is no tool"):
                await client.call_tool("rm", {})
            with pytest.raises(MCPError, match="There is no method"):
                await client.list_prompts()

    run(main())


def test_a_key_is_needed(mode: Mode) -> None:
    async def main(parley: Place) -> None:
        async def listed(key: str) -> list[Any]:
            async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
                transport = streamable_http_client(f"{parley.up.url}/mcp", http_client=http)
                async with Client(transport, mode=mode) as client:
                    found: list[Any] = (await done(client, "list_conversations"))["conversations"]
                    return found

        assert await listed("open-sesame") == []
        with pytest.raises(BaseException) as caught:
            await listed("wrong")
        assert "access key" in told(caught.value)

    with place(PARLEY_ACCESS_KEY="open-sesame") as parley:
        run(main(parley))


def told(error: BaseException) -> str:
    """What an error says, and those in it."""
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return " ".join([str(error), *map(told, inner)])
