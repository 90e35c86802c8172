"""X23, X29: every route says who may use it, and what is somebody else's is answered like what nobody has."""

import json
import re
import secrets
from typing import Any, get_args

import aiohttp
import pytest
from starlette.routing import BaseRoute, Route, WebSocketRoute

from parley.core import ids
from parley.core.limits import Limits
from parley.server.app import GROUPS
from parley.server.config import Choice
from parley.wire.commands import Command
from parley.wire.openai.items import item_id
from tests.security.inventory import INVENTORY, SOCKETS, Ask
from tests.server.harness import House, house
from tests.server.test_auth import BEARER, KEY, session
from tests.store.harness import run

IDS = ("conversation", "turn", "response", "item", "token")
# An id that is somebody else's, or nobody's, is a new conversation there.
NAMED_BY_CLIENTS = {path for path in INVENTORY if path.startswith(("/ai/", "/api/my/", "/web/", "/action/"))}
# The same on every request, or of this one alone.
PASSING = {"date", "x-request-id", "content-length", "mcp-session-id"}
WRITTEN = "Write it into tests/security/inventory.py, which says how."

Names = dict[str, str]


def spelled(path: str) -> str:
    """A path with the names its parameters have in it left out."""
    return re.sub(r"\{\w+(:path)?\}", r"{\1}", path)


def routes(home: House) -> list[BaseRoute]:
    return [route for group in GROUPS for route in group(home.served[0].server.app.parts)]


def test_every_route_and_verb_is_in_the_inventory() -> None:
    async def main() -> None:
        async with house() as home:
            known = {spelled(path): path for path in INVENTORY}
            found = set()
            for route in routes(home):
                assert isinstance(route, Route | WebSocketRoute), f"{route} is of a new kind. {WRITTEN}"
                path = known.get(spelled(route.path))
                assert path is not None, f"{route.path} is a new route. {WRITTEN}"
                found.add(path)
                if isinstance(route, WebSocketRoute):
                    assert any(spelled(each) == spelled(route.path) for each in SOCKETS), f"{path}: {WRITTEN}"
                elif INVENTORY[path].access in ("PRINCIPAL", "LINK") and any(f"{{{each}" in path for each in IDS):
                    asked = {ask.method for ask in INVENTORY[path].asks}
                    assert set(route.methods or ()) - {"HEAD"} == asked, f"{path} knows other methods. {WRITTEN}"
            assert set(INVENTORY) == found, "the inventory names routes that are not there"
            verbs = {kind.__struct_config__.tag for kind in get_args(Command)}
            assert set(SOCKETS["/api/socket"]) == verbs, f"the socket knows other verbs. {WRITTEN}"

    run(main())


def test_whoever_shows_nothing_is_refused_where_somebody_must_be() -> None:
    """And where only the owner may be, a session is; HEAD is asked as well."""

    async def main() -> None:
        async with house(access_key=KEY, models=(Choice("m"),), default="m") as home:
            ann = await session(home)
            for route in routes(home):
                if not isinstance(route, Route):
                    continue
                path = next((each for each in INVENTORY if spelled(each) == spelled(route.path)), "")
                assert path, f"{route.path} is a new route. {WRITTEN}"
                access, url = INVENTORY[path].access, filled(path, nobody())
                for method in sorted(route.methods or ()):
                    status, _, body = await ask(home, method, url, "{}", {})
                    if access in ("PRINCIPAL", "OWNER"):
                        assert status == 401, (method, path, body)
                    elif access == "LINK":
                        assert status == 404, (method, path, body)
                    if access == "OWNER" and method == "POST":
                        status, _, body = await ask(home, method, f"{url}?name=x", '{"name":"x"}', ann)
                        assert status == 403, (method, path, body)

    run(main())


def nobody() -> Names:
    """Ids of the right form that nobody has."""
    conversation = ids.conversation_id(secrets.token_bytes(16), 1)
    return named(conversation, ids.turn_id(conversation, secrets.token_hex(4)), secrets.token_urlsafe(16))


def named(conversation: str, turn: str, link: str) -> Names:
    response = ids.response_id(conversation, turn)
    return {
        "conversation": conversation,
        "turn": turn,
        "response": response,
        "item": item_id("message", response, 0),
        "token": conversation.removeprefix("conv_") + link,
    }


async def own(home: House, headers: dict[str, str]) -> Names:
    """A conversation of somebody's, with a turn that was answered, and a link to it."""
    made = await home.call("POST", "/api/conversations", {}, expect=201, headers=headers)
    path = f"/api/conversations/{made['id']}"
    receipt = await home.call("POST", f"{path}/turns", {"input": "a secret"}, expect=202, headers=headers)
    await home.answer("an answer")
    link = await home.call("POST", f"{path}/share", {}, expect=201, headers=headers)
    names = named(made["id"], receipt["turn"], "")
    return names | {"token": link["token"]}


def filled(text: str, names: Names) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
    return re.sub(r"\{(ns|pkg|action|action:path|name:path|digest|path:path|id)\}", "assistant", text)


async def ask(
    home: House, method: str, path: str, body: str, headers: dict[str, str], *, read: bool = True
) -> tuple[int, dict[str, str], str]:
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"} | headers
    data = body if method in ("POST", "PATCH", "PUT") else None
    async with home.http.request(
        method, home.served[0].url + path, data=data, headers=sent, timeout=aiohttp.ClientTimeout(30)
    ) as answer:
        told = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in PASSING}
        return answer.status, told, (await answer.text() if read else "")


ASKS = [(path, each) for path, entry in INVENTORY.items() for each in entry.asks]


def test_what_is_somebody_elses_is_answered_like_what_nobody_has() -> None:
    """X23, B36, B44: status, headers and body, on every route that takes an id, for a session and for the owner."""

    async def main() -> None:
        limits = {"limits": Limits(posts=0)}
        async with house(access_key=KEY, models=(Choice("m"),), default="m", bench_options=limits) as home:
            ann, bob = await session(home, "Ann"), await session(home, "Bob")
            foreign = await own(home, ann)
            # The link's beginning with another end is no link.
            foreign["token"] = foreign["token"][:34] + secrets.token_urlsafe(16)
            for path, each in ASKS:
                for who in (bob, BEARER):
                    told = []
                    for names in (foreign, nobody()):
                        status, headers, body = await ask(
                            home, each.method, filled(path, names) + each.tail, filled(each.body, names), who
                        )
                        for name in names.values():
                            body = body.replace(name, "*")
                        told.append((status, headers, volatile(body)))
                    assert told[0] == told[1], (each.method, path, each.body)
                    assert "secret" not in told[0][2]
                    # Or both were refused for another reason, which would prove nothing.
                    if path not in NAMED_BY_CLIENTS:
                        assert "not_found" in told[0][2] or "does not exist" in told[0][2], (path, each.body, told)
            # Nothing of it did anything.
            shown = await home.call("GET", f"/api/conversations/{foreign['conversation']}", headers=ann)
            assert (shown["about"]["title"], shown["about"]["turns"]) == ("a secret", 1)

    run(main())


def volatile(body: str) -> str:
    """A body without what differs from one new thing to the next: its ids, and when it was made."""
    body = re.sub(r"\b(conv|resp|msg)_[0-9a-f]{34,}\b|\b[0-9a-f]{16,34}\b", "*", body)
    return re.sub(r'"(created_at|expires_at|at)":\d+', r'"\1":0', body)


def test_what_is_ones_own_is_answered() -> None:
    """So that the test before this one has something to tell apart."""

    async def main() -> None:
        async with house(access_key=KEY, models=(Choice("m"),), default="m") as home:
            for path, each in ASKS:
                if not each.own:
                    continue
                # A session, where it may not, and else the owner, who has no rate.
                owner = await session(home) if each.own == 403 else BEARER
                names = await own(home, owner)
                who = {} if INVENTORY[path].access == "LINK" else owner
                status, _, body = await ask(
                    home, each.method, filled(path, names) + each.tail, filled(each.body, names), who, read=False
                )
                assert status == each.own, (each.method, path, each.body, body)

    run(main())


@pytest.mark.parametrize("path", [path for path, verbs in SOCKETS.items() if verbs])
def test_sockets_tell_nobody_what_is_somebody_elses(path: str) -> None:
    async def main() -> None:
        async with house(access_key=KEY, models=(Choice("m"),), default="m") as home:
            ann, bob = await session(home, "Ann"), await session(home, "Bob")
            foreign = await own(home, ann)
            url = f"ws://127.0.0.1:{home.served[0].port}{path}"
            async with home.http.ws_connect(url, headers=bob) as line:
                for verb, message in SOCKETS[path].items():
                    if message is None:
                        continue
                    told: list[Any] = []
                    for names in (foreign, nobody()):
                        await line.send_str(filled(message, names))
                        if verb == "unfollow":  # it is never answered: what comes next is
                            await line.send_str('{"type":"ping"}')
                        text = (await line.receive()).data
                        told.append(json.loads(volatile(text)))
                    assert told[0] == told[1], verb
                    assert told[0]["type"] == ("pong" if verb == "unfollow" else "error"), told

    run(main())


def test_the_inventory_is_used() -> None:
    assert len(ASKS) > 40
    assert all(isinstance(each, Ask) for _, each in ASKS)
