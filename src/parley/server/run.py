"""Run a web server: uvicorn from our own code, told to go by a signal, going without breaking anything off."""

import asyncio
import ipaddress
import logging
import resource
import socket
from types import FrameType

import uvicorn
import uvloop

from parley.core.errors import Unavailable
from parley.server.app import App
from parley.server.config import Config, Store
from parley.server.protocols import HttpProtocol, SocketProtocol

# Between telling clients to come back later and closing the door, for the words to arrive.
GOODBYE_SECONDS = 0.2
KEEP_ALIVE_SECONDS = 15
# What the kernel keeps unsent of one connection (Linux counts twice as much, with its own needs).
SEND_BYTES = 64 * 1024


class Server(uvicorn.Server):
    """uvicorn's server, which says goodbye before it closes the door."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self.app = app
        self._going = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to go; a second one is a signal to go now."""
        if self._going:
            self.should_exit = self.force_exit = True
            return
        self._going = True
        self._loop.call_soon_threadsafe(self.go)

    def go(self) -> None:
        """Say goodbye and close the door a moment later."""
        self._going = True
        told = self.app.drain()
        self._loop.call_later(GOODBYE_SECONDS if told else 0, setattr, self, "should_exit", True)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to go, on sockets that are tuned here: whoever serves has them so, under any event loop."""
        self._loop = asyncio.get_running_loop()
        for listener in sockets or ():
            tune(listener)
        await super().serve(sockets)


def make(config: Config, store: Store) -> Server:
    """A server for these parts; `serve(sockets=[listening socket])` runs it."""
    app = App(config, store)
    logger = logging.getLogger("uvicorn.error")
    logger.setLevel(logging.WARNING)  # its information holds addresses with tokens
    logger.addFilter(worth_saying)
    settings = uvicorn.Config(
        app.app,
        http=HttpProtocol,
        ws=SocketProtocol,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whoever connects is who connects
        server_header=False,
        ws_max_size=config.body_bytes,
        ws_per_message_deflate=False,  # 40 kB a socket, and a bomb
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(config.drain_seconds)),
    )
    return Server(settings, app)


def worth_saying(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is news: an upgrade that was refused, or whose client left, is not."""
    return "without completing handshake" not in record.getMessage()


def listen(config: Config) -> socket.socket:
    """A listening socket at the configured address.

    Raises:
        Unavailable: the address cannot be had, or is not this machine's alone and there is no access key.
    """
    require_key(config)
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise Unavailable("host_unknown", f"cannot listen at {config.host}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        where = f"{config.host}:{config.port}"
        raise Unavailable("address_in_use", f"cannot listen at {where}: {error.strerror}") from None
    return listener


def tune(listener: socket.socket) -> None:
    """Set what connections inherit from the socket they are accepted on."""
    # Without it a small frame waits some 40 ms for the one before to be acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Without it the kernel keeps some 2.5 MB for each client that does not read.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)


def require_key(config: Config) -> None:
    """Refuse to be open to a network.

    Raises:
        Unavailable: `access_key_required`.
    """
    if not config.access_key and not is_loopback(config.host):
        message = f"{config.host} can be reached by others: set an access key, or listen at 127.0.0.1"
        raise Unavailable("access_key_required", message)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def raise_file_limit() -> None:
    """Let this process hold as many connections as it may; many systems begin with 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve(config: Config, store: Store, *, fd: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT; returns when everything under way is done.

    Args:
        fd: a listening socket that was inherited; it is closed in the end.

    Raises:
        Unavailable: see `listen`.
    """
    require_key(config)
    raise_file_limit()
    listener = listen(config) if fd is None else socket.socket(fileno=fd)
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(make(config, store).serve([listener]))
