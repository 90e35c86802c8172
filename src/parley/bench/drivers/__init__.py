"""The ways into a server: one driver a protocol, all the same from outside."""

from parley.bench.drivers.base import Driver, Refused
from parley.bench.drivers.native import Native
from parley.bench.drivers.openai import Chat, Responses
from parley.bench.drivers.seed import Seed
from parley.bench.drivers.sse import Sse

# name -> the driver and the path of its base URL on a Parley server.
DRIVERS: dict[str, tuple[type[Driver], str]] = {
    "websocket": (Native, ""),
    "sse": (Sse, ""),
    "chat": (Chat, "/v1"),
    "responses": (Responses, "/v1"),
    "tutorial": (Seed, ""),
}

__all__ = ["DRIVERS", "Chat", "Driver", "Native", "Refused", "Responses", "Seed", "Sse"]
