"""A chat with a model, as the course's first class has it: add lines, complete, look at the messages.

    ch = Chat({})
    ch.add("user:Italy")
    ch.complete()

The server is named by `OLLAMA_HOST` and `AUTH` (or `OLLAMA_HOSTPORT`, `OLLAMA_API_HOST`, `OLLAMA_PROTO`, `OLLAMA_AUTH`,
`OLLAMA_TOKEN`), the model by `MODEL`: in `args`, else in the environment. Without `MODEL` it is the first one that the
server lists.
"""

import contextlib
import ipaddress
import queue
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from parley.core.message import Message, Parameters, Transcript
from parley.core.pieces import Piece
from parley.core.window import Exchange, Window, select
from parley.models import registry
from parley.models.discovery import offered
from parley.models.model import Model, ModelError
from parley.models.secret import Secret
from parley.models.settings import ModelSettings
from parley.seeds import line, settings
from parley.seeds.background import background
from parley.seeds.relay import Relay

# What every chat begins with; it is shown to the model and never stored. `args` may hold another ROLE.
ROLE = "You are an helpful assistant."

# Seconds for a server to list its models.
ASK = 10.0


class Chat:
    """What is said to a model, in order, and its answers.

    Attributes:
        messages: dictionaries of `role` and `content`, the system's first one included.
        args: what this chat was made with; `STREAM_HOST` and `STREAM_PORT` name the socket answers also go down.
        state: the history that was loaded, for whoever listens there.

    Raises:
        SettingsError: no server is named, or it cannot be used.
    """

    def __init__(self, args: settings.Args) -> None:
        self.args = args
        self.state = ""
        self.messages: list[dict[str, str]] = []
        self._url, self._key = settings.upstream(args)
        self._name = settings.text(args, "MODEL")
        self.add(f"system:{args.get('ROLE') or ROLE}")

    def add(self, message: str) -> None:
        """Add a message, ``role:content``.

        Raises:
            ValueError: it has no colon, or a role nobody has.
        """
        said = line.parse(message)
        self.messages.append({"role": said.role, "content": said.content})

    @property
    def model(self) -> str:
        """The model's name.

        Raises:
            ModelError: none is named, and the server does not list any.
        """
        if not self._name:
            self._name = _first_listed(self._url, self._key)
        return self._name

    def complete(self) -> str:
        """Ask the model and add its answer to the messages. Replies the answer.

        The answer goes down the streamer's socket too, where `args` names one. With nothing to answer, that is, no
        message but the system's, the model is not asked: the reply is a greeting, which is not added.

        Raises:
            ModelError: the model failed; nothing was added.
        """
        return stream(self.args, self.stream(), self.state)

    def stream(self) -> Iterator[str]:
        """As `complete`, piece by piece; the pieces joined are what is added, once they were all taken.

        Raises:
            ModelError: while iterating.
        """
        if all(message["role"] in ("system", "developer") for message in self.messages):
            yield f"Hello from {self.model}"
            return
        said: list[str] = []
        with contextlib.closing(self._pieces()) as pieces:
            for piece in pieces:
                said.append(piece)
                yield piece
        self.messages.append({"role": "assistant", "content": "".join(said)})

    def _pieces(self) -> Generator[str, None, None]:
        """The model's pieces of text; closing the iterator ends the request."""
        model = _model(self._url, self.model, self._key)
        transcript = Transcript(window(self.messages), Parameters())
        arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        async def ask() -> None:
            try:
                async with contextlib.aclosing(model.answer(transcript)) as answer:
                    async for item in answer:
                        if isinstance(item, Piece) and item.channel == "text":
                            arriving.put(item.text)
            finally:
                arriving.put(None)

        asked = background.submit(ask())
        try:
            while (text := arriving.get()) is not None:
                yield text
            asked.result()
        finally:
            asked.cancel()


def stream(args: settings.Args, lines: Iterable[Any], state: str = "") -> str:
    """Send an answer down the socket that `STREAM_HOST` and `STREAM_PORT` in `args` name, if they do. Replies it.

    The answer is taken to its end whether somebody reads or not. Where strangers can set `STREAM_HOST`, name the hosts
    and networks that may be connected to in `PARLEY_STREAM_ALLOW`.

    Args:
        lines: pieces of text, or what an OpenAI client's stream gives.
        state: what the reader is to send back with his next message.

    Raises:
        SettingsError: the port is no port, or the host is not among `PARLEY_STREAM_ALLOW`.
        Whatever `lines` raises; the reader has been told that there was an error.
    """
    host, port = _stream_address(args)
    if not host:
        return "".join(map(text_of, lines))
    said: list[str] = []
    with Relay(host, port, state) as relay:
        try:
            for each in lines:
                if text := text_of(each):
                    said.append(text)
                    relay.write(text)
        except Exception as error:
            relay.write(f"\n\n[error {error.code if isinstance(error, ModelError) else type(error).__name__}]")
            raise
    return "".join(said)


def text_of(piece: Any) -> str:
    """The text of a piece: of a string, or of a chunk of OpenAI's client; never what Python prints of an object.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(piece, str):
        return piece
    try:
        choices = piece.choices
        text = choices[0].delta.content if choices else None
    except (AttributeError, IndexError, TypeError):
        raise TypeError(
            f"a piece of an answer is text or a chunk of a completion, not {type(piece).__name__}"
        ) from None
    if text is not None and not isinstance(text, str):
        raise TypeError(f"a chunk's content is text, not {type(text).__name__}")
    return text or ""


def window(messages: list[dict[str, str]]) -> tuple[Message, ...]:
    """The messages a model is shown: those of the system that lead, and the newest exchanges that fit."""
    said = [line.parse(f"{message['role']}:{message['content']}") for message in messages]
    lead = next((at for at, message in enumerate(said) if message.role not in ("system", "developer")), len(said))
    exchanges: list[list[Message]] = []
    answered = True
    for message in said[lead:]:
        if answered and message.role != "assistant":
            exchanges.append([])
        exchanges[-1].append(message)
        answered = message.role == "assistant"
    return (*said[:lead], *select([Exchange(tuple(each)) for each in exchanges], Window()))


def _first_listed(url: str, key: Secret) -> str:
    try:
        names = offered(url, key, ASK).names
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ModelError("model_not_found", f"MODEL is not set, and the server lists no models: {reason}") from None
    if not names:
        raise ModelError("model_not_found", "MODEL is not set, and the server has no model")
    return names[0]


def _model(url: str, name: str, key: Secret) -> Model:
    """A model, with connections that stay between calls."""

    def make() -> tuple[Model, Any]:
        try:
            made = registry.build(ModelSettings(name=name, url=url, model=name, api_key=key))
        except ValueError as error:
            raise settings.SettingsError(f"OLLAMA_HOST or AUTH cannot be used: {error}") from None
        return made, made.close

    return background.keep((url, name, key), make)


def _stream_address(args: settings.Args) -> tuple[str, int]:
    host, port = args.get("STREAM_HOST"), args.get("STREAM_PORT")
    if not host or not port:
        return "", 0
    if not str(port).isascii() or not str(port).isdigit() or not 0 < int(port) < 65536:
        raise settings.SettingsError(f"STREAM_PORT is a number from 1 to 65535, not {str(port)[:20]!r}")
    allowed = settings.text(args, "PARLEY_STREAM_ALLOW")
    if allowed and not any(_matches(str(host), pattern) for pattern in allowed.replace(",", " ").split()):
        raise settings.SettingsError("STREAM_HOST is not among PARLEY_STREAM_ALLOW")
    return str(host), int(port)


def _matches(host: str, pattern: str) -> bool:
    """Whether a host is the one that is allowed, or an address in the network that is."""
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return host.lower() == pattern.lower()


__all__ = ["ROLE", "Chat", "ModelError", "stream"]
