"""Whatever happens to the line, the log and the server: each reader ends with the text that stands, in order."""

import asyncio
import random

import pytest

from parley.client.client import AsyncClient
from parley.client.reply import AsyncReply, Delta, Rewind
from parley.client.values import snapshot_decoder
from tests.client.scripted import ScriptedServer, Turn


async def read(reply: AsyncReply) -> str:
    """Follow a reply's changes with a text of one's own."""
    text = ""
    async for change in reply.changes():
        match change:
            case Delta(more, "text"):
                text += more
            case Rewind(length):
                assert length <= len(text)
                text = text[:length]
        await asyncio.sleep(0)
    return text


async def watch(client: AsyncClient, conversation: str, texts: dict[str, bytes]) -> None:
    """Follow a conversation's events, and fold them by the rules of the protocol and nothing else."""
    async for event in client.follow(conversation):
        match event.type:
            case "snapshot":
                texts.clear()
                texts |= {turn.turn: turn.text.encode() for turn in snapshot_decoder.decode(event.raw).turns}
            case "queued":
                assert event.turn not in texts
                texts[event.turn] = b""
            case "delta":
                assert event.data["offset"] == len(texts[event.turn])
                texts[event.turn] += event.data["text"].encode()
            case "rewind":
                texts[event.turn] = texts[event.turn][: event.data["offset"]]
            case "end":
                assert event.data["length"] == len(texts[event.turn])


async def hurt(server: ScriptedServer, turn: Turn, chance: random.Random) -> None:
    """One thing that may happen while a reply is written."""
    deeds = {"speak": 60, "drop": 8, "trim": 5, "rewind": 5, "restart": 2, "close": 4, "breathe": 16}
    match chance.choices(list(deeds), list(deeds.values()))[0]:
        case "speak":
            server.delta(turn, chance.choice(["a", "é ", "∑\n", "word ", "😀"]))
        case "drop":
            server.drop()
        case "trim":
            server.forget_log(turn.conversation)
            server.drop()
        case "rewind":
            kept = turn.text[: chance.randint(0, len(turn.text))]
            server.rewind(turn, len(kept.encode()))
        case "restart":
            await server.stop()
            server.delta(turn, "unseen ")
            await server.start()
        case "close":
            await server.close(chance.choice([1001, 1012, 4290, 1011, 1013]))
        case "breathe":
            await asyncio.sleep(chance.random() * 0.02)


@pytest.mark.parametrize("seed", range(6))
def test_every_reader_ends_with_the_text_that_stands(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    # Times do not matter here, only what is done.
    monkeypatch.setattr("parley.client.link.pause", lambda *_: 0.005)

    async def main() -> None:
        async with (
            asyncio.timeout(60),
            ScriptedServer() as server,
            AsyncClient(server.url) as client,
            AsyncClient(server.url) as other,
        ):
            conversation = server.create()
            texts: dict[str, bytes] = {}
            watching = asyncio.create_task(watch(other, conversation.name, texts))
            for number in range(4):
                reply = client.say(conversation.name, str(number))
                turn = await server.asked()
                reading = asyncio.create_task(read(reply))
                attached = asyncio.create_task(read(other.attach(conversation.name, turn.name)))
                for _ in range(60):
                    await hurt(server, turn, chance)
                server.delta(turn, "end")
                server.end(turn)
                assert await reading == await attached == reply.text == turn.text
            stands = {turn.name: turn.text.encode() for turn in conversation.turns.values()}
            while texts != stands and not watching.done():
                await asyncio.sleep(0.005)
            assert not watching.done() or watching.result()
            watching.cancel()

    asyncio.run(main())
