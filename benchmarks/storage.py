"""What Redis holds and carries: memory of a conversation and of a turn, while it is written and afterwards, bytes and
commands a token."""

import asyncio
from functools import partial
from typing import Any

from common import Bench, Figures, main
from durability import LEVELS, redis

from parley.bench.load import Load, Plan
from parley.bench.stage import Stage, stage
from parley.store.connect import connect

TITLE = "What Redis holds and carries"
EMPTY, TALKING, TURNS, TOKENS = 400, 64, 4, 200
# Seconds after which a reply is folded and expired keys are gone.
REST = 1.0


async def info(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = await client.info("all")
    return found


async def loaded(ready: Stage, plan: Plan) -> Load:
    load = Load(plan, ready.drivers("websocket"), ready.clock)
    await load.open()
    return load


async def held() -> Figures:
    options = LEVELS["file, synced each second"]
    async with redis(options) as (arguments, _), stage(*arguments) as ready:
        client = connect(arguments[1])
        begun = await info(client)
        empty = await loaded(ready, Plan(conversations=EMPTY, turns=1, tokens=1))
        made = await info(client)
        talking = await loaded(ready, Plan(conversations=TALKING, turns=TURNS, tokens=TOKENS, delay=0.02, ramp=0.5))
        before = await info(client)
        running = asyncio.create_task(talking.run())
        await asyncio.sleep(0.5 + TOKENS * 0.02 * 0.8)  # most of the first reply is written
        within = await info(client)
        told = await running
        await asyncio.sleep(REST)
        after = await info(client)
        for each in (empty, talking):
            each.close()
        await client.aclose()

    def grown(name: str, first: dict[str, Any], last: dict[str, Any]) -> float:
        return float(last[name]) - float(first[name])

    return {
        "bytes_per_empty_conversation": round(grown("used_memory", begun, made) / EMPTY),
        "bytes_per_reply_under_way": round(grown("used_memory", before, within) / TALKING),
        "bytes_per_turn_kept": round(grown("used_memory", before, after) / (TALKING * TURNS)),
        "file_bytes_per_turn": round(grown("aof_current_size", before, after) / (TALKING * TURNS)),
        "tokens_per_turn": TOKENS,
        "in_bytes_per_token": round(grown("total_net_input_bytes", before, after) / told.tokens, 1),
        "out_bytes_per_token": round(grown("total_net_output_bytes", before, after) / told.tokens, 1),
        "commands_per_token": round(grown("total_commands_processed", before, after) / told.tokens, 3),
    }


async def run(bench: Bench) -> None:
    await bench.rounds({"64 conversations of 4 turns of 200 tokens": partial(held)})


if __name__ == "__main__":
    main("storage", TITLE, run)
