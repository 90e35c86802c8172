"""The parts of one server, made once and handed to whoever needs them."""

from parley.server.auth import Auth
from parley.server.config import Config, Store
from parley.server.events import Streams
from parley.server.hub import Hub
from parley.server.service import Service
from parley.server.sharing import Sharing


class Parts:
    """One of each."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self.auth = Auth(config.access_key, store.sessions)
        self.hub = Hub(config, store)
        self.service = Service(config, store)
        self.sharing = Sharing(self.service)
        self.streams = Streams(self.hub, self.service)
