"""Turns written into a conversation as they stand elsewhere: what an import is made of."""

from typing import Any

from parley.core.limits import Limits
from tests.server.harness import House, house
from tests.store.harness import run


def turn(name: str, **fields: Any) -> dict[str, Any]:
    """A turn as lists show it."""
    said = {"input": [{"role": "user", "content": f"say {name}"}]}
    return {"turn": name * 16, "parent": "", "created_at": 5, "request": said, "status": "completed"} | fields


async def created(home: House, **options: Any) -> str:
    made = await home.call("POST", "/api/conversations", {}, expect=201, **options)
    return f"/api/conversations/{made['id']}"


def test_what_is_shown_can_be_written_and_is_shown_again() -> None:
    async def main() -> None:
        async with house() as home:
            path = await created(home)
            kept = [
                turn("a", text="één", reasoning="hm", usage={"input_tokens": 3, "output_tokens": 1}, model="m"),
                turn("b", parent="a" * 16, text="half", status="cancelled", started_at=7, ended_at=9, attempts=2),
                turn("c", parent="a" * 16, status="failed", error={"code": "upstream_error", "message": "No."}),
            ]
            assert await home.call("POST", f"{path}/turns/restore", {"turns": kept}) == {"written": 3}
            assert await home.call("POST", f"{path}/turns/restore", {"turns": kept}) == {"written": 0}
            shown = (await home.call("GET", f"{path}/turns"))["data"]
            for given, told in zip(kept, shown, strict=True):
                given.pop("usage", None)  # it has more numbers when it is shown
                assert {name: told.get(name) for name in given} == given
            assert (shown[0]["usage"]["input_tokens"], shown[0]["usage"]["output_tokens"]) == (3, 1)
            assert shown[0]["length"] == len("hméén".encode())
            # The same again, with all that is told: what follows from the rest does no harm.
            other = await created(home)
            assert await home.call("POST", f"{other}/turns/restore", {"turns": shown}) == {"written": 3}
            assert (await home.call("GET", other))["total"] == 3

    run(main())


def test_what_cannot_be_is_refused_and_nothing_is_written() -> None:
    async def main() -> None:
        async with house(bench_options={"limits": Limits(reply_bytes=100)}) as home:
            path = await created(home)
            for turns, status, code in (
                ([], 400, "invalid_value"),
                ([turn("a", status="in_progress")], 400, "turn_in_progress"),
                ([turn("a"), turn("b", parent="c" * 16)], 400, "turn_not_found"),
                ([turn("a", turn="x")], 400, "invalid_value"),
                ([turn("a", text=7)], 400, "invalid_value"),
                ([turn("a", color="red")], 400, "unknown_parameter"),
                ([turn("a", text="x" * 101)], 413, "reply_too_large"),
            ):
                told = await home.call("POST", f"{path}/turns/restore", {"turns": turns}, expect=status)
                assert told["error"]["code"] == code, told
            assert (await home.call("GET", path))["total"] == 0
            other = "/api/conversations/conv_" + "0" * 34
            await home.call("POST", f"{other}/turns/restore", {"turns": [turn("a")]}, expect=404)

    run(main())


def test_only_the_owner_of_the_deployment_writes_what_a_model_said() -> None:
    async def main() -> None:
        async with house(access_key="key") as home:
            owner = {"Authorization": "Bearer key"}
            opened = await home.call("POST", "/api/sessions", {"name": "me"}, expect=201, headers=owner)
            me = {"Authorization": f"Bearer {opened['token']}"}
            path = await created(home, headers=me)
            body = {"turns": [turn("a", text="forged")]}
            told = await home.call("POST", f"{path}/turns/restore", body, expect=403, headers=me)
            assert told["error"]["code"] == "not_allowed"
            await home.call("POST", f"{path}/turns/restore", body, expect=404, headers=owner)

    run(main())
