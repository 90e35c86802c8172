"""Parley: a durable, stateful, streaming conversation server.

What a program needs is imported from here; nothing is loaded before it is used.
"""

from importlib import import_module

# As in `typing`, which would cost a program that wants nothing of it 10 ms.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from parley.app import App
    from parley.client.chat import AsyncChat
    from parley.client.client import AsyncClient
    from parley.client.errors import (
        Busy,
        Closed,
        Conflict,
        Error,
        InvalidRequest,
        ModelError,
        NotAllowed,
        NotFound,
        Rewound,
        ServerFault,
        Unreachable,
    )
    from parley.client.progress import Notice
    from parley.client.reply import AsyncReply, Delta, Rewind
    from parley.client.sync import Chat, Client, Reply
    from parley.client.values import Event
    from parley.core.message import Message, Parameters
    from parley.models.python import model

__version__ = "0.1.0"

# Where each name lives.
_HOMES = {
    "parley.app": ("App",),
    "parley.client.chat": ("AsyncChat",),
    "parley.client.client": ("AsyncClient",),
    "parley.client.errors": (
        "Busy", "Closed", "Conflict", "Error", "InvalidRequest", "ModelError", "NotAllowed", "NotFound", "Rewound",
        "ServerFault", "Unreachable",
    ),
    "parley.client.progress": ("Notice",),
    "parley.client.reply": ("AsyncReply", "Delta", "Rewind"),
    "parley.client.sync": ("Chat", "Client", "Reply"),
    "parley.client.values": ("Event",),
    "parley.core.message": ("Message", "Parameters"),
    "parley.models.python": ("model",),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "App",
    "AsyncChat",
    "AsyncClient",
    "AsyncReply",
    "Busy",
    "Chat",
    "Client",
    "Closed",
    "Conflict",
    "Delta",
    "Error",
    "Event",
    "InvalidRequest",
    "Message",
    "ModelError",
    "NotAllowed",
    "NotFound",
    "Notice",
    "Parameters",
    "Reply",
    "Rewind",
    "Rewound",
    "ServerFault",
    "Unreachable",
    "__version__",
    "model",
]


if not TYPE_CHECKING:  # a name that is not there is an error, and that is told before it happens

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOME[name]), name)

    def __dir__() -> list[str]:
        return __all__
