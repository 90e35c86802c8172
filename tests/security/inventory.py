"""Every route and socket there is, who may use it, and how somebody would reach for what is not theirs.

A new route fails tests/security/test_routes.py until it stands here: one line, `path: Entry(access, asks)`.

access    OPEN       nothing is asked: it tells nothing that is anybody's
          PRINCIPAL  the access key, a session, or a cookie of ours; 401 for everybody else
          OWNER      the owner of the deployment alone; 403 for sessions
          LINK       whoever holds the link in its address, and for nothing but what it leads to
          OWN        says itself who speaks, behind the address (sockets, logins): has tests of its own
asks      one for each method that takes an id: `Ask(method, body, own)`. In path and body {conversation} {turn}
          {response} {item} {token} stand for ids, and `own` is the status its owner gets. A PRINCIPAL's or LINK's
          route with such an id in its path has an ask for each of its methods.

For each ask the ids are put in that are somebody else's, and such that nobody has. The answers must be equal, byte by
byte.
"""

from typing import Literal

from msgspec import Struct

Access = Literal["OPEN", "PRINCIPAL", "OWNER", "LINK", "OWN"]


class Ask(Struct, frozen=True):
    """One request. `own`: what its owner gets; 0: not asked, as a worker would be needed, or there is no own."""

    method: str
    body: str = ""
    own: int = 200
    tail: str = ""


class Entry(Struct, frozen=True):
    """A route."""

    access: Access
    asks: tuple[Ask, ...] = ()


def get(tail: str = "", own: int = 200) -> Ask:
    return Ask("GET", own=own, tail=tail)


def post(body: str = "{}", own: int = 200) -> Ask:
    return Ask("POST", body, own)


def entry(access: Access, *asks: Ask) -> Entry:
    return Entry(access, asks)


DELETE = Ask("DELETE")
RESTORED = (
    '{"turns":[{"turn":"0123456789abcdef","status":"completed","text":"y",'
    '"request":{"input":[{"role":"user","content":"x"}]}}]}'
)
PARTS = '[{"id":"a","role":"user","parts":[{"type":"text","text":"x"}]}]'
# A tool of /mcp, called with an id.
CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":%s}}'

INVENTORY: dict[str, Entry] = {
    "/healthz": entry("OPEN"),
    "/readyz": entry("OPEN"),
    # What is served, described: the same for everybody.
    "/openapi.json": entry("OPEN"),
    "/asyncapi.json": entry("OPEN"),
    "/api/conversations": entry("PRINCIPAL"),
    "/api/conversations/{conversation}": entry(
        "PRINCIPAL", get(), Ask("PATCH", '{"title":"mine"}'), DELETE
    ),
    "/api/conversations/{conversation}/description": entry("PRINCIPAL", get(own=403)),
    "/api/conversations/{conversation}/turns": entry("PRINCIPAL", get(), post('{"input":"x"}')),
    "/api/conversations/{conversation}/turns/restore": entry("PRINCIPAL", post(RESTORED, own=403)),
    "/api/conversations/{conversation}/turns/{turn}": entry("PRINCIPAL", get()),
    "/api/conversations/{conversation}/turns/{turn}/cancel": entry("PRINCIPAL", post()),
    "/api/conversations/{conversation}/queue": entry("PRINCIPAL", get()),
    "/api/conversations/{conversation}/fork": entry("PRINCIPAL", post('{"turn":"{turn}"}', own=201)),
    "/api/conversations/{conversation}/share": entry("PRINCIPAL", post(own=201), Ask("DELETE", own=204)),
    "/api/conversations/{conversation}/events": entry("PRINCIPAL", get(), get("?after=0-0")),
    "/api/models": entry("PRINCIPAL"),
    "/api/sessions": entry("OWNER"),
    "/api/sessions/current": entry("PRINCIPAL"),
    "/api/shared/{token}": entry("LINK", get()),
    "/api/shared/{token}/turns": entry("LINK", get()),
    "/api/shared/{token}/events": entry("LINK", get()),
    "/api/shared/{token}/socket": entry("OWN"),
    "/api/socket": entry("OWN"),
    "/v1/responses/input_tokens": entry(
        "PRINCIPAL",
        post('{"model":"m","input":"x","conversation":"{conversation}"}'),
        post('{"model":"m","input":"x","previous_response_id":"{response}"}'),
    ),
    "/v1/responses/compact": entry("PRINCIPAL", post('{"model":"m","previous_response_id":"{response}"}', own=0)),
    "/v1/responses": entry(
        "PRINCIPAL",
        post('{"model":"m","input":"x","conversation":"{conversation}","background":true}'),
        post('{"model":"m","input":"x","previous_response_id":"{response}","background":true}'),
        post('{"model":"m","input":[{"type":"item_reference","id":"{item}"}],"background":true}', own=0),
        post('{"model":"m","input":"x","conversation":"{conversation}","stream":true}'),
    ),
    "/v1/responses/{response}": entry("PRINCIPAL", get(), get("?stream=true"), DELETE),
    "/v1/responses/{response}/cancel": entry("PRINCIPAL", post(own=400)),
    "/v1/responses/{response}/input_items": entry("PRINCIPAL", get()),
    "/v1/conversations": entry("PRINCIPAL"),
    "/v1/conversations/{conversation}": entry("PRINCIPAL", get(), post('{"metadata":{}}'), DELETE),
    "/v1/conversations/{conversation}/items": entry(
        "PRINCIPAL", get(), post('{"items":[{"role":"user","content":"x"}]}')
    ),
    "/v1/conversations/{conversation}/items/{item}": entry("PRINCIPAL", get(), Ask("DELETE", own=400)),
    "/v1/chat/completions": entry(
        "PRINCIPAL",
        post('{"model":"m","messages":[{"role":"user","content":"x"}],"conversation":"{conversation}"}', own=0),
        post('{"model":"m","messages":[{"role":"user","content":"x"}],"previous_response_id":"{response}"}', own=0),
    ),
    "/v1/models": entry("PRINCIPAL"),
    "/v1/models/{name:path}": entry("PRINCIPAL"),
    # Clients name these threads themselves: somebody else's name is a name that nobody has.
    "/ai/chat": entry("PRINCIPAL", post('{"id":"{conversation}","messages":' + PARTS + "}", own=0)),
    "/ai/chat/{conversation:path}/stream": entry("PRINCIPAL", get(), Ask("DELETE", own=0)),
    "/ai/chat/{conversation:path}/stop": entry("PRINCIPAL", post(own=0)),
    "/ai/chat/{conversation:path}/messages": entry("PRINCIPAL", get()),
    "/agui": entry("PRINCIPAL"),
    **{
        f"/api/{name}": entry("PRINCIPAL")
        for name in (
            "chat", "generate", "tags", "ps", "show", "version", "pull", "push", "create", "copy", "delete", "embed",
            "embeddings", "blobs/{digest}",
        )
    },
    "/streams/{response}": entry("PRINCIPAL", get(), get("?offset=-1"), get("?offset=-1&live=sse")),
    "/mcp": entry(
        "PRINCIPAL",
        post(CALL % ("get_history", '{"conversation":"{conversation}"}')),
        post(CALL % ("cancel", '{"response":"{response}"}')),
        post(CALL % ("send_message", '{"conversation":"{conversation}","message":"x"}'), own=0),
    ),
    "/test": entry("OPEN"),
    "/token": entry("OWNER"),
    "/refresh_token": entry("OWN"),
    "/chat": entry("OWN"),
    "/api/my/mastrogpt/index": entry("PRINCIPAL"),
    "/api/my/mastrogpt/login": entry("OWN"),
    "/api/my/mastrogpt/display": entry("OPEN"),
    **{
        path: entry("OWN", post('{"input":"/more","state":"{conversation}"}', own=0))
        for path in (
            "/api/my/{pkg}/{action:path}", "/web/{ns}/{action}", "/web/{ns}/{pkg}/{action:path}",
            "/action/{ns}/{action}", "/action/{ns}/{pkg}/{action:path}",
        )
    },
    "/embed.js": entry("OPEN"),
    "/": entry("OPEN"),
    # The page itself, which holds nothing: it asks for what it shows as its user.
    "/c/{id}": entry("OPEN"),
    "/chat/{token}": entry("OPEN"),
    "/s/{token}": entry("OPEN"),
    "/embed": entry("OPEN"),
    "/static/{path:path}": entry("OPEN"),
}  # fmt: skip

# The sockets: address and every verb they know, with an id in it; `None`: the verb takes no id.
SOCKETS: dict[str, dict[str, str | None]] = {
    "/api/socket": {
        "auth": None,
        "ping": None,
        "follow": '{"type":"follow","conversation":"{conversation}","after":null}',
        "unfollow": '{"type":"unfollow","conversation":"{conversation}"}',
        "say": '{"type":"say","conversation":"{conversation}","input":"x"}',
        "cancel": '{"type":"cancel","conversation":"{conversation}","turn":"{turn}"}',
    },
    # Made of the same verbs; one reads what the link leads to and nothing else (tests/server/test_links.py).
    "/api/shared/{token}/socket": {},
    "/v1/responses": {
        "response.create": '{"type":"response.create","model":"m","input":"x","conversation":"{conversation}"}',
        "response.create behind": (
            '{"type":"response.create","model":"m","input":"x","previous_response_id":"{response}"}'
        ),
    },
    # A session's own conversation: no id can be said.
    "/chat": {},
}
