"""What one Redis carries at most, and what a cluster of several does: appenders write one token at a time to as many
replies as it takes to keep Redis busy, with no model, web server or reader in between.

The appenders are processes of their own and run the worker's own code (`parley.store.appender`). Where the cores of the
machine are fewer than the processes that want one, the ceiling is what follows from the CPU that a token costs Redis:
a Redis process is one core.
"""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from common import Bench, Figures, main
from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from parley.bench.processes import Meter
from parley.core import ids
from parley.core.about import About
from parley.core.limits import Lifetimes, Limits, Timing
from parley.core.message import Message
from parley.core.pieces import Piece
from parley.core.reply import Reply
from parley.core.turn import Private, Request
from parley.store.appender import Appender, Writing
from parley.store.conversations import Conversations
from parley.store.durability import NoBarrier
from parley.store.embedded import find_binary
from parley.store.keys import Keys
from parley.store.nodes import nodes
from parley.store.runs import Runs

TITLE = "One Redis, and a cluster"
SERVERS = (1, 2, 3)
APPENDERS = 2
REPLIES = 96  # of each appender
SHARDS = 16
TOKEN = "token "
SECONDS = 4.0


# The servers.


@contextlib.asynccontextmanager
async def servers(count: int) -> AsyncIterator[tuple[str, list[subprocess.Popen[bytes]], list[Redis]]]:
    """So many servers, a cluster if several; its URL, the processes, and clients of them."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-", ignore_cleanup_errors=True) as directory:
        ports = [free_port() for _ in range(count)]
        running = [start(Path(directory) / str(port), port, clustered=count > 1) for port in ports]
        clients = [Redis(port=port, protocol=2) for port in ports]
        try:
            for client in clients:
                await answering(client)
            if count > 1:
                await join(clients, ports)
            hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
            yield f"redis{'+cluster' * (count > 1)}://{hosts}", running, clients
        finally:
            for process in running:
                process.terminate()
                process.wait()


def start(directory: Path, port: int, *, clustered: bool) -> "subprocess.Popen[bytes]":
    directory.mkdir()
    command = [str(find_binary().path), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    command += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
    command += ["--cluster-enabled", "yes"] if clustered else []
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


async def answering(client: Redis) -> None:
    for _ in range(1000):
        with contextlib.suppress(OSError, Exception):
            client.ping()
            return
        await asyncio.sleep(0.01)
    raise RuntimeError("a server did not start")


async def join(clients: list[Redis], ports: list[int]) -> None:
    """Make them one cluster, each with its part of the slots."""
    share = REDIS_CLUSTER_HASH_SLOTS / len(clients)
    for at, client in enumerate(clients):
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        client.execute_command("CLUSTER", "ADDSLOTS", *range(round(at * share), round((at + 1) * share)))
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
    for client in clients:
        while not {b"cluster_state:ok", b"cluster_slots_ok:16384"} <= set(
            client.execute_command("CLUSTER", "INFO").split()
        ):
            await asyncio.sleep(0.05)


def free_port() -> int:
    """A port that is free, as is the cluster bus's, 10,000 above it."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError, OverflowError), socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            bus.bind(("127.0.0.1", port + 10000))
            return port


# An appender.


async def append(url: str, replies: int) -> None:
    """Say "ready", wait for a line, write for some seconds, and print what came of it."""
    client, keys = nodes(url), Keys(f"bench{os.getpid()}:", SHARDS)  # queues of its own
    runs = Runs(client, nodes(url, connections=SHARDS, blocking=True), keys, Timing(lease=3600.0), secrets.token_hex(4))
    appender = Appender(client, keys)
    writing = asyncio.create_task(appender.run())
    writings = await begun(runs, appender, replies)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    cpu, until = time.process_time(), time.monotonic() + SECONDS
    while time.monotonic() < until:
        for each in writings:
            if each.reply.sent == each.reply.length:
                each.reply.add(Piece(TOKEN))
                appender.notify(each)
        await asyncio.sleep(0.001)
    spent = time.process_time() - cpu
    for each in writings:
        await appender.hold(each)
    tokens = sum(each.reply.sent for each in writings) // len(TOKEN)
    wrong = 0
    conversations = Conversations(client, keys, Limits(), Lifetimes(), NoBarrier())
    for each in writings:
        partial_ = (await conversations.snapshot(each.grant.claim.conversation, turns=1)).running
        wrong += partial_ is None or partial_.body != TOKEN * (each.reply.sent // len(TOKEN))
    print(json.dumps({"tokens": tokens, "cpu_s": spent, "wrong": wrong}), flush=True)
    writing.cancel()
    await asyncio.wait([writing])
    os._exit(0)


async def begun(runs: Runs, appender: Appender, replies: int) -> list[Writing]:
    """Replies to be written, one a conversation, as many on each shard."""
    await runs.prepare()
    conversations = Conversations(runs.client, runs.keys, Limits(), Lifetimes(), NoBarrier())
    found: list[Writing] = []
    for _ in range(replies):
        name = ids.conversation_id(secrets.token_bytes(16), SHARDS)
        await conversations.create(name, "bench", About())
        await conversations.post(name, ids.turn_id(name, "1"), Request((Message("user", "go"),)), Private())
    while len(found) < replies:
        for queues in runs.together:
            for claim in (await runs.wait(0.01, replies, queues))[0]:
                grant = await runs.acquire(claim, secrets.token_hex(8))
                assert grant is not None
                found.append(appender.write(grant, Reply(), partial(sys.exit, "a turn was lost")))
    return found


# The measurement.


async def carried(count: int) -> Figures:
    async with servers(count) as (url, running, clients):
        meters = [Meter([process.pid]) for process in running]
        command = [sys.executable, __file__, "--append", url]
        appenders = [
            await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(APPENDERS)
        ]
        for each in appenders:
            assert each.stdout is not None
            assert (await each.stdout.readline()).strip() == b"ready"
        for client in clients:
            client.execute_command("CONFIG", "RESETSTAT")
        for meter in meters:
            meter.start()
        began = time.monotonic()
        for each in appenders:
            assert each.stdin is not None
            each.stdin.write(b"go\n")
        await asyncio.sleep(SECONDS)
        took, spent = time.monotonic() - began, [sum(meter.spent().values()) for meter in meters]
        scripts = [client.info("commandstats")["cmdstat_evalsha"] for client in clients]
        answers = await asyncio.gather(*(each.communicate() for each in appenders))
    told = [json.loads(out) for out, _ in answers]
    return figures(told, spent, scripts, took)


def figures(told: list[dict[str, Any]], spent: list[float], scripts: list[dict[str, Any]], took: float) -> Figures:
    tokens = sum(each["tokens"] for each in told)
    cost = sum(spent) / tokens * 1e6
    return {
        "tokens": tokens,
        "written_per_s": round(tokens / took),
        "redis_cpu_s_per_million": round(cost, 2),
        "each_redis_cpu_s_per_million": {str(at + 1): round(cpu / tokens * 1e6, 2) for at, cpu in enumerate(spent)},
        "each_redis_busy_percent": {str(at + 1): round(cpu / took * 100, 1) for at, cpu in enumerate(spent)},
        "script_us": round(sum(each["usec"] for each in scripts) / sum(each["calls"] for each in scripts), 2),
        "appenders_cpu_s_per_million": round(sum(each["cpu_s"] for each in told) / tokens * 1e6, 2),
        # Where each server had a core of its own, and the shards lay evenly.
        "ceiling_per_s": round(len(spent) * 1e6 / cost),
        "wrong": sum(each["wrong"] for each in told),
    }


async def run(bench: Bench) -> None:
    cases = {f"{count} {'server' if count == 1 else 'nodes'}": partial(carried, count) for count in SERVERS}
    await bench.rounds(cases)


if __name__ == "__main__":
    if "--append" in sys.argv:
        parser = argparse.ArgumentParser()
        parser.add_argument("--append", required=True)
        uvloop.run(append(parser.parse_args().append, REPLIES))
    main("sharded", TITLE, run)
