"""Requests made from ``/openapi.json`` by chance: right ones, right ones with something wrong, and noise.

Everything follows from a seed, so that a request that did harm can be sent again.
"""

import json
import random
import string
from typing import Any
from urllib.parse import quote

from msgspec import Struct

# What breaks parsers, numbers and stores, in whatever place. Those that begin with a `\` are JSON as they stand.
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        0.5,
        -0.0,
        1e308,
        10**30,
        -(2**63),
        2**63,
        "",
        " ",
        "\n",
        "0",
        "-1",
        "null",
        "*",
        "{}",
    ),
    *("../../etc/passwd", "%00", "é", "\u202e", "💥" * 50, "x" * 300, "x" * 5_000, "<script>", "\x1b[2J", "a\x7fb"),
    *([], [[]], {}, {"": ""}, [None] * 20, {"type": "text"}, {"$ref": "#"}, [[[[[[[[[]]]]]]]]]),
]
BROKEN = [
    r'"\ud800"',
    r'"\u0000"',
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 400,
    "[" * 40 + "]" * 40,
    '{"a":1,"a":2}',
    "tru",
    "'x'",
]
HEADERS: list[tuple[str, list[str]]] = [
    ("Idempotency-Key", ["k1", "k2", "a b", "x" * 256, "é"]),
    ("Last-Event-ID", ["1-1", "x", "0-0", "99999999999999999999-1"]),
    ("Accept", ["text/event-stream", "application/json", "*/*", "text/html", ";;"]),
    ("Content-Type", ["text/plain", "application/json; charset=latin-1", "application/x-www-form-urlencoded"]),
    ("Content-Encoding", ["gzip"]),
    ("Origin", ["http://evil.example", "null"]),
    ("If-None-Match", ["*", '"x"']),
    ("MCP-Protocol-Version", ["2025-06-18", "x"]),
    ("Authorization", ["", "Bearer", "Bearer x", "Basic eDp5"]),
]
# A wrong password takes 200 ms of a core on purpose, a few at a time: as often as the rest, it takes all the time.
SLOW = ("/api/my/mastrogpt/login",)


class Sent(Struct, frozen=True):
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None

    def encode(self, host: str) -> bytes:
        """As bytes on the wire."""
        headers = {"Host": host, **self.headers}
        if self.body is not None:
            headers["Content-Length"] = str(len(self.body))
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (self.body or b"")


class Noise:
    """Makes requests.

    Args:
        told: the description.
        token: of whoever sends them.
        names: good values of path parameters and of fields, by name.
    """

    def __init__(self, told: dict[str, Any], token: str, names: dict[str, list[str]], rng: random.Random) -> None:
        self._schemas = told["components"]["schemas"]
        self._operations = [
            (method.upper(), path, operation)
            for path, operations in told["paths"].items()
            for method, operation in operations.items()
        ]
        self._token = token
        self.names = names
        self._rng = rng

    def request(self) -> Sent:
        """The next one."""
        rng = self._rng
        method, path, operation = rng.choice(self._operations)
        if path in SLOW and rng.random() < 0.95:
            return self.request()
        headers = {"Authorization": f"Bearer {self._token}"}
        query = []
        for parameter in operation["parameters"]:
            name, place = parameter["name"], parameter["in"]
            if place == "path":
                path = path.replace(f"{{{name}}}", self._in_path(name))
            elif rng.random() < 0.4:
                text = str(self._mostly(parameter["schema"], name))
                if place == "query":
                    query.append(f"{name}={quote(text, safe='')}")
                elif text.isprintable() and text.isascii():
                    headers[name] = text
        body = None
        if (wanted := operation.get("requestBody")) and rng.random() < 0.97:
            headers["Content-Type"] = "application/json"
            body = self._body(wanted["content"]["application/json"]["schema"])
        if rng.random() < 0.08:
            name, values = rng.choice(HEADERS)
            headers[name] = rng.choice(values)
        if rng.random() < 0.01:
            method = rng.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
        return Sent(method, path + ("?" + "&".join(query) if query else ""), headers, body)

    def message(self, schemas: list[dict[str, Any]]) -> bytes:
        """A message for a socket."""
        return self._body(self._rng.choice(schemas))

    def _in_path(self, name: str) -> str:
        if self._rng.random() < 0.8 and name in self.names:
            return quote(self._rng.choice(self.names[name]), safe="")
        return quote(str(self._rng.choice(ODD))[:300], safe="") or "x"

    def _body(self, schema: dict[str, Any]) -> bytes:
        rng = self._rng
        value = self._value(schema, "", 0)
        for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
            value = self._spoil(value)
        data = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        if rng.random() < 0.05:
            data = (
                data.replace(b"null", rng.choice(BROKEN).encode(), 1)
                if b"null" in data
                else rng.choice(BROKEN).encode()
            )
        if rng.random() < 0.05:
            at = rng.randrange(len(data) + 1)
            data = data[:at] + rng.randbytes(rng.randrange(4)) + data[at + rng.randrange(4) :]
        return data

    def _mostly(self, schema: dict[str, Any], name: str) -> Any:
        return self._value(schema, name, 0) if self._rng.random() < 0.8 else self._rng.choice(ODD)

    def _value(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        """A value that fits a schema, but for patterns."""
        rng = self._rng
        if "$ref" in schema:
            return self._value(self._schemas[schema["$ref"].rpartition("/")[2].replace("~1", "/")], name, depth)
        if "anyOf" in schema:
            return self._value(rng.choice(schema["anyOf"]), name, depth)
        for key in ("enum", "const"):
            if key in schema:
                return rng.choice(schema[key]) if key == "enum" else schema[key]
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                count = rng.randint(schema.get("minItems", 0), 3) if depth < 5 else schema.get("minItems", 0)
                return [self._value(schema.get("items", {}), name, depth + 1) for _ in range(count)]
            case "string":
                return self._text(schema, name)
            case "integer":
                return rng.randint(schema.get("minimum", -5), min(schema.get("maximum", 1_000), 10**9))
            case "number":
                return rng.uniform(schema.get("minimum", -2.0), schema.get("maximum", 2.0))
            case "boolean":
                return rng.random() < 0.5
            case "null":
                return None
            case _:
                return self._anything(name, depth)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        rng = self._rng
        required = schema.get("required", [])
        made = {
            name: self._value(inner, name, depth + 1)
            for name, inner in schema.get("properties", {}).items()
            if name in required or (depth < 5 and rng.random() < 0.3)
        }
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and depth < 5:
            made |= {f"k{number}": self._value(more, "", depth + 1) for number in range(rng.randrange(3))}
        return made

    def _text(self, schema: dict[str, Any], name: str) -> str:
        rng = self._rng
        if name in self.names and rng.random() < 0.9:
            return rng.choice(self.names[name])
        size = rng.randint(schema.get("minLength", 0), min(schema.get("maxLength", 20), 20))
        return "".join(rng.choice(string.ascii_letters + " é\n") for _ in range(size))

    def _anything(self, name: str, depth: int) -> Any:
        """What has no schema: most often a message, as the protocols that leave it open want one."""
        rng = self._rng
        if depth < 6 and rng.random() < 0.7:
            role = rng.choice(["user", "assistant", "system", "tool", "developer", "robot"])
            part = {
                "type": rng.choice(["text", "input_text", "output_text", "image_url", "file", "tool-f"]),
                "text": "hello",
            }
            message: dict[str, Any] = {
                "id": "m",
                "type": "message",
                "role": role,
                "content": rng.choice(["hi", [part], part]),
            }
            message |= {"parts": [part]} if rng.random() < 0.4 else {}
            call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            message |= {"tool_calls": [call], "toolCalls": [call]} if rng.random() < 0.1 else {}
            message |= {"tool_call_id": "c", "call_id": "c", "toolCallId": "c"} if rng.random() < 0.1 else {}
            return message
        return rng.choice(ODD)

    def _spoil(self, value: Any) -> Any:
        """The same value with one thing wrong somewhere in it."""
        rng = self._rng
        if isinstance(value, dict) and value and rng.random() < 0.85:
            name = rng.choice(list(value))
            how = rng.random()
            if how < 0.1:
                return {key: inner for key, inner in value.items() if key != name}
            if how < 0.2:
                return value | {rng.choice(["unknown", "", "type", "id", "__proto__"]): rng.choice(ODD)}
            return value | {name: self._spoil(value[name])}
        if isinstance(value, list) and value and rng.random() < 0.85:
            at = rng.randrange(len(value))
            return [*value[:at], self._spoil(value[at]), *value[at + 1 :]]
        return rng.choice(ODD)
