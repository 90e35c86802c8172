"""A web server as a process of its own: ``python -m tests.server.process REDIS_URL LISTENING_FD``."""

import sys

from parley.core.limits import Lifetimes, Limits
from parley.server.config import Config, Store
from parley.server.run import serve
from parley.store.connect import connect
from parley.store.conversations import Conversations
from parley.store.durability import NoBarrier
from parley.store.keys import Keys
from parley.store.sessions import Sessions
from tests.store.harness import PREFIX


def main(url: str, fd: int) -> None:
    client, keys, lifetimes = connect(url), Keys(PREFIX, 1), Lifetimes()
    conversations = Conversations(client, keys, Limits(), lifetimes, NoBarrier())
    store = Store(connect(url, blocking=True), keys, conversations, Sessions(client, keys, lifetimes))
    serve(Config(), store, fd=fd)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
