"""MCP on the wire; its official client is in tests/compat."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from parley.server.config import Choice
from parley.wire.mcp.messages import CAPABILITIES_KEY, HANDSHAKE, MODERN, VERSION_KEY
from tests.server.openai.harness import Office, office
from tests.server.shared import Shared, shared
from tests.store.harness import run

BOTH = "application/json, text/event-stream"
ORIGIN = "https://app.example"
META = {VERSION_KEY: MODERN[0], CAPABILITIES_KEY: {}}


def rpc(method: str, params: Any = None, id: Any = 1) -> dict[str, Any]:  # noqa: A002
    body: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if id is not None:
        body["id"] = id
    return body if params is None else {**body, "params": params}


class Client:
    """A client of the handshake's era."""

    def __init__(self, it: Office, key: str = "") -> None:
        self.it = it
        self.url = it.home.served[0].url + "/mcp"
        self.headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._id = 0

    async def begin(self) -> None:
        """Shake hands, for a session."""
        async with self.it.home.http.post(self.url, json=rpc("initialize", {}), headers=self.headers) as answer:
            self.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]

    async def call(self, name: str, id: int | None = None, /, **arguments: Any) -> dict[str, Any]:  # noqa: A002
        """The result of a tool."""
        self._id += 1
        params = {"name": name, "arguments": arguments}
        found = await self.it.home.call(
            "POST", self.url, rpc("tools/call", params, id or self._id), headers=self.headers
        )
        assert found["id"] == (id or self._id)
        result: dict[str, Any] = found["result"]
        assert result["content"][0]["type"] == "text"
        return result

    async def done(self, name: str, /, **arguments: Any) -> Any:
        """What a tool that does not fail answers."""
        result = await self.call(name, **arguments)
        assert result["isError"] is False, result
        return result["structuredContent"]

    async def refused(self, name: str, /, **arguments: Any) -> str:
        """The code of the error that a tool answers."""
        result = await self.call(name, **arguments)
        assert result["isError"] is True
        code: str = result["structuredContent"]["error"]["code"]
        assert code in result["content"][0]["text"]
        return code

    async def events(self, params: dict[str, Any]) -> list[Any]:
        """The messages of a call that is answered by server-sent events."""
        async with self.it.home.http.post(
            self.url, json=rpc("tools/call", params), headers=self.headers | {"Accept": BOTH}
        ) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            data = (await answer.read()).decode()
        frames = [frame for frame in data.replace(": hb\n", "").split("\n\n") if frame]
        assert all(frame.startswith("event: message\ndata: ") for frame in frames)
        return [json.loads(frame.partition("data: ")[2]) for frame in frames]


def test_a_conversation_by_tools() -> None:
    async def main() -> None:
        async with office() as it:
            client = Client(it)
            first = await client.done("send_message", message="hello")
            assert (first["status"], first["text"]) == ("completed", "You said: hello (1 messages)")
            again = await client.done("send_message", message="again", conversation=first["conversation"])
            assert again["text"] == "You said: again (3 messages)"
            (listed,) = (await client.done("list_conversations"))["conversations"]
            assert (listed["id"], listed["turns"], listed["status"]) == (first["conversation"], 2, "idle")
            assert (await client.done("list_conversations", offset=1))["conversations"] == []
            history = await client.done("get_history", conversation=first["conversation"])
            assert [(turn["input"][0]["content"], turn["text"]) for turn in history["turns"]] == [
                ("hello", first["text"]),
                ("again", again["text"]),
            ]
            assert [turn["response"] for turn in history["turns"]] == [first["response"], again["response"]]
            (oldest,) = (await client.done("get_history", conversation=first["conversation"], before=1))["turns"]
            assert oldest["response"] == first["response"]
            # It is a response like any other.
            assert (await it.client.responses.retrieve(first["response"])).output_text == first["text"]
            assert (await client.done("cancel", response=first["response"]))["changed"] is False

    run(main())


def test_progress_and_the_result_are_server_sent() -> None:
    async def main() -> None:
        async with office() as it:
            client = Client(it)
            said = {"name": "send_message", "arguments": {"message": "say 10 delay=0.02 reasoning=1"}}
            *notes, last = await client.events({**said, "_meta": {"progressToken": "p"}})
            params = [note["params"] for note in notes]
            assert {note["method"] for note in notes} == {"notifications/progress"}
            assert {each["progressToken"] for each in params} == {"p"}
            counts = [each["progress"] for each in params]
            assert counts == sorted(set(counts))
            text = last["result"]["structuredContent"]["text"]
            assert "".join(each["message"] for each in params) == text == "".join(f"t:{at:04d} " for at in range(10))
            assert counts[-1] == len(text)
            assert len(await client.events(said)) == 1, "no token, no notes"

    run(main())


@pytest.mark.parametrize("accept", ["application/json", BOTH])
def test_a_request_sent_again_is_not_said_again(accept: str) -> None:
    async def main() -> None:
        async with office() as it:
            client = Client(it)
            await client.begin()
            client.headers["Accept"] = accept
            body = rpc("tools/call", {"name": "send_message", "arguments": {"message": "say 3 tag=once"}}, 7)
            found = []
            for _ in range(2):
                async with it.home.http.post(client.url, json=body, headers=client.headers) as answer:
                    found.append(await answer.text())
            assert found[0] == found[1]
            assert it.upstream.stats.by_tag["once"] == 1
            # In another session it is another message, and so it is under another id.
            other = Client(it)
            await other.begin()
            await other.call("send_message", 7, message="say 3 tag=once")
            await other.call("send_message", 8, message="say 3 tag=once")
            assert it.upstream.stats.by_tag["once"] == 3

    run(main())


def test_keys() -> None:
    async def main() -> None:
        async with office() as it:
            client = Client(it)
            one = await client.done("send_message", message="say 3 tag=key", key="k1")
            assert await client.done("send_message", message="say 3 tag=key", key="k1") == one
            assert await client.refused("send_message", message="other", key="k1") == "idempotency_key_reused"
            assert await client.refused("send_message", message="other", key="ä") == "invalid_idempotency_key"
            client.headers["Idempotency-Key"] = "k1"
            assert await client.done("send_message", message="say 3 tag=key") == one
            assert it.upstream.stats.by_tag["key"] == 1

    run(main())


def test_what_runs_can_be_read_and_cancelled() -> None:
    async def main() -> None:
        async with office() as it:
            client, other = Client(it), Client(it)
            made = await it.home.conversation()
            sending = asyncio.create_task(client.call("send_message", message="say 900 delay=0.02", conversation=made))
            await it.upstream.until(lambda stats: stats.active == 1)
            (turn,) = (await other.done("get_history", conversation=made))["turns"]
            assert turn["status"] == "in_progress"
            done = await other.done("cancel", response=turn["response"])
            assert (done["status"], done["changed"]) == ("cancelled", True)
            await it.upstream.until(lambda stats: stats.disconnected == 1)
            result = await sending
            assert result["isError"] is True
            assert result["structuredContent"]["status"] == "cancelled"

    run(main())


@pytest.mark.parametrize("accept", ["application/json", BOTH])
def test_whoever_leaves_finds_the_answer_later(accept: str) -> None:
    async def main() -> None:
        async with office() as it:
            client = Client(it)
            client.headers["Accept"] = accept
            made = await it.home.conversation()
            sending = asyncio.create_task(client.call("send_message", message="say 20 delay=0.02", conversation=made))
            await it.upstream.until(lambda stats: stats.active == 1)
            sending.cancel()
            await it.upstream.until(lambda stats: stats.finished == 1)
            status = ""
            while status != "completed":
                (turn,) = (await Client(it).done("get_history", conversation=made))["turns"]
                status = turn["status"]
            assert turn["text"] == "".join(f"t:{at:04d} " for at in range(20))

    run(main())


@pytest.mark.parametrize("model", ["model", "fickle"])
def test_a_takeover_gives_the_whole_answer(model: str) -> None:
    async def main() -> None:
        async with office() as it:
            client = Client(it)
            vary = "" if model == "model" else "vary"
            made = await it.home.conversation()
            arguments = {"message": f"say 40 delay=0.02 {vary}", "model": model, "conversation": made}
            sending = asyncio.create_task(
                client.events({"name": "send_message", "arguments": arguments, "_meta": {"progressToken": 1}})
            )
            turns: list[Any] = []
            while not any(turn["text"] for turn in turns):
                turns = (await Client(it).done("get_history", conversation=made))["turns"]
            await it.kill("worker-0")
            it.work("worker-1")
            *notes, last = await sending
            tag = "t.r2" if vary else "t"
            assert last["result"]["structuredContent"]["text"] == "".join(f"{tag}:{at:04d} " for at in range(40))
            assert "".join(note["params"]["message"] for note in notes).startswith("t.r1:" if vary else "t:")

    run(main())


def test_a_model_that_fails() -> None:
    async def main() -> None:
        async with office() as it:
            result = await Client(it).call("send_message", message="say 3 status=400")
            assert result["isError"] is True
            assert result["structuredContent"]["status"] == "failed"
            assert "refused the request" in result["content"][0]["text"]

    run(main())


def test_a_server_that_goes_says_where_the_answer_will_be() -> None:
    async def main() -> None:
        async with office(servers=2) as it:
            client = Client(it)
            said = {"name": "send_message", "arguments": {"message": "say 30 first=1 delay=0.02"}}
            sending = asyncio.create_task(client.events(said))
            await it.upstream.until(lambda stats: stats.active == 1)
            it.home.served[0].server.go()
            (last,) = await sending
            found = last["result"]["structuredContent"]
            assert last["result"]["isError"] is True
            client.url = it.home.served[1].url + "/mcp"
            status = ""
            while status != "completed":
                (turn,) = (await client.done("get_history", conversation=found["conversation"]))["turns"]
                status = turn["status"]
            assert turn["response"] == found["response"]

    run(main())


def test_only_ones_own() -> None:
    async def main() -> None:
        async with office(access_key="open sesame") as it:
            owner = {"Authorization": "Bearer open sesame"}
            clients = [Client(it, "open sesame")]
            for name in ("Ann", "Bob"):
                opened = await it.home.call("POST", "/api/sessions", {"name": name}, expect=201, headers=owner)
                clients.append(Client(it, opened["token"]))
            ann = clients.pop(1)
            made = await ann.done("send_message", message="hello", key="same")
            for other in clients:
                assert (await other.done("list_conversations"))["conversations"] == []
                where = made["conversation"]
                assert await other.refused("get_history", conversation=where) == "conversation_not_found"
                assert await other.refused("send_message", message="x", conversation=where) == "conversation_not_found"
                assert await other.refused("cancel", response=made["response"]) == "response_not_found"
                mine = await other.done("send_message", message="hello", key="same")
                assert mine["conversation"] != where
            assert (await ann.done("get_history", conversation=made["conversation"]))["total"] == 1
            refused = await it.home.call("POST", "/mcp", rpc("ping"), expect=401)
            assert (refused["id"], refused["error"]["data"]["code"]) == (None, "not_authenticated")

    run(main())


# The protocol itself, and bad input.


@pytest.fixture(scope="module")
def server() -> Iterator[Shared]:
    with shared(models=(Choice("model"),), default="model", origins=(ORIGIN,)) as made:
        yield made


def modern(method: str, params: Any = None, **headers: str | None) -> tuple[Any, dict[str, str]]:
    """A request of 2026-07-28 and its headers; those given as None are left out."""
    body = rpc(method, {"_meta": META, **(params or {})})
    given = {"MCP-Protocol-Version": MODERN[0], "Mcp-Method": method} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return body, {name: value for name, value in given.items() if value is not None}


def send(server: Shared, body: Any, headers: dict[str, str] | None = None) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.request("POST", "/mcp", data, {"Accept": BOTH} | (headers or {}))


def test_shaking_hands(server: Shared) -> None:
    for asked, got in (*((version, version) for version in HANDSHAKE), ("2024-01-01", HANDSHAKE[0]), (5, HANDSHAKE[0])):
        answer = send(server, rpc("initialize", {"protocolVersion": asked, "capabilities": {}, "clientInfo": {}}))
        result = answer.json["result"]
        assert (answer.status, result["protocolVersion"]) == (200, got)
        assert (result["capabilities"], result["serverInfo"]["name"]) == ({"tools": {}}, "parley")
        session = {"Mcp-Session-Id": answer.headers["mcp-session-id"], "MCP-Protocol-Version": got}
        ready = send(server, rpc("notifications/initialized", id=None), session)
        assert (ready.status, ready.body) == (202, b"")
        assert send(server, rpc("ping"), session).json == {"jsonrpc": "2.0", "id": 1, "result": {}}
        names = [tool["name"] for tool in send(server, rpc("tools/list"), session).json["result"]["tools"]]
        assert names == ["list_conversations", "get_history", "send_message", "cancel"]


def test_without_shaking_hands(server: Shared) -> None:
    """2026-07-28"""
    found = send(server, *modern("server/discover")).json["result"]
    assert (found["supportedVersions"][0], found["resultType"]) == (MODERN[0], "complete")
    found = send(server, *modern("tools/list")).json["result"]
    assert (len(found["tools"]), found["ttlMs"], found["cacheScope"]) == (4, 0, "private")
    called = {"name": "list_conversations", "arguments": {}}
    found = send(server, *modern("tools/call", called, Mcp_Name="list_conversations")).json["result"]
    assert (found["structuredContent"], found["resultType"]) == ({"conversations": []}, "complete")
    note = rpc("notifications/cancelled", {"requestId": 1}, None)
    assert send(server, note, {"MCP-Protocol-Version": MODERN[0]}).status == 202


def test_schemas_are_plain(server: Shared) -> None:
    for tool in send(server, rpc("tools/list")).json["result"]["tools"]:
        schema = tool["inputSchema"]
        assert (schema["type"], schema["additionalProperties"]) == ("object", False)
        assert "$ref" not in json.dumps(schema)
        assert "pattern" not in json.dumps(schema), "Python's are not JavaScript's"
        assert all("description" in each for each in schema["properties"].values())


def test_a_body_that_is_too_large_or_no_json(server: Shared) -> None:
    for data, headers, status in (
        (b'{"x":"' + b"x" * 1024 * 1024 + b'"}', {}, 413),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
        (b"{}", {"Accept": "text/html"}, 406),
    ):
        answer = server.request("POST", "/mcp", data, headers)
        assert answer.status == status
        assert (answer.json["id"], answer.json["error"]["code"]) == (None, -32000)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods(server: Shared, method: str) -> None:
    answer = server.request(method, "/mcp", headers={"Accept": "text/event-stream"})
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.json["error"]["data"]["code"] == "method_not_allowed"


def test_strangers_pages_may_not_ask(server: Shared) -> None:
    assert send(server, rpc("ping"), {"Origin": "https://evil.example"}).status == 403
    ours = send(server, rpc("initialize"), {"Origin": ORIGIN})
    assert ours.headers["access-control-allow-origin"] == ORIGIN
    assert "mcp-session-id" in ours.headers["access-control-expose-headers"].lower()
