"""Every route of the native protocol, as JSON."""

from typing import Any

from parley.core.limits import Limits
from parley.server.config import Choice
from tests.server.harness import House, house
from tests.store.harness import run


def test_a_conversation_lives_from_create_to_delete() -> None:
    async def main() -> None:
        async with house() as home:
            made = await home.call(
                "POST",
                "/api/conversations",
                {"title": "T", "instructions": "be brief", "metadata": {"a": "b"}, "ttl": 3600},
                expect=201,
            )
            assert made["object"] == "conversation"
            assert (made["title"], made["metadata"], made["status"], made["turns"]) == ("T", {"a": "b"}, "idle", 0)
            assert 3_590_000 < made["expires_at"] - made["created_at"] <= 3_601_000
            assert "instructions" not in made
            path = f"/api/conversations/{made['id']}"

            changed = await home.call("PATCH", path, {"title": "U", "parameters": {"temperature": 0.5}})
            assert (changed["title"], changed["metadata"]) == ("U", {"a": "b"})

            assert await home.call("GET", f"{path}/description") == {
                "title": "U",
                "assistant": "",
                "model": "",
                "metadata": {"a": "b"},
                "retention": "",
                "instructions": "be brief",
                "parameters": {"temperature": 0.5},
            }

            listed = await home.call("GET", "/api/conversations")
            assert [each["id"] for each in listed["data"]] == [made["id"]]
            assert listed["has_more"] is False

            snapshot = await home.call("GET", path)
            assert (snapshot["type"], snapshot["about"]["title"], snapshot["turns"]) == ("snapshot", "U", [])

            assert await home.call("DELETE", path) == {
                "id": made["id"],
                "object": "conversation.deleted",
                "deleted": True,
            }
            gone = await home.call("GET", path, expect=410)
            assert gone["error"]["code"] == "conversation_deleted"
            assert (await home.call("GET", "/api/conversations"))["data"] == []

    run(main())


def test_create_is_idempotent_by_its_key() -> None:
    async def main() -> None:
        async with house() as home:
            headers = {"Idempotency-Key": "once"}
            first = await home.call("POST", "/api/conversations", {}, expect=201, headers=headers)
            again = await home.call("POST", "/api/conversations", {}, expect=200, headers=headers)
            other = await home.call("POST", "/api/conversations", {}, expect=201)
            assert first["id"] == again["id"] != other["id"]

    run(main())


def test_create_takes_no_body_for_an_empty_one() -> None:
    async def main() -> None:
        async with house() as home:
            assert (await home.call("POST", "/api/conversations", expect=201))["title"] == ""

    run(main())


def test_the_list_is_paged_and_the_last_spoken_in_comes_first() -> None:
    async def main() -> None:
        async with house() as home:
            names = [await home.conversation() for _ in range(5)]
            await home.say(names[1], "hello")
            await settled(home)
            pages = [await home.call("GET", f"/api/conversations?limit=2&offset={offset}") for offset in (0, 2, 4)]
            found = [each["id"] for page in pages for each in page["data"]]
            assert found[0] == names[1]
            assert sorted(found) == sorted(names)
            assert [page["has_more"] for page in pages] == [True, True, False]

    run(main())


async def settled(home: House) -> None:
    """Everything the servers left for later is done."""
    for served in home.served:
        await served.server.app.parts.service.close()


def test_a_message_is_accepted_answered_and_kept() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            path = f"/api/conversations/{name}"
            receipt = await home.say(name, "What is\nthis?")
            assert receipt["type"] == "receipt"
            assert (receipt["status"], receipt["position"], receipt["replayed"]) == ("queued", 0, False)
            assert receipt["durability"] == "memory"
            assert receipt["response"] == f"resp_{name.removeprefix('conv_')}{receipt['turn']}"
            turn = await home.call("GET", f"{path}/turns/{receipt['turn']}")
            assert (turn["status"], turn["text"]) == ("queued", "")

            runs = home.bench.runs()
            grant = await home.bench.take(runs)
            await home.bench.append(runs, grant, 0, "It is ", "a té")
            turn = await home.call("GET", f"{path}/turns/{receipt['turn']}")
            assert (turn["status"], turn["text"], turn["length"]) == ("in_progress", "It is a té", 11)
            assert [each["turn"] for each in (await home.call("GET", f"{path}/queue"))["data"]] == [receipt["turn"]]
            await runs.final(grant, 1, 11, "completed", b"", ["", "st."])

            turn = await home.call("GET", f"{path}/turns/{receipt['turn']}")
            assert (turn["status"], turn["text"], turn["attempts"]) == ("completed", "It is a tést.", 1)
            assert turn["request"]["input"] == [{"role": "user", "content": "What is\nthis?"}]
            assert (await home.call("GET", f"{path}/queue"))["data"] == []
            await settled(home)
            about = (await home.call("GET", path))["about"]
            assert (about["title"], about["turns"], about["head"]) == ("What is", 1, receipt["turn"])

    run(main())


def test_a_message_may_show_images_and_needs_no_words_then() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            image = {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}
            for content in ("What is this?", ""):
                said = {"input": [{"content": content, "images": [image]}]}
                receipt = await home.call("POST", f"/api/conversations/{name}/turns", said, expect=202)
                turn = await home.call("GET", f"/api/conversations/{name}/turns/{receipt['turn']}")
                assert turn["request"]["input"] == [{"role": "user", "content": content, "images": [image]}]
                # As it is told, it can be said again.
                again = {"input": turn["request"]["input"], "parent": turn["parent"]}
                await home.call("POST", f"/api/conversations/{name}/turns", again, expect=202)

    run(main())


def test_one_key_is_one_turn_and_one_body() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            path = f"/api/conversations/{name}/turns"
            headers = {"Idempotency-Key": "k1"}
            first = await home.call("POST", path, {"input": "a"}, expect=202, headers=headers)
            async with home.http.post(home.served[0].url + path, json={"input": "a"}, headers=headers) as answer:
                assert answer.status == 200
                assert answer.headers["idempotent-replayed"] == "true"
                again = await answer.json()
            assert (again["turn"], again["replayed"], again["key"]) == (first["turn"], True, "k1")
            other = await home.call("POST", path, {"input": "b"}, expect=409, headers=headers)
            assert other["error"]["code"] == "idempotency_key_reused"
            elsewhere = await home.conversation()
            path = f"/api/conversations/{elsewhere}/turns"
            assert (await home.call("POST", path, {"input": "a"}, expect=202, headers=headers))["turn"] != first["turn"]
            made = await home.call("POST", path, {"input": "b"}, expect=202)
            assert len(made["key"]) == 32

    run(main())


def test_history_is_paged_back_by_index() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="x")
            for number in range(5):
                await home.say(name, f"m{number}")
                await home.answer(f"r{number}")
            path = f"/api/conversations/{name}/turns"
            page = await home.call("GET", f"{path}?limit=2")
            assert ([turn["text"] for turn in page["data"]], page["first"], page["total"]) == (["r3", "r4"], 3, 5)
            page = await home.call("GET", f"{path}?limit=2&before={page['first']}")
            assert ([turn["text"] for turn in page["data"]], page["first"]) == (["r1", "r2"], 1)
            page = await home.call("GET", f"{path}?limit=2&before={page['first']}")
            assert ([turn["text"] for turn in page["data"]], page["first"]) == (["r0"], 0)
            assert (await home.call("GET", f"{path}?before=0"))["data"] == []

    run(main())


def test_parent_makes_a_fork_in_the_tree() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            first = await home.say(name, "a")
            await home.answer("1")
            second = await home.say(name, "b")
            edited = await home.say(name, "b2", parent=first["turn"])
            anew = await home.say(name, "c", parent="")
            turns = (await home.call("GET", f"/api/conversations/{name}"))["turns"]
            parents = {turn["turn"]: turn["parent"] for turn in turns}
            assert parents[second["turn"]] == parents[edited["turn"]] == first["turn"]
            assert parents[anew["turn"]] == parents[first["turn"]] == ""

    run(main())


def test_cancel_stops_withdraws_and_repeats() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            running = await home.say(name, "a")
            runs = home.bench.runs()
            grant = await home.bench.take(runs)
            await home.bench.append(runs, grant, 0, "par")
            waiting = await home.say(name, "b")
            assert waiting["position"] == 1
            for receipt in (waiting, running):
                path = f"/api/conversations/{name}/turns/{receipt['turn']}/cancel"
                done = {"turn": receipt["turn"], "status": "cancelled", "changed": True}
                assert await home.call("POST", path) == done
                assert await home.call("POST", path, {}) == {**done, "changed": False}
            turn = await home.call("GET", f"/api/conversations/{name}/turns/{running['turn']}")
            assert (turn["status"], turn["text"]) == ("cancelled", "par")

    run(main())


def test_policies_of_a_second_message() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            first = await home.say(name, "a")
            path = f"/api/conversations/{name}/turns"
            refused = await home.call("POST", path, {"input": "b", "policy": "reject"}, expect=409)
            assert refused["error"]["code"] == "reply_in_progress"
            await home.say(name, "c", policy="interrupt")
            turn = await home.call("GET", f"{path}/{first['turn']}")
            assert turn["status"] == "cancelled"

    run(main())


def test_a_fork_holds_the_path_and_nothing_else() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation(title="T", instructions="I")
            said = []
            for number in range(3):
                said.append(await home.say(name, f"m{number}"))
                await home.answer(f"r{number}")
            side = await home.say(name, "side", parent=said[0]["turn"])
            await home.answer("other")
            path = f"/api/conversations/{name}/fork"
            made = await home.call("POST", path, {"turn": side["turn"]}, expect=201)
            assert (made["title"], made["turns"]) == ("T", 2)
            turns = (await home.call("GET", f"/api/conversations/{made['id']}"))["turns"]
            assert [turn["text"] for turn in turns] == ["r0", "other"]
            more = await home.say(made["id"], "on")
            turn = await home.call("GET", f"/api/conversations/{made['id']}/turns/{more['turn']}")
            assert turn["parent"] == side["turn"]
            open_turn = await home.say(name, "open")
            refused = await home.call("POST", path, {"turn": open_turn["turn"]}, expect=409)
            assert refused["error"]["code"] == "turn_in_progress"
            assert (await home.call("POST", path, {"turn": "0" * 16}, expect=404))["error"]["param"] == "turn"

    run(main())


def test_a_fork_is_idempotent_by_its_key() -> None:
    async def main() -> None:
        async with house() as home:
            name = await home.conversation()
            turn = (await home.say(name, "a"))["turn"]
            await home.answer("b")
            path, headers = f"/api/conversations/{name}/fork", {"Idempotency-Key": "f"}
            made = await home.call("POST", path, {"turn": turn}, expect=201, headers=headers)
            again = await home.call("POST", path, {"turn": turn}, expect=200, headers=headers)
            assert (again["id"], again["turns"]) == (made["id"], 1)

    run(main())


def test_models_are_listed_and_unknown_ones_refused() -> None:
    async def main() -> None:
        options: dict[str, Any] = {
            "models": (Choice("m1"), Choice("m2")),
            "assistants": (Choice("a1", "m2"),),
            "default": "m1",
        }
        async with house(**options) as home:
            assert await home.call("GET", "/api/models") == {
                "models": [{"name": "m1"}, {"name": "m2"}],
                "assistants": [{"name": "a1", "model": "m2"}],
                "default": "m1",
                "limits": {"message_bytes": 256 * 1024},
            }
            name = await home.conversation(model="m2", assistant="a1")
            for body in ({"model": "m3"}, {"assistant": "a3"}):
                found = await home.call("POST", "/api/conversations", body, expect=404)
                assert found["error"]["param"] in body
                said = {"input": "x", **body}
                found = await home.call("POST", f"/api/conversations/{name}/turns", said, expect=404)
                assert found["error"]["param"] in body

    run(main())


def test_caps_are_told_with_when_to_come_back() -> None:
    async def main() -> None:
        async with house(bench_options={"limits": Limits(queue=1)}) as home:
            name = await home.conversation()
            await home.say(name, "a")
            url = f"{home.served[0].url}/api/conversations/{name}/turns"
            async with home.http.post(url, json={"input": "b"}) as answer:
                assert answer.status == 429
                assert int(answer.headers["retry-after"]) >= 1
                assert (await answer.json())["error"]["code"] == "conversation_busy"

    run(main())


def test_past_capacity_new_turns_are_refused_and_accepted_ones_kept() -> None:
    async def main() -> None:
        async with house(bench_options={"limits": Limits(active=2)}) as home:
            names = [await home.conversation() for _ in range(3)]
            for name in names[:2]:
                await home.say(name, "accepted")
            url = f"{home.served[0].url}/api/conversations/{names[2]}/turns"
            async with home.http.post(url, json={"input": "too many"}) as answer:
                assert answer.status == 503
                assert int(answer.headers["retry-after"]) >= 1
                assert (await answer.json())["error"]["code"] == "overloaded"
            await home.say(names[0], "behind one that is accepted")
            body = {"model": "model", "input": "over /v1", "store": True}
            found = await home.call("POST", "/v1/responses", body, expect=503)
            assert found["error"]["code"] == "overloaded"
            # Nothing is left of what was refused; as soon as one has ended there is room.
            assert (await home.call("GET", f"/api/conversations/{names[2]}/turns"))["data"] == []
            (turn,) = (await home.call("GET", f"/api/conversations/{names[1]}/turns"))["data"]
            assert (await home.bench.conversations.cancel(names[1], turn["turn"]))[0]
            await home.call("POST", f"/api/conversations/{names[2]}/turns", {"input": "now"}, expect=202)

    run(main())


def test_health_and_readiness() -> None:
    async def main() -> None:
        async with house() as home:
            assert await home.call("GET", "/healthz") == {"status": "ok"}
            assert await home.call("GET", "/readyz") == {"status": "ok"}

    run(main())
