"""The protocols of other people's clients, described: what is asked by our types, what is answered in outline."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from parley.server.openai.context import Compact, CountTokens
from parley.server.openapi.native import KEY
from parley.server.openapi.operation import ANY, EVENTS, HTML, JSON, TEXT, Answer, Group, Operation, Query
from parley.server.openapi.shapes import (
    Detail,
    Error,
    LoggedIn,
    OllamaError,
    Output,
    RpcAnswer,
    SeedSession,
    Thing,
    Things,
)
from parley.server.seeds import Name
from parley.wire.agui import RunAgentInput
from parley.wire.ollama.requests import AskChat, AskGenerate, AskShow
from parley.wire.openai.requests import AddItems, CreateChat, CreateConversation, CreateResponse, UpdateConversation
from parley.wire.serverless import Asked, LogIn, Shown
from parley.wire.uimessage import PostChat, StopChat

LINES = "application/x-ndjson"
PAGE = (
    Query("limit", Annotated[int, Meta(ge=1, le=100)]),
    Query("order", Literal["asc", "desc"]),
    Query("after"),
)
FLAG = Literal["true", "false"]
STREAM = (Query("stream", FLAG), Query("starting_after", Annotated[int, Meta(ge=0, le=999_999_999)]))
OBJECT = Answer("as OpenAI describes it", Thing)
MAYBE_STREAM = Answer("as OpenAI describes it; events, if asked for", Thing, (JSON, EVENTS))
LIST = Answer("as OpenAI describes it", Things)
ANYTHING = Answer("as OpenAI describes it", dict[str, Any])

RESPONSE = "/v1/responses/{id}"
KEPT = "/v1/conversations/{id}"
OPENAI = Group(
    "openai",
    "OpenAI's Responses, Conversations and Chat Completions (docs/reference/openai.md).",
    Error,
    {
        "POST /v1/responses": Operation("ask for a response", {200: MAYBE_STREAM}, body=CreateResponse, query=(KEY,)),
        f"GET {RESPONSE}": Operation("fetch a response, or its events", {200: MAYBE_STREAM}, query=STREAM),
        f"DELETE {RESPONSE}": Operation("withdraw a response", {200: OBJECT}),
        f"POST {RESPONSE}/cancel": Operation("stop one in the background", {200: OBJECT}),
        f"GET {RESPONSE}/input_items": Operation("list what was said", {200: LIST}, query=PAGE),
        "POST /v1/responses/input_tokens": Operation("count tokens", {200: ANYTHING}, body=CountTokens),
        "POST /v1/responses/compact": Operation("sum up what was said", {200: OBJECT}, body=Compact),
        "POST /v1/conversations": Operation(
            "begin a conversation", {200: OBJECT}, body=CreateConversation, optional=True, query=(KEY,)
        ),
        f"GET {KEPT}": Operation("show a conversation", {200: OBJECT}),
        f"POST {KEPT}": Operation("change its metadata", {200: OBJECT}, body=UpdateConversation),
        f"DELETE {KEPT}": Operation("forget a conversation", {200: OBJECT}),
        f"GET {KEPT}/items": Operation("list its items", {200: LIST}, query=PAGE),
        f"POST {KEPT}/items": Operation("add items", {200: LIST}, body=AddItems, query=(KEY,)),
        f"GET {KEPT}/items/{{item}}": Operation("show an item", {200: ANYTHING}),
        f"DELETE {KEPT}/items/{{item}}": Operation("take an item out", {200: OBJECT}),
        "POST /v1/chat/completions": Operation("complete a chat", {200: MAYBE_STREAM}, body=CreateChat, query=(KEY,)),
        "GET /v1/models": Operation("list models", {200: LIST}),
        "GET /v1/models/{name}": Operation("show a model", {200: OBJECT}),
    },
)

CHAT = "/ai/chat/{id}"
CHUNKS = Answer("events", None, (EVENTS,))
STOPPED = Answer("whether there was one, and how it stands", dict[str, Any])
UI = Group(
    "pages",
    "The AI SDK's chat and AG-UI's runs (docs/reference/ui-protocols.md).",
    Error,
    {
        "POST /ai/chat": Operation("say something in a chat", {200: CHUNKS}, body=PostChat, query=(KEY,)),
        f"GET {CHAT}/stream": Operation("go on with a reply", {200: CHUNKS, 204: Answer("nothing is being said")}),
        f"DELETE {CHAT}/stream": Operation("stop a reply", {200: STOPPED}, body=StopChat, optional=True),
        f"POST {CHAT}/stop": Operation("stop a reply", {200: STOPPED}, body=StopChat, optional=True),
        f"GET {CHAT}/messages": Operation(
            "load a chat", {200: Answer("messages", list[Any])}, query=(Query("turns", Annotated[int, Meta(ge=1)]),)
        ),
        "POST /agui": Operation("run an agent", {200: CHUNKS}, body=RunAgentInput, query=(KEY,)),
    },
)

PIECES = Answer("as Ollama describes it; lines, unless told otherwise", dict[str, Any], (JSON, LINES))
OLLAMA = Group(
    "ollama",
    "Ollama's own API (docs/reference/ollama.md).",
    OllamaError,
    {
        "POST /api/chat": Operation("say something", {200: PIECES}, body=AskChat),
        "POST /api/generate": Operation("complete a prompt", {200: PIECES}, body=AskGenerate),
        "GET /api/tags": Operation("list models", {200: Answer("models", dict[str, Any])}),
        "GET /api/ps": Operation("list models that are loaded", {200: Answer("models", dict[str, Any])}),
        "POST /api/show": Operation("show a model", {200: Answer("the model", dict[str, Any])}, body=AskShow),
        "GET /api/version": Operation("tell the version", {200: Answer("the version", dict[str, str])}),
    },
)

STREAMS = Group(
    "streams",
    "Replies as durable streams (docs/reference/streams.md).",
    Error,
    {
        "GET /streams/{id}": Operation(
            "read a reply's events from an offset",
            {
                200: Answer("a part", list[Any], (JSON, EVENTS)),
                204: Answer("nothing came while it was waited for"),
                304: Answer("it has not changed"),
            },
            query=(Query("offset"), Query("live", Literal["long-poll", "sse"]), Query("cursor")),
        )
    },
)

MCP = Group(
    "mcp",
    "The Model Context Protocol over Streamable HTTP (docs/reference/mcp.md).",
    RpcAnswer,
    {
        "POST /mcp": Operation(
            "send a message",
            {200: Answer("its answer", RpcAnswer, (JSON, EVENTS)), 202: Answer("a notification was heard")},
            body=dict[str, Any],
        )
    },
)

TOKEN = Query("token", Annotated[str, Meta(max_length=1_000)])
SEEDS = Group(
    "chat",
    "The routes of the second seed (docs/reference/seeds.md).",
    Detail,
    {
        "GET /test": Operation("whether it is there", {200: Answer("it is", dict[str, str])}, open=True),
        "POST /token": Operation(
            "begin a session",
            {200: Answer("the session", SeedSession)},
            body=Name,
            optional=True,
            query=(Query("name"),),
        ),
        "GET /refresh_token": Operation(
            "renew a session", {200: Answer("the session", SeedSession)}, query=(TOKEN,), open=True
        ),
        "POST /refresh_token": Operation(
            "renew a session", {200: Answer("the session", SeedSession)}, query=(TOKEN,), open=True
        ),
    },
)


def _actions(path: str, does: str, answer: Answer) -> dict[str, Operation]:
    return {
        f"GET {path}": Operation(does, {200: answer}, body=Asked, optional=True),
        f"POST {path}": Operation(does, {200: answer}, body=Asked, optional=True),
    }


WHOLE = Answer("the reply", Output)
WRITTEN = Answer("the reply as it is written: a line of JSON a piece", None, (TEXT,))
ACTIONS = Group(
    "actions",
    "The routes of the first seed (docs/reference/seeds.md); errors have the form of what was asked for.",
    None,
    {
        "GET /api/my/mastrogpt/index": Operation("list assistants", {200: Answer("the menu", dict[str, Any])}),
        "POST /api/my/mastrogpt/login": Operation(
            "log in", {200: Answer("how it went", LoggedIn)}, body=LogIn, open=True
        ),
        "POST /api/my/mastrogpt/display": Operation(
            "show on the side", {200: Answer("HTML", None, (HTML,))}, body=Shown
        ),
        **_actions("/api/my/{pkg}/{action}", "say something to an assistant", WHOLE),
        **_actions("/web/{ns}/{action}", "say something and read along", WRITTEN),
        **_actions("/web/{ns}/{pkg}/{action}", "say something and read along", WRITTEN),
        **_actions("/action/{ns}/{action}", "say something and read along, with a key", WRITTEN),
        **_actions("/action/{ns}/{pkg}/{action}", "say something and read along, with a key", WRITTEN),
    },
    ANY,
)

FILE = Answer("a file", None, (ANY,))
SHOWN_PAGE = {
    200: Answer("the page; a word to who is no browser", None, (HTML, TEXT)),
    303: Answer("a token was taken from the address"),
}
FILES = Group(
    "files",
    "The page and its files; errors have the form of what was asked for.",
    None,
    {
        "GET /": Operation("the page", SHOWN_PAGE, query=(TOKEN,), open=True),
        "GET /c/{id}": Operation("the page of a conversation", SHOWN_PAGE, open=True),
        "GET /chat/{token}": Operation("the page of a session of the second seed", SHOWN_PAGE, open=True),
        "GET /s/{token}": Operation("the page of a link", SHOWN_PAGE, open=True),
        "GET /embed": Operation("the page within another one", SHOWN_PAGE, open=True),
        "GET /embed.js": Operation("what puts it there", {200: FILE}, open=True),
        "GET /static/{path}": Operation(
            "a file of the page", {200: FILE, 304: Answer("it has not changed")}, open=True
        ),
    },
    ANY,
)
