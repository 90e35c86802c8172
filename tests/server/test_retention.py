"""How long conversations are kept: temporary ones on no list, pinned ones until they are let go."""

import time
from typing import Any

from tests.server.harness import House, house
from tests.store.harness import run


async def listed(home: House) -> list[str]:
    return [each["id"] for each in (await home.call("GET", "/api/conversations"))["data"]]


def days(conversation: dict[str, Any]) -> float:
    expires: int = conversation["expires_at"]
    return (expires / 1000 - time.time()) / 86_400


def test_a_temporary_conversation_is_on_no_list_until_it_is_kept() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(retention="temporary")
            await home.say(name, "for now")
            await home.answer("yes")
            await home.serve()  # a server that knows nothing of it
            url = f"{home.served[1].url}/api/conversations/{name}"
            await home.call("POST", f"{url}/turns", {"input": "again"}, expect=202)
            await home.answer("yes")
            assert await listed(home) == []
            found = await home.call("GET", url)
            assert found["about"]["retention"] == "temporary"
            assert found["about"]["title"] == "for now"
            assert days(found["about"]) <= 1 / 24
            kept = await home.call("PATCH", url, {"retention": ""})
            assert 0.9 < days(kept) <= 1
            assert await listed(home) == [name]
            await home.call("PATCH", url, {"retention": "temporary"})
            assert await listed(home) == []

    run(main())


def test_a_pinned_conversation_is_kept_for_a_year_behind_its_last_use() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            pinned = await home.call("PATCH", f"/api/conversations/{name}", {"retention": "pinned"})
            assert 365 < days(pinned) <= 366
            other = await home.conversation()  # it shortens the life of the list no more
            life = await home.bench.client.pttl(home.bench.keys.index("local"))
            assert life / 86_400_000 > 365
            let_go = await home.call("PATCH", f"/api/conversations/{name}", {"retention": ""})
            assert days(let_go) <= 1
            assert set(await listed(home)) == {name, other}
            await home.call("PATCH", f"/api/conversations/{name}", {"retention": "for ever"}, expect=400)

    run(main())
