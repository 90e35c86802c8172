"""The description of the sockets, as AsyncAPI 3.0."""

import re
from typing import Any

import msgspec

from parley import __version__
from parley.core.event import Event
from parley.server.openapi.document import Object, portable
from parley.wire.commands import AuthFrame, CancelFrame, FollowFrame, PingFrame, SayFrame, UnfollowFrame
from parley.wire.openai.socket import CreateOnSocket

# address, what it is for, what a client may send (types), what it is sent
SOCKETS: tuple[tuple[str, str, tuple[Any, ...], tuple[Any, ...]], ...] = (
    (
        "/api/socket",
        "Any number of conversations (docs/reference/protocol.md).",
        (AuthFrame, FollowFrame, UnfollowFrame, SayFrame, CancelFrame, PingFrame),
        (Event,),
    ),
    (
        "/api/shared/{token}/socket",
        "One conversation, as readers of a link follow it.",
        (FollowFrame, UnfollowFrame, PingFrame),
        (Event,),
    ),
    (
        "/v1/responses",
        "Responses, one after the other (docs/reference/openai.md).",
        (CreateOnSocket,),
        (dict[str, Any],),
    ),
    ("/chat", "The second seed's: texts in, whole replies out (docs/reference/seeds.md).", (str,), (dict[str, Any],)),
)


def sockets() -> Object:
    """The whole document."""
    kinds = list(dict.fromkeys(kind for _, _, sent, told in SOCKETS for kind in (*sent, *told)))
    made, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(kinds, made, strict=True))
    channels: Object = {}
    operations: Object = {}
    for address, does, sent, told in SOCKETS:
        name = re.sub(r"[^a-z0-9]+", "_", address).strip("_")
        messages = {
            **{_name(kind): {"payload": schemas[kind]} for kind in sent},
            **{f"told_{_name(kind)}": {"payload": schemas[kind]} for kind in told},
        }
        parameters: Object = {each: {} for each in re.findall(r"\{(\w+)\}", address)}
        channels[name] = {"address": address, "description": does, "messages": messages}
        if parameters:
            channels[name]["parameters"] = parameters
        for action, kinds_of, prefix in (("receive", sent, ""), ("send", told, "told_")):
            operations[f"{action}_{name}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{prefix}{_name(kind)}"} for kind in kinds_of],
            }
    whole: Object = portable(
        {
            "asyncapi": "3.0.0",
            "info": {"title": "Parley", "version": __version__},
            "channels": channels,
            "operations": operations,
            "components": {"schemas": components},
        }
    )
    return whole


def _name(kind: Any) -> str:
    return {dict[str, Any]: "object", Event: "event", str: "text"}.get(kind) or kind.__name__
