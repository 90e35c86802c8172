"""Other servers, the same work, the same session: those that benchmarks/peers/install.sh has put on this machine.

Each is started anew for each round, warmed up, and measured with the same load, client and upstream. They do less than
Parley: none keeps a reply that outlives its process, unless the name says so.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

from chainlit_driver import Chainlit
from common import Bench, Case, Figures, main
from msgspec import Struct

from parley.bench.drivers import Chat, Driver, Responses
from parley.bench.http import Connection, Failed, Origin
from parley.bench.installation import Running, clean, free_port, upstream
from parley.bench.load import Load, Plan
from parley.bench.measure import measure
from parley.bench.processes import family
from parley.bench.stage import WARM, stage
from parley.store.embedded import find_binary

TITLE = "Peers, side by side"
PLANS = {
    "20 ms a token": Plan(conversations=64, turns=2, tokens=200, delay=0.02),
    "as fast as they come": Plan(conversations=64, turns=1, tokens=1000, delay=0.0, ramp=0.1),
}
OURS = ("direct", "websocket", "chat", "responses")
CACHE = Path(os.environ.get("PARLEY_BENCH_CACHE") or Path.home() / ".cache" / "parley-bench")
PATIENCE = 120.0
# For a peer that will not start without one.
KEY = "sk-bench-1234"

LITELLM = """model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "{upstream}", api_key: none}}
"""

APP = Path(__file__).parent / "peers" / "chainlit_app.py"
FLOOR = APP.with_name("floor.py")


class Peer(Struct, frozen=True):
    """How a peer is started and talked to. `{...}` in texts: cache, directory, port, upstream, redis.

    `package` is what it is installed as, `path` its base URL's path, `needs_redis` that it is given a Redis of its own,
    which counts.
    """

    package: str
    command: tuple[str, ...]
    driver: type[Driver]
    path: str = "/v1"
    variables: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    needs_redis: bool = False


PEERS = {
    "floor": Peer(
        "",
        (sys.executable, str(FLOOR)),
        Chat,
        variables={"PORT": "{port}", "UPSTREAM": "{upstream}", "REDIS_URL": "{redis}"},
        needs_redis=True,
    ),
    "resumable-stream": Peer(
        "resumable-stream",
        ("node", "{cache}/resumable-stream/server.mjs"),
        Chat,
        path="",
        variables={"PORT": "{port}", "UPSTREAM": "{upstream}", "REDIS_URL": "{redis}"},
        needs_redis=True,
    ),
    "open-responses": Peer(
        "open-responses-server",
        ("{cache}/open-responses/bin/otc", "start"),
        Responses,
        path="",
        variables={
            "API_ADAPTER_HOST": "127.0.0.1",
            "API_ADAPTER_PORT": "{port}",
            "OPENAI_BASE_URL_INTERNAL": "{root}",
            "OPENAI_API_KEY": "none",
        },
    ),
    "chainlit": Peer(
        "chainlit",
        ("{cache}/chainlit/bin/chainlit", "run", "app.py", "--headless", "--host", "127.0.0.1", "--port", "{port}"),
        Chainlit,
        path="",
        files={"app.py": APP.read_text().replace("{", "{{").replace("}", "}}")},
        variables={"OPENAI_BASE_URL": "{upstream}", "OPENAI_API_KEY": "none"},
    ),
    "litellm": Peer(
        "litellm",
        ("{cache}/litellm/bin/litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", "{port}"),
        Chat,
        files={"config.yaml": LITELLM},
        variables={"LITELLM_MASTER_KEY": KEY, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    ),
}


def installed(name: str) -> bool:
    """Whether the installation script has put it here. The floor is ours."""
    return not PEERS[name].package or (CACHE / name).is_dir()


def version(name: str, package: str) -> str:
    """What is installed of a peer."""
    if not package:
        return "-"
    npm = CACHE / name / "node_modules" / package / "package.json"
    if npm.exists():
        return str(json.loads(npm.read_text())["version"])
    program = f"import importlib.metadata as m; print(m.version({package!r}))"
    python = str(CACHE / name / "bin" / "python")
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.asynccontextmanager
async def redis(directory: str, *, wanted: bool) -> AsyncIterator[tuple[str, list[int]]]:
    """A Redis as a peer's own documentation has it started, and its process."""
    if not wanted:
        yield "", []
        return
    port = free_port()
    command = [str(find_binary().path), "--port", str(port), "--bind", "127.0.0.1", "--dir", directory]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield f"redis://127.0.0.1:{port}", [process.pid]
        finally:
            process.terminate()


@contextlib.asynccontextmanager
async def running(peer: Peer, above: Running) -> AsyncIterator[tuple[Running, list[int]]]:
    """A peer that answers, and all its processes."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-", ignore_cleanup_errors=True) as name:
        async with redis(name, wanted=peer.needs_redis) as (redis_url, beside):
            port = free_port()
            words = {"cache": str(CACHE), "directory": name, "port": str(port), "upstream": above.url}
            words |= {"redis": redis_url, "root": above.url.removesuffix("/v1")}
            for file, text in peer.files.items():
                (Path(name) / file).write_text(text.format(**words))
            variables = clean() | {key: text.format(**words) for key, text in peer.variables.items()}
            log = Path(name) / "output.txt"
            began = time.monotonic()
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [part.format(**words) for part in peer.command],
                    stdout=output, stderr=subprocess.STDOUT, cwd=name, env=variables, start_new_session=True,
                )  # fmt: skip
            try:
                url = f"http://127.0.0.1:{port}{peer.path}"
                await until_it_speaks(url, process, log)
                yield Running(url, process.pid, time.monotonic() - began), [*family(process.pid), *beside]
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


async def until_it_speaks(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a port is open and HTTP is answered there."""
    until = time.monotonic() + PATIENCE
    while True:
        if process.poll() is not None or time.monotonic() > until:
            raise Failed(f"it did not start: {log.read_text(errors='replace')[-800:]}")
        with contextlib.suppress(Failed):
            http = await Connection.open(Origin(url))
            with contextlib.suppress(Failed):
                await http.stream("GET", "/models", None, None)
            http.close()
            return
        await asyncio.sleep(0.05)


async def of_peer(name: str, plan: Plan) -> Figures:
    """One round of a peer; one that cannot be measured does not stop the others."""
    try:
        return await measured(PEERS[name], plan) | {"version": version(name, PEERS[name].package)}
    except Failed as error:
        print(f"    {error}", file=sys.stderr)
        return {"did_not_run": 1, "errors": [str(error)]}


async def measured(peer: Peer, plan: Plan) -> Figures:
    async with upstream() as above, running(peer, above) as (server, pids):
        clock = Origin(above.url.removesuffix("/v1"))
        make = maker(peer.driver, server.url)
        load = Load(WARM, make, clock)
        await load.open()
        await load.run()
        load.close()
        figures = await measure(plan, make, pids=pids, upstream=clock, upstream_pid=above.pid)
    return figures | {"ready_s": round(server.ready_s, 2)}


def maker(driver: type[Driver], url: str) -> Callable[[], Driver]:
    origin = Origin(url, KEY)
    return lambda: driver(origin, "bench")


async def of_ours(driver: str, plan: Plan) -> Figures:
    """One round of Parley, or of the upstream asked directly."""
    async with stage() as ready:
        await ready.warm(driver)
        return await ready.measure(plan, driver)


async def run(bench: Bench) -> None:
    cases: dict[str, Case] = {}
    for words, plan in PLANS.items():
        for driver in OURS:
            name = driver if driver == "direct" else f"Parley, {driver}"
            cases[f"{name}: {words}"] = partial(of_ours, driver, plan)
        for name in PEERS:
            if installed(name):
                cases[f"{name}: {words}"] = partial(of_peer, name, plan)
            else:
                print(f"  {name} is not installed (benchmarks/peers/install.sh {name})", file=sys.stderr)
    await bench.rounds(cases)


if __name__ == "__main__":
    main("beside", TITLE, run)
