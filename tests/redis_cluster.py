"""A real Redis Cluster: primaries and their replicas on this machine, each a process of its own."""

import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tests.redis_sentinels import until
from tests.redis_servers import Server, binaries, free_port

# How long a node is silent until the others hold it for dead, in milliseconds: longer than a post has patience (2 s),
# and than a loaded machine takes to answer.
NODE_TIMEOUT = 3000


class Node(Server):
    """A server that is one of a cluster's; its bus has a port of its own."""

    def __init__(self, binary: Path, directory: Path, arguments: Sequence[str]) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT), "--bind", "127.0.0.1"]
        options += ["--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0"]
        options += ["--cluster-replica-validity-factor", "0", *arguments]
        super().__init__(binary, directory, bus_port(), options)

    def ask(self, *command: Any) -> Any:
        """What it replies."""
        with redis.Redis.from_url(f"unix://{self.socket}", protocol=2, socket_timeout=20) as client:
            return client.execute_command(*command)

    def about(self, section: str = "replication") -> dict[str, Any]:
        """What it says of itself."""
        with redis.Redis.from_url(f"unix://{self.socket}", protocol=2, socket_timeout=20) as client:
            found: dict[str, Any] = client.info(section)
            return found

    @property
    def name(self) -> str:
        """Its id in the cluster."""
        return str(self.ask("CLUSTER", "MYID").decode())

    def calls(self, command: str) -> int:
        """How often it was given a command."""
        return int(self.about("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))

    def errors(self, code: str) -> int:
        """How often it refused with a code."""
        return int(self.about("errorstats").get(f"errorstat_{code}", {}).get("count", 0))


class Cluster:
    """The whole of it."""

    def __init__(self, nodes: list[Node], primaries: int) -> None:
        self.nodes = nodes
        self._primaries = primaries

    def start(self) -> None:
        """Start the nodes, and make a cluster of them: the slots in equal parts, and each replica its primary."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Server.start, self.nodes))
        heads, others = self.nodes[: self._primaries], self.nodes[self._primaries :]
        for at, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        share = REDIS_CLUSTER_HASH_SLOTS / len(heads)
        for at, node in enumerate(heads):
            slots = range(round(at * share), round((at + 1) * share))
            node.ask("CLUSTER", "ADDSLOTS", *slots)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        until(lambda: all(self._knows(node) for node in self.nodes), what="the nodes to know each other")
        for at, node in enumerate(others):
            node.ask("CLUSTER", "REPLICATE", heads[at % len(heads)].name)
        until(self.stands, what="the cluster")

    def _knows(self, node: Node) -> bool:
        """Whether a node has been met by all others, and knows the whole map."""
        fields = self._fields(node)
        return fields["cluster_known_nodes"] == str(len(self.nodes)) and fields["cluster_slots_ok"] == "16384"

    def _fields(self, node: Node) -> dict[str, str]:
        lines = node.ask("CLUSTER", "INFO").decode().split()
        return dict(line.split(":") for line in lines)

    def stands(self) -> bool:
        """Whether every slot is served, by everyone's word, and every replica is in step and known for one."""
        followers = [node for node in self.nodes if node.about()["role"] == "slave"]
        if any(node.about()["master_link_status"] != "up" for node in followers):
            return False
        for node in self.nodes:
            if self._fields(node)["cluster_state"] != "ok" or not self._knows(node):
                return False
            replicas = sum(len(each) - 3 for each in node.ask("CLUSTER", "SLOTS"))
            if replicas != len(self.nodes) - self._primaries:
                return False
        return True

    @property
    def primaries(self) -> list[Node]:
        """The living nodes that serve something."""
        alive = [node for node in self.nodes if node.process and node.process.poll() is None]
        return [node for node in alive if node.about()["role"] == "master"]

    @property
    def url(self) -> str:
        """What Parley is given: all of them, though one that lives would do."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def serving(self, key: bytes | str) -> Node:
        """The living node that has a key, by the word of another one that lives."""
        slot = key_slot(key.encode() if isinstance(key, str) else key)
        for witness in self.primaries:
            for first, last, primary, *_ in witness.ask("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(node for node in self.nodes if node.port == primary[1])
        raise AssertionError(f"nobody serves {key!r}")

    def await_failover(self, dead: Node, key: bytes | str) -> Node:
        """Wait until another node serves a key, by everyone's word."""

        def moved() -> bool:
            living = [node for node in self.nodes if node is not dead and node.process and node.process.poll() is None]
            slot = key_slot(key.encode() if isinstance(key, str) else key)
            said = {
                primary[1]
                for node in living
                for first, last, primary, *_ in node.ask("CLUSTER", "SLOTS")
                if first <= slot <= last
            }
            return len(said) == 1 and dead.port not in said

        until(moved, what="a failover")
        return self.serving(key)

    def begin_move(self, slot: int, source: Node, target: Node) -> None:
        """Have a slot be on its way: keys may be moved, and commands about those that were are sent on."""
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.name)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.name)

    def move(self, source: Node, target: Node, *keys: bytes) -> None:
        """Move keys of such a slot."""
        if keys:
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 20000, "KEYS", *keys)

    def end_move(self, slot: int, source: Node, target: Node) -> None:
        """Move what is left, and have everyone know."""
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 20):
            self.move(source, target, *keys)
        for node in (target, source, *self.primaries):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.name)

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                os.kill(node.pid, signal.SIGKILL)
                node.process.wait(20)


def bus_port() -> int:
    """A port that is free, as is the cluster bus's, 10,000 above it."""
    while True:
        port = free_port()
        if port < 55000:
            with contextlib.suppress(OSError), socket.socket() as probe:
                probe.bind(("127.0.0.1", port + 10000))
                return port


@contextlib.contextmanager
def clustered(*arguments: str, primaries: int = 3, replicas: int = 3, binary: Path | None = None) -> Iterator[Cluster]:
    """Run one, with more arguments for its servers if wanted."""
    with tempfile.TemporaryDirectory(prefix="parley-rc-", ignore_cleanup_errors=True) as directory:
        chosen = binary or list(binaries().values())[-1]
        nodes = []
        for number in range(primaries + replicas):
            home = Path(directory) / str(number)
            home.mkdir()
            nodes.append(Node(chosen, home, arguments))
        cluster = Cluster(nodes, primaries)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
