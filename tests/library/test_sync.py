"""The client without an event loop, with everything real behind it: `parley up` and a scripted model."""

import gc
import inspect
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from parley import (
    AsyncChat,
    AsyncClient,
    AsyncReply,
    Chat,
    Client,
    Closed,
    Conflict,
    InvalidRequest,
    ModelError,
    NotFound,
    Reply,
)
from tests.redis_servers import free_port
from tests.system.deployment import Deployment, deployment, environment, until, upstream, workplace

CAPITALS = {"Italy": "Rome", "France": "Paris", "Spain": "Madrid"}


@pytest.fixture(scope="module")
def parley() -> Iterator[Deployment]:
    answers = [word for pair in CAPITALS.items() for word in ("--answer", "=".join(pair))]
    with (
        workplace() as directory,
        upstream(directory, *answers) as model,
        deployment(directory, "--model-url", model) as up,
    ):
        yield up


@pytest.fixture
def client(parley: Deployment) -> Iterator[Client]:
    with Client(parley.url) as opened:
        yield opened


def tokens(tag: str, count: int) -> str:
    return "".join(f"{tag}:{number:04d} " for number in range(count))


def test_a_conversation(client: Client) -> None:
    chat = client.conversation(system="I name a country, you name its capital.", title="Capitals")
    assert chat.say("Italy").text == "Rome"
    reply = chat.say("say 20 tag=a")
    assert "".join(reply) == tokens("a", 20) == reply.partial
    assert reply.status == "completed"
    assert reply.ended
    assert reply.usage.output_tokens == 20
    assert reply.model
    assert reply.first_token_ms is not None
    assert (client.get(chat.id).about.title, client.get(chat.id).total) == ("Capitals", 2)


def test_leaving_the_loop_does_not_stop_the_reply_and_cancel_does(client: Client) -> None:
    chat = client.conversation()
    reply = chat.say("say 30 tag=b delay=0.01")
    for _ in reply:
        break
    assert reply.text == tokens("b", 30)
    endless = chat.say("say 3000 tag=c delay=0.01")
    for delta in endless:
        assert delta
        endless.cancel()
    assert endless.wait().status == "cancelled"
    assert endless.partial
    assert endless.partial == tokens("c", 3000)[: len(endless.partial)]


def test_the_same_key_asks_once(client: Client) -> None:
    chat = client.conversation()
    one, other = (chat.say("say 5 tag=k vary", key="order-17") for _ in range(2))
    assert one.turn == other.turn
    assert one.text == other.text
    assert other.receipt is not None
    assert other.receipt.replayed
    assert chat.get().total == 1


def test_a_name_finds_its_conversation_again(client: Client, parley: Deployment) -> None:
    chat = client.conversation("geo", expire="7d")
    chat.say("Italy").wait()
    about = chat.get().about
    assert about.expires_at - about.created_at >= 7 * 86_400 * 1000
    with Client(parley.url) as another:
        assert another.conversation(id="geo").id == chat.id
        assert another.conversation(chat.id).id == chat.id
        events = list(another.follow("geo", until="idle"))
    assert events[0].type == "snapshot"
    with pytest.raises(NotFound):
        client.conversation("conv_" + "0" * 34)
    with pytest.raises(InvalidRequest, match="empty"):
        client.conversation("")
    for length in ("soon", "0s", 0, -1):
        with pytest.raises(InvalidRequest, match="7d"):
            client.conversation(expire=length)


def test_following_from_a_cursor_gives_the_rest_and_no_more(client: Client) -> None:
    chat = client.conversation(title="Titled, so that no event tells of a title later")
    reply = chat.say("say 40 tag=d delay=0.005")
    cursor, seen = None, ""
    for event in chat.follow():
        cursor = event.cursor
        if event.type == "snapshot":
            seen = event.data["turns"][-1]["text"]
        elif event.type == "delta":
            seen += event.data["text"]
        if len(seen) > 80:
            break
    rest = list(client.follow(chat.id, after=cursor, until="idle"))
    assert rest[-1].type == "end"
    seen += "".join(event.data["text"] for event in rest if event.type == "delta")
    assert seen == tokens("d", 40) == reply.text
    assert list(chat.follow(after=rest[-1].cursor, until="idle")) == []


def test_errors_say_what_to_do(client: Client) -> None:
    chat = client.conversation()
    with pytest.raises(InvalidRequest, match="empty"):
        chat.say(" ")
    failed = chat.say("say 5 tag=e error=2")
    with pytest.raises(ModelError, match="Ask again"):
        failed.text  # noqa: B018
    assert failed.partial == tokens("e", 2)
    assert failed.error is not None
    with pytest.raises(ModelError):
        list(failed)
    chat.say("one", key="order")
    with pytest.raises(Conflict, match="Give each message a key of its own"):
        chat.say("another", key="order")
    with pytest.raises(NotFound, match=r"models\(\) lists what there is"):
        chat.say("x", assistant="nobody")
    chat.delete()
    with pytest.raises(NotFound, match="was deleted"):
        chat.say("gone")
    with pytest.raises(NotFound, match=r"conversations\(\) lists what there is"):
        client.get("conv_" + 34 * "0")
    with Client(f"{client.url}/v1") as wrong, pytest.raises(NotFound, match="ends before /api and /v1"):
        wrong.conversation()


@pytest.mark.parametrize("said", ["a\0b", "x" * 3_000_000], ids=["NUL", "too long"])
def test_what_no_server_takes_is_told_of(client: Client, said: str) -> None:
    chat = client.conversation()
    with pytest.raises(InvalidRequest):
        chat.say(said)
    assert chat.say("Italy").text == "Rome"
    assert repr(chat) == f"<Chat {chat.id}>"


def test_a_server_that_is_killed_in_mid_reply_costs_nothing(client: Client, parley: Deployment) -> None:
    chat = client.conversation()
    reply = chat.say("say 200 tag=f delay=0.005")
    text, victims = "", parley.parts("serve")
    for delta in reply:
        text += delta
        if len(text) > 100 and victims:
            os.kill(victims.pop(), signal.SIGKILL)
    assert not victims
    assert text == tokens("f", 200)


def test_many_threads_share_a_client(client: Client) -> None:
    def talk(number: int) -> str:
        chat = client.conversation()
        return "".join(chat.say(f"say 30 tag=t{number} delay=0.001"))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(talk, range(16))) == [tokens(f"t{number}", 30) for number in range(16)]


def test_closing_lets_nobody_wait(parley: Deployment) -> None:
    client = Client(parley.url)
    reply = client.conversation().say("say 3000 tag=g delay=0.01")
    failures: list[BaseException] = []

    def read() -> None:
        try:
            list(reply)
        except Closed as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: bool(reply.partial))
    client.close()
    client.close()
    reader.join(10)
    assert not reader.is_alive()
    assert len(failures) == 1
    for late in (lambda: reply.text, lambda: list(reply), lambda: client.get(reply.conversation)):
        with pytest.raises(Closed):
            late()


def test_what_was_said_last_is_not_lost_when_the_program_ends_at_once(parley: Deployment) -> None:
    program = f"""
import asyncio, parley

async def main():
    async with parley.AsyncClient({parley.url!r}) as client:
        chat = await client.conversation("last words")
        chat.say("Italy")

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    with Client(parley.url) as client:
        list(client.follow("last words", until="idle"))
        assert [turn.text for turn in client.conversation("last words").get().turns] == ["Rome"]


def test_what_a_client_gave_keeps_it_open(parley: Deployment) -> None:
    assert Client(parley.url).conversation().say("Italy").text == "Rome"
    assert "".join(Client(parley.url).conversation().say("say 20 tag=k")) == tokens("k", 20)
    chat = Client(parley.url).conversation()
    chat.say("France").wait()
    gc.collect()
    events = Client(parley.url).follow(chat.id, until="idle")
    gc.collect()
    assert [event.type for event in events] == ["snapshot"]
    assert Client(parley.url).say(chat.id, "Spain").text == "Madrid"


def test_a_forgotten_client_ends_its_thread(parley: Deployment) -> None:
    before = threading.active_count()
    client = Client(parley.url)
    chat = client.conversation()
    for _ in chat.say("say 3000 delay=0.01"):
        break
    del client, chat
    gc.collect()
    until(lambda: threading.active_count() <= before)


def test_a_child_of_a_fork_is_told_to_make_its_own(client: Client) -> None:
    if (child := os.fork()) == 0:
        try:
            client.models()
        except Closed as error:
            os._exit(0 if "fork" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_ctrl_c_leaves_nothing_hanging(parley: Deployment) -> None:
    program = f"""
import sys, parley

with parley.Client({parley.url!r}) as client:
    for delta in client.conversation("interrupted").say("say 3000 tag=i delay=0.01"):
        print(delta, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        running.wait(10)
        assert time.monotonic() - began < 5
        assert running.stderr.read().strip().endswith(b"KeyboardInterrupt")
    with Client(parley.url) as client:
        assert client.conversation("interrupted").get().turns[-1].status == "in_progress"
        chat = client.conversation("interrupted")
        assert client.cancel(chat.id, chat.get().turns[-1].turn)


def test_ctrl_c_ends_a_wait_and_the_client_goes_on(parley: Deployment) -> None:
    with Client(parley.url) as client:
        reply = client.conversation().say("say 3000 delay=0.01")
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            reply.wait()
        reply.cancel()
        assert reply.wait().status == "cancelled"


def test_where_no_server_runs_one_is_started_and_goes_with_the_client(tmp_path: Path) -> None:
    with workplace() as directory, upstream(directory, "--answer", "Italy=Rome") as model:
        # Somebody may have a server at the usual port of this machine.
        program = f"""
import parley
import parley.client.address
parley.client.address.DEFAULT_URL = "http://127.0.0.1:{free_port()}"
with parley.Client() as client:
    print(client.url)
    print(client.conversation("home").say("Italy").text)
    print(client.conversation("home").get().total)
"""
        variables = environment(HOME=str(directory), XDG_DATA_HOME=str(directory / "data"), PARLEY_MODEL_URL=model)
        for turns in (1, 2):
            ran = subprocess.run(
                [sys.executable, "-c", program], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=90
            )
            url, text, total = ran.stdout.split()
            assert (text, int(total)) == ("Rome", turns), ran.stderr
            assert not _occupied(int(url.rpartition(":")[2]))
        broken = variables | {"PARLEY_MODEL_URL": f"http://127.0.0.1:{free_port()}"}
        ran = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=broken, capture_output=True, text=True, timeout=90
        )
        assert "parley.client.errors.Unreachable: No server runs here, and none could be started" in ran.stderr
        assert "PARLEY_MODEL_URL" in ran.stderr


def _occupied(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_twins_have_the_same_methods() -> None:
    for one, other in ((Client, AsyncClient), (Chat, AsyncChat), (Reply, AsyncReply)):
        names = {name for name in vars(other) if not name.startswith("_")}
        missing = names - set(dir(one)) - {"aclose", "accepted"}
        assert not missing
        for name in names & set(vars(one)):
            mine, theirs = getattr(one, name), getattr(other, name)
            assert inspect.getdoc(mine), name
            if callable(theirs):
                assert str(inspect.signature(mine)).split(" -> ")[0] == str(inspect.signature(theirs)).split(" -> ")[0]
