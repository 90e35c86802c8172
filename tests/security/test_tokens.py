"""X01, X02, X03: tokens nobody can guess, or find out about by the clock."""

import ast
import math
import os
import random
import secrets
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from yarl import URL

import parley
from parley.core import ids
from parley.server.auth import CHAT_TOKEN, SESSION_PREFIX, SESSION_TOKEN
from parley.server.sharing import TOKEN as LINK_TOKEN
from tests.server.harness import House, house
from tests.server.test_auth import KEY, session
from tests.store.harness import run

SOURCE = Path(parley.__file__).parent
# Where what is made is given to somebody who must not be able to guess it.
TELLING = ("server", "store")
# What is drawn from `random` there is a pause, or an order.
PAUSES = {"uniform", "random", "sample", "shuffle", "choice", "randrange", "randint"}


def test_a_hundred_thousand_tokens() -> None:
    """X01: no repeat, and each letter as often as any other, by chi-square; one of a million honest runs fails."""
    many = 100_000
    tokens = [SESSION_PREFIX + secrets.token_urlsafe(32) for _ in range(many)]
    assert len(set(tokens)) == many
    assert all(SESSION_TOKEN.fullmatch(token) for token in tokens[:1000])
    counts: dict[str, int] = {}
    for token in tokens:
        for letter in token[len(SESSION_PREFIX) : -1]:  # the last one holds four bits only
            counts[letter] = counts.get(letter, 0) + 1
    expected = many * 42 / 64
    chi = sum((count - expected) ** 2 / expected for count in counts.values())
    assert len(counts) == 64
    assert chi < 63 + 5 * math.sqrt(2 * 63)


def test_how_many_bits_each_has() -> None:
    token = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    assert CHAT_TOKEN.fullmatch(token)
    assert len(secrets.token_urlsafe(32)) * 6 >= 256
    link = ids.conversation_id(secrets.token_bytes(16), 16).removeprefix("conv_") + "A" * 22
    assert LINK_TOKEN.fullmatch(link)


def test_nothing_that_is_handed_out_comes_from_a_weak_source() -> None:
    """`random` and `uuid1` are for pauses; whoever needs them for more has to say so here."""
    for file in (path for layer in TELLING for path in (SOURCE / layer).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "random":
                    assert node.attr in PAUSES, (file, node.lineno)
                assert (node.value.id, node.attr) not in {("uuid", "uuid1"), ("uuid", "uuid3"), ("uuid", "uuid5")}, file
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("random",), file


def test_comparisons_of_secrets_take_the_same_time() -> None:
    """Every place that compares one does so by `hmac.compare_digest`."""
    for name in ("server/auth.py", "server/sharing.py", "store/sessions.py", "server/passwords.py"):
        assert "compare_digest" in (SOURCE / name).read_text(), name


# Samples of each kind, in turns and in any order, so that what else the machine does, and what each leaves warm, meets
# all kinds alike: PARLEY_SAMPLES takes more.
SAMPLES = int(os.environ.get("PARLEY_SAMPLES", "500"))


def test_the_clock_tells_nothing() -> None:
    """X03: foreign and unknown, over and never there: as many trips to the store, and about the same time.

    The trips are what takes time, and they can be counted; the medians of what was measured in turns are only held
    against each other roughly, as this machine may have other things to do.
    """

    async def main() -> None:
        async with house(access_key=KEY) as home:
            ann, bob, eve = await session(home, "Ann"), await session(home, "Bob"), await session(home, "Eve")
            made = await home.call("POST", "/api/conversations", {}, expect=201, headers=ann)
            url = home.served[0].url
            async with home.http.delete(f"{url}/api/sessions/current", headers=eve):
                pass
            one = f"{url}/api/conversations/"

            def unknown() -> dict[str, str]:
                return {"Authorization": f"Bearer {SESSION_PREFIX}{secrets.token_urlsafe(32)}"}

            kinds: dict[str, Callable[[], tuple[str, dict[str, str]]]] = {
                "foreign": lambda: (one + made["id"], bob),
                "unknown": lambda: (f"{one}conv_00{secrets.token_hex(16)}", bob),
                "over": lambda: (one + made["id"], eve),
                "never": lambda: (one + made["id"], unknown()),
            }
            taken: dict[str, list[float]] = {kind: [] for kind in kinds}
            trips: dict[str, set[int]] = {kind: set() for kind in kinds}
            order = random.Random(1)
            for sample in range(SAMPLES):
                for kind in order.sample(list(kinds), len(kinds)):
                    path, headers = kinds[kind]()
                    address = URL(path)  # reading a new one takes the client longer
                    before = await calls(home) if sample < 20 else 0
                    began = time.perf_counter()
                    async with home.http.get(address, headers=headers) as answer:
                        await answer.read()
                    taken[kind].append(time.perf_counter() - began)
                    assert answer.status == (404 if kind in ("foreign", "unknown") else 401)
                    if sample < 20:
                        trips[kind].add(await calls(home) - before)
            assert trips["foreign"] == trips["unknown"], trips
            assert trips["over"] == trips["never"], trips
            for those in (("foreign", "unknown"), ("over", "never")):
                medians = [statistics.median(taken[kind]) for kind in those]
                print(f"{those}: medians of {SAMPLES}: {medians}")
                assert max(medians) < 2 * min(medians), (those, medians)

    run(main())


async def calls(home: House) -> int:
    """How many scripts and reads the store has run."""
    stats = await home.bench.client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "hget", "hmget", "get"))
