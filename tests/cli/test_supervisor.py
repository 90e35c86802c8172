"""The supervisor with real processes: what dies is started again, what is told to leave leaves, in order."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parley.cli import supervisor
from parley.cli.part import Part
from parley.cli.sources import SettingsError
from parley.cli.supervisor import listen
from parley.store.embedded import live_url
from tests.redis_servers import free_port

# The supervisor in a process of its own, with children that write down what happens to them.
PROGRAM = """
import asyncio, json, logging, sys
from pathlib import Path
from parley.cli import supervisor
from parley.cli.part import Part
from parley.cli.supervisor import Supervisor, listen
from parley.store.embedded import EmbeddedRedis

logging.basicConfig(level=logging.WARNING, format="%(message)s")
place, options = Path(sys.argv[1]), json.loads(sys.argv[2])
diary = place / "diary"

def note(text):
    with diary.open("a") as file:
        file.write(text + "\\n")

CHILD = '''
import os, signal, sys, time
from pathlib import Path
name, diary, behaviour = sys.argv[1:4]
consumer = sys.argv[sys.argv.index("--consumer") + 1] if "--consumer" in sys.argv else "-"
def note(text):
    with open(diary, "a") as file:
        file.write(f"{name} {text}\\\\n")
def told(number, frame):
    note(f"got {signal.Signals(number).name}")
    if behaviour == "stubborn" or (behaviour == "busy" and number == signal.SIGINT):
        return
    note("left")
    os._exit(0)
signal.signal(signal.SIGTERM, told)
signal.signal(signal.SIGINT, told)
note(f"began {os.getpid()} {consumer}")
if behaviour == "broken":
    sys.exit(1)
if behaviour == "unusable":
    sys.exit(2)
while True:
    time.sleep(60)
'''

def part(name, behaviour):
    return Part(name, (sys.executable, "-c", CHILD, name, str(diary), behaviour))

async def death(consumer):
    note(f"dead {consumer}")
    if options.get("deaf"):
        raise RuntimeError("no store")

async def start():
    note("started")

supervisor.LEAVE_WAIT = 0.5
supervisor.HEALTHY = options.get("healthy", supervisor.HEALTHY)
redis = EmbeddedRedis(place / "data") if options.get("redis") else None
servers = [part(f"web{n}", kind) for n, kind in enumerate(options.get("servers", ["good"]))]
workers = [part(f"work{n}", kind) for n, kind in enumerate(options.get("workers", ["good"]))]
status = asyncio.run(Supervisor(redis, servers, workers, death, start).run())
note(f"status {status}")
sys.exit(status)
"""


class Run:
    """A supervisor under test and the diary of its children."""

    def __init__(self, place: Path, options: str) -> None:
        self.diary = place / "diary"
        self.diary.touch()
        command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(place), options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def lines(self, pattern: str = "") -> list[str]:
        return [line for line in self.diary.read_text().splitlines() if re.search(pattern, line)]

    def until(self, pattern: str, count: int = 1, seconds: float = 15.0) -> list[str]:
        deadline = time.monotonic() + seconds
        while len(found := self.lines(pattern)) < count:
            assert time.monotonic() < deadline, (pattern, self.lines())
            time.sleep(0.005)
        return found

    def pid(self, name: str) -> int:
        return int(self.lines(f"^{name} began")[-1].split()[2])

    def end(self) -> str:
        if self.process.poll() is None:
            self.process.kill()
        return self.process.communicate(timeout=20)[1]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    started: list[Run] = []

    def start(options: str = "{}") -> Run:
        started.append(Run(tmp_path, options))
        return started[-1]

    yield start
    for each in started:
        each.end()


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


def test_what_dies_is_started_again_at_once(run: Callable[[str], Run]) -> None:
    now = run('{"servers": ["good", "good"]}')
    now.until("began", 3)
    now.until("started")
    for count in range(2, 5):
        for name in ("web0", "web1", "work0"):
            os.kill(now.pid(name), signal.SIGKILL)
            now.until(f"^{name} began", count)
    assert len({line.split()[2] for line in now.lines("began")}) == 12


def test_a_dead_worker_is_told_of_by_its_own_name(run: Callable[[str], Run]) -> None:
    now = run('{"workers": ["good", "good"]}')
    first = now.until("^work0 began")[0].split()[3]
    os.kill(now.pid("work0"), signal.SIGKILL)
    killed = time.monotonic()
    assert now.until("^dead") == [f"dead {first}"]
    assert time.monotonic() - killed < 0.25
    assert now.until("^work0 began", 2)[1].split()[3] != first
    assert not now.lines("^dead -")  # web servers are no consumers
    consumers = [line.split()[3] for line in now.until("^work. began", 3)]
    assert len(set(consumers)) == 3


def test_a_store_that_does_not_hear_of_a_death_holds_nothing_up(run: Callable[[str], Run]) -> None:
    now = run('{"deaf": true}')
    now.until("^work0 began")
    os.kill(now.pid("work0"), signal.SIGKILL)
    now.until("^work0 began", 2)
    now.until("^dead")
    now.process.terminate()
    assert "could not free the turns" in now.process.communicate(timeout=20)[1]


def test_one_that_dies_again_and_again_is_given_time(run: Callable[[str], Run]) -> None:
    now = run('{"servers": ["broken"]}')
    begin = time.monotonic()
    now.until("^web0 began", 4)
    assert time.monotonic() - begin >= 0.3  # 0, 0.1 and 0.2 s
    now.process.terminate()
    assert "web0 ended (status 1); starting it again in 0.2 s" in now.process.communicate(timeout=20)[1]


def test_one_that_did_well_is_started_again_at_once_however_often_it_dies(run: Callable[[str], Run]) -> None:
    now = run('{"healthy": 0.1}')
    for count in range(1, 6):
        now.until("^web0 began", count)
        time.sleep(0.15)  # its life
        os.kill(now.pid("web0"), signal.SIGKILL)
    now.until("^web0 began", 6)
    now.process.terminate()
    assert "again in" not in now.process.communicate(timeout=20)[1]


def test_one_that_cannot_use_its_settings_ends_everything(run: Callable[[str], Run]) -> None:
    now = run('{"servers": ["good", "unusable"]}')
    now.until("status 2")
    assert now.process.wait(10) == 2
    assert all(gone(int(line.split()[2])) for line in now.lines("began"))


def test_sigterm_has_everyone_leave(run: Callable[[str], Run]) -> None:
    now = run("{}")
    now.until("began", 2)
    now.process.terminate()
    assert now.process.wait(10) == 0
    assert len(now.lines("got")) == 2
    assert {line.split()[2] for line in now.lines("got")} == {"SIGTERM"}
    assert len(now.lines("left")) == 2


def test_ctrl_c_lets_workers_finish_before_the_web_servers_go(run: Callable[[str], Run]) -> None:
    now = run("{}")
    now.until("began", 2)
    now.process.send_signal(signal.SIGINT)
    assert now.process.wait(10) == 0
    assert [line for line in now.lines() if "got" in line or "left" in line] == [
        "work0 got SIGINT",
        "work0 left",
        "web0 got SIGTERM",
        "web0 left",
    ]


def test_a_second_ctrl_c_leaves_the_replies_to_the_next_start(run: Callable[[str], Run]) -> None:
    now = run('{"workers": ["busy"]}')
    now.until("began", 2)
    now.process.send_signal(signal.SIGINT)
    now.until("^work0 got SIGINT")
    assert not now.lines("^web0 got")
    now.process.send_signal(signal.SIGINT)
    assert now.process.wait(10) == 0
    assert "work0 left" in now.lines()


def test_who_will_not_leave_is_killed(run: Callable[[str], Run]) -> None:
    now = run('{"workers": ["stubborn"]}')
    now.until("began", 2)
    begin = time.monotonic()
    now.process.terminate()
    assert now.process.wait(10) == 0
    assert time.monotonic() - begin < 5
    assert gone(now.pid("work0"))


def test_children_die_with_a_supervisor_that_is_killed(run: Callable[[str], Run], tmp_path: Path) -> None:
    now = run('{"redis": true}')
    now.until("began", 2)
    pids = [now.pid("web0"), now.pid("work0")]
    now.process.kill()
    until(lambda: all(map(gone, pids)))
    until(lambda: live_url(tmp_path / "data") is None)


def test_redis_is_started_again_and_stopped_last(run: Callable[[str], Run], tmp_path: Path) -> None:
    now = run('{"redis": true}')
    now.until("began", 2)
    data = tmp_path / "data"
    for _ in range(3):
        children = Path(f"/proc/{now.process.pid}/task/{now.process.pid}/children").read_text().split()
        (pid,) = [int(pid) for pid in children if b"redis-server" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: gone(pid))  # type: ignore[misc]
        until(lambda: live_url(data))
    assert len(now.lines("began")) == 2  # the others lived on
    now.process.terminate()
    assert now.process.wait(10) == 0
    assert live_url(data) is None


def test_a_redis_that_cannot_start_ends_it_at_once(run: Callable[[str], Run], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    now = run('{"redis": true}')
    error = now.process.communicate(timeout=20)[1]
    assert now.process.returncode == 1
    assert "can be written by anybody" in error
    assert not now.lines("began")


def test_a_port_in_use_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with listen("127.0.0.1", port), pytest.raises(SettingsError, match=f"port {port} on 127.0.0.1 is in use: choose"):
        listen("127.0.0.1", port)
    with pytest.raises(SettingsError, match=r"cannot listen on no\.such\.host\.invalid"):
        listen("no.such.host.invalid", port)


ACCEPT = """
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    link, _ = listener.accept()
    link.sendall(str(os.getpid()).encode())
    link.close()
"""


def test_while_one_web_server_lives_no_connection_is_refused() -> None:
    """One socket for all: what waits in it is served by whoever lives."""

    async def main(listener: socket.socket, port: int) -> None:
        number = listener.fileno()
        part = Part("web", (sys.executable, "-c", ACCEPT, str(number)), (number,))
        other = Part("web 2", part.command, part.descriptors)

        async def ignore(_: str) -> None: ...

        async def nothing() -> None: ...

        running = supervisor.Supervisor(None, [part, other], [], ignore, nothing)
        task = asyncio.create_task(running.run())
        answers = []
        for count in range(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)  # never refused
            with contextlib.suppress(ConnectionResetError):
                answers.append(await reader.read(16))
            writer.close()
            if count % 10 == 9:
                os.kill(int(answers[-1]), signal.SIGKILL)
        # A connection that a server had already accepted dies with it, but no other.
        assert len([answer for answer in answers if answer]) >= 55
        assert len({answer for answer in answers if answer}) > 2
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0

    port = free_port()
    with listen("127.0.0.1", port) as listener:
        asyncio.run(main(listener, port))
