"""The native protocol (docs/reference/protocol.md), described."""

from typing import Annotated, Literal

from msgspec import Meta

from parley.server.openapi.operation import EVENTS, JSON, Answer, Group, Operation, Query
from parley.server.openapi.shapes import (
    Cancelled,
    Choices,
    Conversation,
    Conversations,
    Deleted,
    Description,
    Error,
    Health,
    Queue,
    Receipt,
    Session,
    Share,
    SharedSnapshot,
    SharedTurns,
    Snapshot,
    Turn,
    Turns,
    Written,
)
from parley.wire.commands import Create, Describe, Empty, Fork, OpenSession, Say
from parley.wire.kept import Restore

Key = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
KEY = Query("Idempotency-Key", Key, place="header")
INDEX = Annotated[int, Meta(ge=0, le=1_000_000)]
PAGE = Annotated[int, Meta(ge=1, le=200)]
SHOWN = Annotated[int, Meta(ge=0, le=200)]
AFTER = (Query("after"), Query("Last-Event-ID", place="header"))

ONE = "/api/conversations/{id}"
TURN = ONE + "/turns/{turn}"
SHARED = "/api/shared/{token}"

FOLLOWED = {200: Answer("frames as they happen", None, (EVENTS,)), 204: Answer("idle, and nothing behind the cursor")}

NATIVE = Group(
    "conversations",
    "Parley's own protocol.",
    Error,
    {
        "GET /healthz": Operation("whether this process lives", {200: Answer("it does", Health)}, open=True),
        "GET /readyz": Operation("whether it can serve", {200: Answer("it can", Health)}, open=True),
        "POST /api/conversations": Operation(
            "begin a conversation",
            {201: Answer("it is new", Conversation), 200: Answer("it was there: the same key", Conversation)},
            body=Create,
            optional=True,
            query=(KEY,),
        ),
        "GET /api/conversations": Operation(
            "list conversations, last spoken in first",
            {200: Answer("a page", Conversations)},
            query=(Query("limit", PAGE), Query("offset", INDEX)),
        ),
        f"GET {ONE}": Operation(
            "show a conversation with its newest turns",
            {200: Answer("a snapshot", Snapshot)},
            query=(Query("turns", SHOWN),),
        ),
        f"PATCH {ONE}": Operation("describe it anew", {200: Answer("how it is now", Conversation)}, body=Describe),
        f"DELETE {ONE}": Operation("forget it", {200: Answer("it is gone", Deleted)}),
        f"GET {ONE}/description": Operation(
            "show its instructions and parameters, to the owner only", {200: Answer("all of it", Description)}
        ),
        f"POST {ONE}/turns": Operation(
            "say something",
            {
                202: Answer("it was accepted", Receipt),
                200: Answer("it was accepted before: the same key; or frames, if asked for", Receipt, (JSON, EVENTS)),
            },
            body=Say,
            query=(KEY,),
        ),
        f"GET {ONE}/turns": Operation(
            "page through history, oldest first",
            {200: Answer("a page", Turns)},
            query=(Query("limit", PAGE), Query("before", INDEX)),
        ),
        f"POST {ONE}/turns/restore": Operation(
            "write down turns that have ended elsewhere, for the owner only",
            {200: Answer("how many were new", Written)},
            body=Restore,
        ),
        f"GET {TURN}": Operation("show a turn", {200: Answer("the turn", Turn)}),
        f"POST {TURN}/cancel": Operation(
            "stop a turn, or withdraw it", {200: Answer("how it stands", Cancelled)}, body=Empty, optional=True
        ),
        f"GET {ONE}/queue": Operation("show what waits", {200: Answer("turns", Queue)}),
        f"POST {ONE}/fork": Operation(
            "begin a conversation with the path up to a turn",
            {201: Answer("it is new", Conversation), 200: Answer("it was there: the same key", Conversation)},
            body=Fork,
            query=(KEY,),
        ),
        f"POST {ONE}/share": Operation(
            "make a link for readers", {201: Answer("the link", Share)}, body=Empty, optional=True
        ),
        f"DELETE {ONE}/share": Operation("end its link", {204: Answer("there is none any more")}),
        f"GET {ONE}/events": Operation(
            "follow it", FOLLOWED, query=(*AFTER, Query("until", Literal["idle"]), Query("turns", SHOWN))
        ),
        "GET /api/models": Operation("list models and assistants", {200: Answer("what there is", Choices)}),
        "POST /api/sessions": Operation(
            "make a session token, as the owner", {201: Answer("the token", Session)}, body=OpenSession
        ),
        "DELETE /api/sessions/current": Operation("end the session that asks", {204: Answer("it is over")}),
        f"GET {SHARED}": Operation(
            "read what a link shows",
            {200: Answer("a snapshot", SharedSnapshot)},
            query=(Query("turns", SHOWN),),
            open=True,
        ),
        f"GET {SHARED}/turns": Operation(
            "page through what a link shows",
            {200: Answer("a page", SharedTurns)},
            query=(Query("limit", PAGE), Query("before", INDEX)),
            open=True,
        ),
        f"GET {SHARED}/events": Operation("follow what a link shows", FOLLOWED, query=AFTER, open=True),
        "GET /openapi.json": Operation("this description", {200: Answer("OpenAPI 3.1")}, open=True),
        "GET /asyncapi.json": Operation("the sockets' description", {200: Answer("AsyncAPI 3.0")}, open=True),
    },
)
