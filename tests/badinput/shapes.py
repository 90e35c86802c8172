"""The forms in which errors are told, one for each protocol: each takes an answer apart into its code and its param."""

from collections.abc import Callable
from typing import Any

from tests.server.shared import Answer

Told = tuple[str, str]
TYPES = frozenset(
    {
        *("invalid_request_error", "authentication_error", "permission_error", "not_found_error", "conflict_error"),
        *("rate_limit_error", "service_unavailable"),
    }
)


def envelope(answer: Answer) -> Told:
    """OpenAI's, which is ours too."""
    error: dict[str, Any] = answer.json["error"]
    assert list(answer.json) == ["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert error["message"]
    assert error["type"] in TYPES
    return error["code"], error["param"] or ""


def ollama(answer: Answer) -> Told:
    """Ollama's, which has no code: its text stands for it."""
    assert list(answer.json) == ["error"]
    assert isinstance(answer.json["error"], str)
    return answer.json["error"], ""


def rpc(answer: Answer) -> Told:
    """JSON-RPC's; the id that is answered, as JSON, stands for the param."""
    found = answer.json
    assert set(found) == {"jsonrpc", "id", "error"}
    assert found["jsonrpc"] == "2.0"
    assert found["error"]["message"]
    name = found["id"]
    return str(found["error"]["code"]), "" if name is None else f'"{name}"' if isinstance(name, str) else str(name)


def tool(answer: Answer) -> Told:
    """The result of an MCP tool that failed: told to the model."""
    result = answer.json["result"]
    code = result["structuredContent"]["error"]["code"]
    assert result["isError"] is True
    assert code in result["content"][0]["text"]
    return code, ""


def detail(answer: Answer) -> Told:
    """The second seed's framework's: a text, one complaint or a list of them."""
    assert list(answer.json) == ["detail"]
    found = answer.json["detail"]
    if isinstance(found, str):
        return found, ""
    first = found[0] if isinstance(found, list) else found
    where = first["loc"]
    return first["msg"], where if isinstance(where, str) else ".".join(where)


def action(answer: Answer) -> Told:
    """The first seed's actions': an output that its page shows."""
    assert set(answer.json) == {"output"}
    return answer.json["output"], ""


def stream(answer: Answer) -> Told:
    """The first seed's streams': lines, the last one the end."""
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.body.decode(), ""


def login(answer: Answer) -> Told:
    """The first seed's login's."""
    assert answer.json == {"authenticated": False}
    return "", ""


def bare(_: Answer) -> Told:
    """No error, or none that has a body."""
    return "", ""


SHAPES: dict[str, Callable[[Answer], Told]] = {
    each.__name__: each for each in (envelope, ollama, rpc, tool, detail, action, stream, login, bare)
}
# Forms whose code is a text that holds the row's.
TEXTUAL = frozenset({"ollama", "detail", "action", "stream"})
