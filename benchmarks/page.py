"""Writes docs/performance.md and its plots from results.json.

    python benchmarks/page.py [--check]

With --check nothing is written; exit status 1 when the page is not what the results say.
"""

import argparse
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import goals
import msgspec
import scale
import svg
from figures import Results, parts, shown

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
PLOTS = "performance"

LOAD = {
    "CPU s / M tokens": "cpu_s_per_million_tokens",
    "first token p50 ms": "first_token_ms.p50",
    "p99": "first_token_ms.p99",
    "lag p50 ms": "lag_ms.p50",
    "p99 ": "lag_ms.p99",
    "accept p50 ms": "accept_ms.p50",
    "p99  ": "accept_ms.p99",
    "tokens/s": "tokens_per_s",
    "deltas/s": "deltas_per_s",
}

INTRO = """# Performance

Written by `make bench-full` from `benchmarks/results.json`; do not edit. Measured on {cpu}, {cores} cores,
{memory_mb:,} MB, Python {python}, Linux {kernel}, {at} UTC, load client and upstream on the same machine. The load
average at the beginning was {load_average:.1f}{busy}.

Figures are medians over rounds, in parentheses the least and the most. *CPU s / M tokens* are the CPU seconds of all of
Parley's processes (web server, worker, supervisor, redis-server) for a million tokens delivered; those of the load
client and of the upstream are not in it. *Lag* is how far a token is behind the moment at which the upstream was due to
say it. *Direct* is the same client asking the upstream itself: the limit. Every character of every reply was checked.

`make bench` measures the short form and compares it with `benchmarks/baseline.json`; `parley bench` measures any
installation.
"""

MEANING = {
    "accept": "From sending a message to the receipt. The receipt comes when the disk has the message.",
    "stream": "64 conversations, 2 turns of 200 tokens each; they begin spread over a second.",
    "burst": "64 conversations, 4 turns of 1,000 tokens each, written by the upstream without a pause.",
    "many": "Replies of 250 tokens that begin within two seconds; one worker, one web server.",
    "history": "50 turns of 20 tokens behind so many messages, one after the other; each adds two.",
    "idle": "Growth of the memory (PSS) of all processes, divided by the sockets.",
    "watchers": "One reply of 60 tokens, 50 ms each; the lag is over all tokens of all watchers.",
    "start": "`parley up` with an embedded Redis and a model elsewhere, from its command to ready. Memory is RSS and, "
    "with what is shared divided among those who share it, PSS.",
    "storage": "Redis' own accounts of 64 conversations with 4 turns of 200 tokens.",
    "durability": "32 conversations, 10 turns of 10 tokens at 20 ms. In memory only: a Redis without a file. Synced "
    "each second: a kernel crash loses up to a second. Own barrier: Parley has the file synced before it answers. At "
    "each write: Redis syncs every delta too.",
    "sharded": "Two appenders (the worker's own code, with no model, web server or reader) write to 96 replies each "
    "for four seconds, a token as soon as the one before it is acknowledged. *written_per_s* is what this machine "
    "carried: appenders and servers share its cores, so several servers cannot show what they could do. "
    "*ceiling_per_s* is arithmetic: what so many servers carry with a core for each, by the CPU a token cost them.",
    "processes": "Burst: 64 conversations, 3 turns of 1,000 tokens without a pause. Client, upstream and all processes "
    "share the two cores.",
    "cores": "What a further web server and worker add where cores are not what is short: the kernel holds each of "
    "them to a tenth of a core (a control group's quota), and nothing else. 64 conversations, 2 turns of 400 tokens "
    "without a pause. The gain is the tokens a second beside those of one pair; four would be all that four can bring.",
    "overload": "4 x 64 conversations at once against a worker that is set to 64 replies at once; calm before and "
    "after are 16 conversations. While all places are taken one turn may wait for every eight that run; whoever comes "
    "then is refused. Those eight wait until a reply ends, at most as long as one takes.",
    "beside": "64 conversations, one load, one client, in the same session. A peer's figures hold all its processes, "
    "with its Redis where it has one. resumable-stream keeps text in the memory of the process that produces it; "
    "open-responses-server and Chainlit keep history in their memory; LiteLLM keeps nothing. Parley's are durable. "
    "The floor (benchmarks/peers/floor.py) is no server, but what a durable relay costs in Python that can do nothing "
    "else: bytes from the upstream to a Redis log and on, untouched, on bare protocols.",
}

LIMIT = """Neither the upstream nor the load client is what is measured: together, with nothing between, they carry
{fast:,.0f} tokens a second. At 64 conversations at 20 ms a token the upstream writes a token {p50:.1f} ms after it is
due (p99 {p99:.1f} ms; its timer has a resolution of 1 ms) and takes {upstream:.0f} CPU seconds a million tokens, the
client {client:.0f}.
"""

UNITS = """Unit costs, measured at 256 replies at 20 ms a token: {web:.3g} µs of a web server's CPU a token,
{worker:.3g} µs of a worker's, {redis:.3g} µs of Redis'; {socket_kb:.3g} kB a socket; in Redis {conversation:.0f} B a
conversation, {turn_kb:.3g} kB a turn of 200 tokens that ended a moment ago, {under_way_kb:.3g} kB a reply under way;
{wire:.0f} B a token to the client, {redis_wire:.0f} B a token to and from Redis.

From these: a core is loaded to {percent:.0f} %, a conversation keeps {turns} turns, a reply comes at {pace} tokens a
second. A Redis process is one core, so its count is that of the shards.

"""


# What is drawn of each scenario.
DRAWN = {
    "accept": ("accept",),
    "stream": ("cost", "first token", "lag"),
    "burst": ("cost",),
    "many": ("first token", "lag"),
    "history": ("first token",),
    "watchers": ("lag",),
    "durability": ("cost", "accept"),
    "processes": ("cost",),
    "beside": ("cost", "first token", "lag"),
}
SPREADS = {"first token": "first_token_ms", "lag": "lag_ms", "accept": "accept_ms"}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join("| " + " | ".join(cell.strip() for cell in line) + " |" for line in lines)


class Page:
    """The page and its plots."""

    def __init__(self, results: Results, remarks: dict[str, str]) -> None:
        self.results = results
        self.remarks = remarks
        self.plots: dict[str, str] = {}

    def text(self) -> str:
        """The whole page; `plots` holds its plots from then on."""
        machine = self.results.machine
        busy = ": the machine was shared, these are not its best figures" if machine["load_average"] > 1 else ""
        written = [INTRO.format(**machine, busy=busy), self._limit(), "## Goals\n", self._goals()]
        for name, scenario in self.results.scenarios.items():
            written += [f"\n## {scenario['title']}\n", f"{MEANING.get(name, '')}{self._when(scenario)}\n"]
            written += self._scenario(name)
        written += ["\n## Scale on paper\n", self._scale()]
        return "\n".join(written).rstrip() + "\n"

    def _when(self, scenario: dict[str, Any]) -> str:
        """When it was measured, where that is not when the rest was."""
        own = scenario["machine"]
        if own["at"] == self.results.machine["at"]:
            return ""
        return f" Measured {own['at']} UTC, load average {own['load_average']:.1f}."

    def _limit(self) -> str:
        """What shows that upstream and load client are not what is measured."""
        paced, fast = dict(self.results.cases("stream")).get("direct"), dict(self.results.cases("burst")).get("direct")
        if paced is None or fast is None:
            return ""
        per = 1e6 / paced["tokens"]["median"]
        return LIMIT.format(
            fast=fast["tokens_per_s"]["median"],
            p50=paced["upstream_late_ms.p50"]["median"],
            p99=paced["upstream_late_ms.p99"]["median"],
            client=paced["client_cpu_s"]["median"] * per,
            upstream=paced["upstream_cpu_s"]["median"] * per,
        )

    def _goals(self) -> str:
        return table(("figure", "goal", "measured", "reached", "remark"), goals.rows(self.results, self.remarks))

    def _scenario(self, name: str) -> Iterator[str]:
        cases = list(self.results.cases(name))
        loads = [(case, summary) for case, summary in cases if "tokens_per_s" in summary]
        if loads:
            columns = {head: path for head, path in LOAD.items() if any(path in summary for _, summary in loads)}
            yield table(
                ("", *columns),
                ((case, *(shown(summary.get(path)) for path in columns.values())) for case, summary in loads),
            )
        others = [(case, summary) for case, summary in cases if "tokens_per_s" not in summary]
        if others:
            yield from self._plain(others)
        if name == "beside":
            yield self._versions()
            yield from self._ratios(dict(cases))
        yield from self._plots(name, cases)

    def _versions(self) -> str:
        runs = {case.partition(":")[0]: runs[-1] for case, runs in self.results.scenarios["beside"]["cases"].items()}
        told = [f"{peer} {run['version']}" for peer, run in runs.items() if "version" in run]
        return f"\nVersions: {', '.join(told)}." if told else ""

    def _ratios(self, cases: dict[str, dict[str, Any]]) -> Iterator[str]:
        """What Parley's WebSocket costs against each peer: below 1, Parley is cheaper or sooner."""
        rows = []
        for case, summary in cases.items():
            peer, _, load = case.partition(": ")
            ours = cases.get(f"Parley, websocket: {load}")
            if ours is None or peer == "direct" or peer.startswith("Parley") or "tokens_per_s" not in summary:
                continue
            told = [
                f"{ours[path]['median'] / summary[path]['median']:.2f}"
                if path in ours and path in summary and summary[path]["median"]
                else "-"
                for path in ("cpu_s_per_million_tokens", "first_token_ms.p50", "first_token_ms.p99")
            ]
            rows.append((case, *told))
        if rows:
            yield "\nParley over its WebSocket, as a multiple of each peer:\n"
            yield table(("", "CPU", "first token p50", "p99"), rows)

    def _plain(self, cases: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
        left_out = (".max", ".count", ".p90", "did_not_run")
        paths = dict.fromkeys(path for _, summary in cases for path in summary if not path.endswith(left_out))
        rows = ((path, *(shown(summary.get(path)) for _, summary in cases)) for path in paths)
        if paths:
            yield table(("", *(case for case, _ in cases)), rows)

    def _plots(self, name: str, cases: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
        title, drawn = self.results.scenarios[name]["title"], DRAWN.get(name, ())
        if "cost" in drawn:
            cost = [
                (case, parts(summary, "cpu_s_by_part.", factor=1e6 / summary["tokens"]["median"]))
                for case, summary in cases
                if summary.get("tokens", {"median": 0})["median"]
            ]
            yield self._plot(f"{name}-cost", svg.bars(f"{title}: CPU seconds a million tokens", "s", cost))
        for words in [words for words in drawn if words in SPREADS]:
            figure = SPREADS[words]
            spread = [
                (case, summary[f"{figure}.p50"]["median"], summary[f"{figure}.p99"]["median"])
                for case, summary in cases
                if f"{figure}.p50" in summary
            ]
            yield self._plot(f"{name}-{words.replace(' ', '-')}", svg.ranges(f"{title}: {words}", "ms", spread))
        if name == "start":
            held = [(kind, parts(cases[0][1], "memory.", f".{kind}_mb")) for kind in ("rss", "pss")]
            yield self._plot("start-memory", svg.bars("Memory when ready", "MB", held))

    def _plot(self, name: str, drawn: str) -> str:
        self.plots[f"{name}.svg"] = drawn
        return f"\n![{name.replace('-', ' ')}]({PLOTS}/{name}.svg)"

    def _scale(self) -> str:
        cost = scale.units(self.results)
        if cost is None:
            return "Not everything that is needed for it was measured."
        told = UNITS.format(
            **msgspec.structs.asdict(cost),
            socket_kb=cost.socket / 1000,
            turn_kb=cost.turn / 1000,
            under_way_kb=cost.under_way / 1000,
            percent=scale.LOADED * 100,
            turns=scale.TURNS,
            pace=scale.PACE,
        )
        head = ("conversations open", "", "tokens/s", "web servers", "workers", "Redis shards", "sockets' memory")
        return told + table((*head, "Redis memory", "to clients", "Redis' network"), scale.rows(cost))


def main() -> int:
    """Write, or check; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when the page is not up to date")
    chosen = parser.parse_args()
    page = Page(Results(HERE / "results.json"), tomllib.loads((HERE / "remarks.toml").read_text()))
    text = page.text()
    files = {PAGE: text} | {PAGE.parent / PLOTS / name: drawn for name, drawn in page.plots.items()}
    stale = [path for path, content in files.items() if not path.exists() or path.read_text() != content]
    if chosen.check:
        for path in stale:
            print(f"{path} is not what results.json says: run benchmarks/page.py", file=sys.stderr)
        return 1 if stale else 0
    plots = PAGE.parent / PLOTS
    plots.mkdir(exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    for path, content in files.items():
        path.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
