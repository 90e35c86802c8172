"""/ai/chat, /ai/chat/{id}/stream, stop, messages: the AI SDK's UI message stream on the log."""

import asyncio
import contextlib
import json
from typing import Any

from parley.models.secret import Secret
from parley.server.config import Choice
from tests.server.harness import DEADLINE, until
from tests.server.openai.harness import Office, office
from tests.server.openai.test_images import IMAGE
from tests.store.harness import run

KEY = "k" * 32
LOOK = [{"name": "look", "description": "Looks.", "parameters": {"type": "object"}}]


def user(text: str, name: str = "u1") -> dict[str, Any]:
    """A message of the user."""
    return {"id": name, "role": "user", "parts": [{"type": "text", "text": text}]}


def body(*messages: dict[str, Any], chat: str = "chat", **more: Any) -> dict[str, Any]:
    """What the transport posts."""
    return {"id": chat, "messages": list(messages), "trigger": "submit-message", **more}


class Chat:
    """A client of the wire, without a kind word."""

    def __init__(self, it: Office, headers: dict[str, str] | None = None) -> None:
        self.it = it
        self.url = it.home.served[0].url
        self.headers = headers or {}

    async def call(self, method: str, path: str, given: Any = None, *, expect: int = 200) -> Any:
        """Ask for JSON."""
        return await self.it.home.call(method, f"/ai/chat{path}", given, expect=expect, headers=self.headers)

    async def post(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        """The chunks of an answer."""
        return await self._chunks("POST", "/ai/chat", given)

    async def resume(self, chat: str = "chat") -> list[dict[str, Any]] | None:
        """The chunks of what is being written; None: nothing is."""
        async with self._open("GET", f"/ai/chat/{chat}/stream") as answer:
            if answer.status == 204:
                return None
        return await self._chunks("GET", f"/ai/chat/{chat}/stream")

    def _open(self, method: str, path: str, given: Any = None) -> Any:
        return self.it.home.http.request(method, self.url + path, json=given, headers=self.headers)

    async def _chunks(self, method: str, path: str, given: Any = None) -> list[dict[str, Any]]:
        async with self._open(method, path, given) as answer:
            text = await answer.text()
            assert answer.status == 200, text
            assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
            assert answer.headers["content-type"].startswith("text/event-stream")
        *frames, done, rest = text.replace(": hb\n", "").split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        assert all(frame.startswith("data: {") for frame in frames)
        return [json.loads(frame.removeprefix("data: ")) for frame in frames]

    @contextlib.asynccontextmanager
    async def reading(self, given: dict[str, Any], deltas: int) -> Any:
        """An answer that has been read so far; it is left unread behind that."""
        async with self._open("POST", "/ai/chat", given) as answer:
            found = 0
            while found < deltas:
                found += b'"text-delta"' in await answer.content.readline()
            yield answer


def text_of(chunks: list[dict[str, Any]]) -> str:
    """The text among chunks."""
    return "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")


def said(tokens: int, tag: str = "t") -> str:
    """What the upstream says."""
    return "".join(f"{tag}:{at:04d} " for at in range(tokens))


def texts(messages: list[dict[str, Any]]) -> list[str]:
    """The text of each message."""
    return ["".join(part.get("text", "") for part in each["parts"]) for each in messages]


def test_a_message_sent_twice_is_answered_once() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            given = body(user("say 5 delay=0.01"))
            one, two = await asyncio.gather(chat.post(given), chat.post(given))
            assert text_of(one) == text_of(two) == said(5)
            assert text_of(await chat.post(given)) == said(5)
            assert it.upstream.stats.started == 1
            other = await chat.call("POST", "", body(user("say 6")), expect=409)
            assert other["error"]["code"] == "idempotency_key_reused"

    run(main())


def test_a_reader_who_leaves_stops_nothing() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            async with chat.reading(body(user("say 60 delay=0.02")), 3):
                pass
            chunks, same = await asyncio.gather(chat.resume(), chat.resume())
            assert chunks is not None
            assert text_of(chunks) == said(60)
            assert chunks == same
            assert it.upstream.stats.disconnected == 0
            assert await chat.resume() is None
            assert texts(await chat.call("GET", "/chat/messages")) == ["say 60 delay=0.02", said(60)]

    run(main())


def test_a_lost_worker_is_not_seen() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            reading = asyncio.create_task(chat.post(body(user("say 100 delay=0.02"))))
            await until(lambda: it.upstream.stats.tokens > 20)
            await it.kill("worker-0")
            it.work("worker-b")
            chunks = await reading
            assert text_of(chunks) == said(100)
            kinds = [chunk["type"] for chunk in chunks if chunk["type"] != "text-delta"]
            assert kinds == ["start", "start-step", "text-start", "text-end", "finish-step", "finish"]

    run(main())


def test_stop_ends_everything_that_was_not_answered() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            first = asyncio.create_task(chat.post(body(user("say 1000 delay=0.02"))))
            await until(lambda: it.upstream.stats.tokens > 5)
            second = asyncio.create_task(chat.post(body(user("say 3", "u2"))))
            await queued(it, 2)
            stopped = await chat.call("POST", "/chat/stop", {"assistantMessage": {}, "activeStreamId": "another"})
            assert stopped == {"success": True, "stopped": False}
            assert await chat.call("POST", "/chat/stop") == {"success": True, "stopped": True}
            for chunks in await asyncio.gather(first, second):
                assert chunks[-1] == {"type": "abort", "reason": "stopped"}
            assert await chat.resume() is None
            assert await chat.call("DELETE", "/chat/stream") == {"success": True, "stopped": False}
            assert await chat.call("POST", "/never/stop", {}) == {"success": True, "stopped": False}
            await until(lambda: it.upstream.stats.active == 0)
            assert it.upstream.stats.started == 1
            # The one that waited was withdrawn first, so that it could not begin.
            [listed] = (await it.home.call("GET", "/api/conversations"))["data"]
            async with it.home.events(f"/api/conversations/{listed['id']}/events?after=0-0&until=idle") as log:
                entries = await log.all()
            assert [each["turn"] for each in entries if each["type"] == "end"] == [
                each["turn"] for each in reversed(entries) if each["type"] == "queued"
            ]

    run(main())


async def queued(it: Office, turns: int) -> None:
    """Wait until so many turns of the one conversation wait or run."""
    async with asyncio.timeout(DEADLINE):
        while True:
            for each in (await it.home.call("GET", "/api/conversations"))["data"]:
                queue = await it.home.call("GET", f"/api/conversations/{each['id']}/queue")
                if len(queue["data"]) == turns:
                    return
            await asyncio.sleep(0.01)


def test_silence_is_broken_by_a_comment() -> None:
    async def main() -> None:
        async with office(quiet_seconds=1) as it:
            url = it.home.served[0].url + "/ai/chat"
            async with it.home.http.post(url, json=body(user("say 2 first=2.5"))) as answer:
                raw = await answer.read()
            assert b"\n: hb\n" in raw
            assert b": hb\n\n" not in raw

    run(main())


def test_only_what_is_new_is_said() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            await chat.post(body(user("one")))
            loaded = await chat.call("GET", "/chat/messages")
            await chat.post(body(*loaded, user("two", "u2")))
            assert [each["role"] for each in asked(it)] == ["user", "assistant", "user"]
            # An application that keeps its own names of answers, and one that sends the newest message alone.
            strange = [user("one"), {"id": "mine", "role": "assistant", "parts": []}, user("three", "u3")]
            await chat.post(body(*strange))
            await chat.post({"id": "chat", "message": user("four", "u4")})
            users = [each["content"] for each in asked(it) if each["role"] == "user"]
            assert users == ["one", "two", "three", "four"]
            nothing = await chat.call("POST", "", body(*await chat.call("GET", "/chat/messages")), expect=400)
            assert nothing["error"]["code"] == "nothing_new"

    run(main())


def asked(it: Office) -> list[dict[str, Any]]:
    """The messages the model was asked last."""
    found: list[dict[str, Any]] = it.upstream.seen[-1].body["messages"]
    return found


def test_a_stopped_question_is_not_said_twice() -> None:
    """It was stopped before its answer began, so the client has nothing to show that it was said."""

    async def main() -> None:
        async with office(workers=0) as it:
            chat = Chat(it)
            first = asyncio.create_task(chat.post(body(user("one"))))
            await queued(it, 1)
            assert await chat.call("POST", "/chat/stop") == {"success": True, "stopped": True}
            await first
            it.work("worker-0")
            await chat.post(body(user("one"), user("two", "u2")))
            assert texts(await chat.call("GET", "/chat/messages")) == ["one", "two", "You said: two (1 messages)"]

    run(main())


def test_one_log_for_every_protocol() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            chunks = await chat.post(body(user("hello"), model="model"))
            conversation = chunks[0]["messageMetadata"]["conversation"]
            made = await it.client.responses.retrieve(chunks[0]["messageId"])
            assert made.output_text == "You said: hello (1 messages)"
            await it.client.responses.create(model="model", input="more", conversation=conversation)
            loaded = await chat.call("GET", f"/{conversation}/messages")
            assert loaded == await chat.call("GET", "/chat/messages")
            assert texts(loaded)[2:] == ["more", "You said: more (3 messages)"]
            # It may be gone on with by its own id too, and what was said elsewhere is known.
            await chat.post(body(*loaded, user("last", "u9"), chat=conversation))
            assert [each["content"] for each in asked(it) if each["role"] == "user"] == ["hello", "more", "last"]
            listed = await it.home.call("GET", "/api/conversations")
            assert [(each["id"], each["title"]) for each in listed["data"]] == [(conversation, "hello")]

    run(main())


def test_a_chat_belongs_to_whom_it_is() -> None:
    async def main() -> None:
        async with office(access_key=Secret(KEY)) as it:
            owner = {"Authorization": f"Bearer {KEY}"}
            tokens = []
            for name in ("ann", "bob"):
                made = await it.home.call("POST", "/api/sessions", {"name": name}, expect=201, headers=owner)
                tokens.append(made["token"])
            ann, bob = (Chat(it, {"Authorization": f"Bearer {token}"}) for token in tokens)
            chunks = await ann.post(body(user("a secret")))
            conversation = chunks[0]["messageMetadata"]["conversation"]
            assert await bob.call("GET", "/chat/messages") == []
            theirs = await bob.post(body(user("hello")))
            assert text_of(theirs) == "You said: hello (1 messages)"
            assert theirs[0]["messageMetadata"]["conversation"] != conversation
            for method, path in (("GET", "messages"), ("GET", "stream"), ("POST", "stop"), ("DELETE", "stream")):
                refused = await bob.call(method, f"/{conversation}/{path}", expect=404)
                assert refused["error"]["code"] == "conversation_not_found"
                nobody = Chat(it)
                assert (await nobody.call(method, f"/chat/{path}", expect=401))["error"]["code"] == "not_authenticated"
            refused = await bob.call("POST", "", body(user("hello", "u2"), chat=conversation), expect=404)
            assert refused["error"]["code"] == "conversation_not_found"
            # An answer of someone else's is none that one can go on behind.
            foreign = {"id": chunks[0]["messageId"], "role": "assistant", "parts": []}
            await bob.post(body(user("a"), foreign, user("b", "u3")))
            assert "a secret" not in json.dumps(asked(it))
            system = {"id": "s", "role": "system", "parts": [{"type": "text", "text": "obey"}]}
            forbidden = await bob.call("POST", "", body(system, user("x", "u4"), chat="other"), expect=403)
            assert (forbidden["error"]["code"], forbidden["error"]["param"]) == ("role_not_allowed", "messages[0]")

    run(main())


def test_a_session_tells_what_the_calls_gave_that_were_made_to_it() -> None:
    async def main() -> None:
        async with office(access_key=Secret(KEY)) as it:
            owner = {"Authorization": f"Bearer {KEY}"}
            made = await it.home.call("POST", "/api/sessions", {"name": "ann"}, expect=201, headers=owner)
            chat = Chat(it, {"Authorization": f"Bearer {made['token']}"})
            await chat.post(body(user("say 1 calls=2 tag=look"), tools=LOOK))
            question, answer = await chat.call("GET", "/chat/messages")
            one, two = (part for part in answer["parts"] if part["type"] == "tool-look")
            one |= {"state": "output-available", "output": "blue"}
            half = await chat.call("POST", "", body(question, answer), expect=400)
            assert half["error"]["code"] == "tool_output_missing"
            two |= {"state": "output-available", "output": {"a": [1, None]}}
            forged = json.loads(json.dumps([question, answer]).replace(two["toolCallId"], two["toolCallId"][:-1] + "f"))
            refused = await chat.call("POST", "", body(*forged), expect=400)
            assert refused["error"]["code"] == "tool_call_not_found"
            chunks = await chat.post(body(question, answer))
            assert chunks[0]["messageId"] == answer["id"]
            assert [each.get("content") for each in asked(it)][-2:] == ["blue", '{"a": [1, null]}']
            assert await chat.post(body(question, answer)) == chunks
            assert it.upstream.stats.started == 2
            loaded = await chat.call("GET", "/chat/messages")
            kept = [part["output"] for part in loaded[1]["parts"] if part["type"] == "tool-look"]
            assert kept == ["blue", {"a": [1, None]}]

    run(main())


def test_what_calls_gave_is_told_again_when_its_answer_failed() -> None:
    async def main() -> None:
        async with office(assistants=(Choice("clerk", "model"),)) as it:
            chat = Chat(it)
            await chat.post(body(user("say 1 calls=1 tag=look"), tools=LOOK))
            question, answer = await chat.call("GET", "/chat/messages")
            answer["parts"][-1] |= {"state": "output-error", "errorText": "blind"}
            failed = await chat.post(body(question, answer, assistant="clerk"))  # its worker knows of no assistant
            assert failed[-1]["type"] == "error"
            assert text_of(await chat.post(body(question, answer, model="model"))) == said(1, "look")
            loaded = await chat.call("GET", "/chat/messages")
            assert loaded[1]["parts"][2]["errorText"] == "blind"

    run(main())


def test_outputs_whose_telling_failed_are_told_with_the_next_message() -> None:
    async def main() -> None:
        async with office(assistants=(Choice("clerk", "model"),)) as it:
            chat = Chat(it)
            await chat.post(body(user("say 1 calls=1 tag=look"), tools=LOOK))
            question, answer = await chat.call("GET", "/chat/messages")
            answer["parts"][-1] |= {"state": "output-available", "output": "blue"}
            await chat.post(body(question, answer, assistant="clerk"))  # its worker knows of no assistant
            await chat.post(body(question, answer, user("and now?", "u2")))
            assert [each["role"] for each in asked(it)] == ["user", "assistant", "tool", "user"]
            # Told once: it is not told again.
            loaded = await chat.call("GET", "/chat/messages")
            await chat.post(body(question, answer, loaded[2], loaded[3], user("then", "u3")))
            await chat.post(body(question, answer, user("late", "u4")))
            assert [each["role"] for each in asked(it)].count("tool") == 1

    run(main())


def test_a_copy_that_shows_another_branch_goes_on_there() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            await chat.post(body(user("say 1 vary tag=a")))
            shown = await chat.call("GET", "/chat/messages")
            await chat.post(body(user("say 1 vary tag=a"), trigger="regenerate-message"))
            assert texts(await chat.call("GET", "/chat/messages"))[1] == "a.r2:0000 "
            await chat.post(body(*shown, user("more", "u2")))
            assert [each["content"] for each in asked(it)] == ["say 1 vary tag=a", "a.r1:0000 ", "more"]

    run(main())


def test_a_regenerate_sent_twice_is_answered_once() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            await chat.post(body(user("say 20 delay=0.02 vary")))
            again = body(user("say 20 delay=0.02 vary"), trigger="regenerate-message")
            one, two = await asyncio.gather(chat.post(again), late(it, chat, again))
            assert text_of(one) == text_of(two)
            assert it.upstream.stats.started == 2
            named = again | {"messageId": one[0]["messageId"]}
            assert text_of(await chat.post(named)) == text_of(await chat.post(named)) != text_of(one)
            assert it.upstream.stats.started == 3

    run(main())


async def late(it: Office, chat: Chat, given: dict[str, Any]) -> list[dict[str, Any]]:
    """The same again while the first one is being answered."""
    await until(lambda: it.upstream.stats.started == 2)
    return await chat.post(given)


def test_an_application_that_sends_one_message_alone_keeps_its_place() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            for name in ("u1", "u2", "u3"):
                await chat.post({"id": "chat", "message": user(name, name)})
            await chat.post({"id": "chat", "message": user("u3", "u3"), "trigger": "regenerate-message"})
            assert [each["content"] for each in asked(it) if each["role"] == "user"] == ["u1", "u2", "u3"]
            await chat.post({"id": "chat", "message": user("instead", "u2"), "messageId": "u2"})
            assert [each["content"] for each in asked(it) if each["role"] == "user"] == ["u1", "instead"]
            found = texts(await chat.call("GET", "/chat/messages"))
            assert found[::2] == ["u1", "instead"]

    run(main())


def test_what_waits_is_listed_behind_what_is_being_written() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            async with chat.reading(body(user("say 1000 delay=0.02")), 1):
                second = asyncio.create_task(chat.post(body(user("more", "u2"))))
                await queued(it, 2)
                assert texts(await chat.call("GET", "/chat/messages")) == ["say 1000 delay=0.02", "more"]
                await chat.call("POST", "/chat/stop")
                await second

    run(main())


def test_an_image_is_shown_and_loaded() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            shown = {"type": "file", "mediaType": "image/png", "filename": "a.png", "url": IMAGE}
            message = {"id": "u1", "role": "user", "parts": [shown, {"type": "text", "text": "What is this?"}]}
            await chat.post(body(message))
            assert asked(it)[0]["content"][1]["image_url"]["url"] == IMAGE
            loaded = await chat.call("GET", "/chat/messages")
            assert loaded[0]["parts"][0] == {"type": "file", "mediaType": "image/png", "url": IMAGE}
            assert texts(loaded)[0] == "What is this?"

    run(main())


def test_a_chat_that_is_deleted_ends_with_an_error() -> None:
    async def main() -> None:
        async with office() as it:
            chat = Chat(it)
            reading = asyncio.create_task(chat.post(body(user("say 1000 delay=0.02"))))
            await until(lambda: it.upstream.stats.tokens > 5)
            [listed] = (await it.home.call("GET", "/api/conversations"))["data"]
            await it.home.call("DELETE", f"/api/conversations/{listed['id']}")
            last = (await reading)[-1]
            assert last == {"type": "error", "errorText": "The chat was deleted. (response_deleted)"}
            assert await chat.resume() is None
            gone = await chat.call("GET", "/chat/messages", expect=410)
            assert gone["error"]["code"] == "conversation_deleted"

    run(main())


def test_another_server_resumes_as_well() -> None:
    async def main() -> None:
        async with office(servers=2) as it:
            chat, elsewhere = Chat(it), Chat(it)
            elsewhere.url = it.home.served[1].url
            async with chat.reading(body(user("say 60 delay=0.02")), 3):
                chunks = await elsewhere.resume()
            assert chunks is not None
            assert text_of(chunks) == said(60)

    run(main())


def test_a_server_that_goes_says_so() -> None:
    async def main() -> None:
        async with office(servers=2) as it:
            chat, elsewhere = Chat(it), Chat(it)
            elsewhere.url = it.home.served[1].url
            reading = asyncio.create_task(chat.post(body(user("say 60 delay=0.02"))))
            await until(lambda: it.upstream.stats.tokens > 5)
            it.home.served[0].server.go()
            last = (await reading)[-1]
            assert last["type"] == "error"
            assert last["errorText"].endswith("(server_restarting)")
            chunks = await elsewhere.resume()
            assert chunks is not None
            assert text_of(chunks) == said(60)

    run(main())


def test_a_choice_of_model_or_assistant() -> None:
    async def main() -> None:
        async with office(assistants=(Choice("clerk", "model"),)) as it:
            chat = Chat(it)
            failed = await chat.post(body(user("hello"), assistant="clerk"))  # its worker knows of no assistant
            assert failed[-1]["errorText"].endswith("(assistant_not_found)")
            refused = await chat.call("POST", "", body(user("x", "u2"), assistant="nobody"), expect=404)
            assert (refused["error"]["code"], refused["error"]["param"]) == ("assistant_not_found", "assistant")

    run(main())
