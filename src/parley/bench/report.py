"""One page of figures, and what they mean. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

Summary = Mapping[str, Mapping[str, float]]

WIDTH = 13
# From so many waiting processes a core on, a machine was busy with something else.
BUSY = 0.5


def page(result: Mapping[str, Any]) -> str:
    """The page for people; see `parley.cli.bench` for what is in a result."""
    return "\n".join(_lines(result))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    summary: Summary = result["summary"]
    plan, machine = result["plan"], result["machine"]
    yield f"{result['what']}, over {result['protocol']}"
    yield f"{machine['cpu'] or 'this machine'}, {machine['cores']} cores, Python {machine['python']}"
    said = f", {plan['tokens']} tokens a reply, {_pace(plan['delay'])}" if result["deterministic"] else ""
    yield f"{plan['conversations']} conversations at once, {plan['turns']} turns each{said}"
    yield f"{result['rounds']} rounds: median (least - most)"
    yield ""
    yield from _replies(result)
    yield from _latencies(result, summary)
    yield _line("delivered", f"{_range(summary, 'tokens_per_s')} {_unit(result)} a second")
    yield from _cost(result, summary)
    yield from _limit(result)
    if machine["load_average"] > BUSY * machine["cores"]:
        yield ""
        busy = machine["load_average"]
        yield f"The machine was busy with other things (load {busy:.1f}): it can do better than this."


def _replies(result: Mapping[str, Any]) -> Iterator[str]:
    runs = result["runs"]
    right, refused = sum(run["replies"] for run in runs), sum(run["refused"] for run in runs)
    failed, wrong = sum(run["failed"] for run in runs), sum(run["wrong"] for run in runs)
    total = result["rounds"] * result["plan"]["conversations"] * result["plan"]["turns"]
    how = {"schedule": ", each character as the model said it", "kept": ", each as the server kept it"}
    yield _line("replies", f"{right} of {total} right{how.get(result['checked'], '')}")
    for count, what in ((refused, "refused: come back later"), (failed, "failed"), (wrong, "WRONG")):
        if count:
            yield _line("", f"{count} {what}")
    for error in [error for run in runs for error in run["errors"]][:3]:
        yield _line("", f"  {error}")


def _latencies(result: Mapping[str, Any], summary: Summary) -> Iterator[str]:
    told = {
        "accepted": ("accept_ms", "from sending a message to the receipt: from here on it will be answered"),
        "first token": ("first_token_ms", "from sending a message to the first piece of its reply"),
        "lag": ("lag_ms", "how far a token is behind the moment the model was due to say it"),
        "whole reply": ("whole_reply_ms", "from sending a message to the end of its reply"),
    }
    for name, (path, meaning) in told.items():
        if f"{path}.p50" not in summary or (name == "whole reply" and result["deterministic"]):
            continue
        yield _line(name, f"{_range(summary, f'{path}.p50')} ms half of them, {_range(summary, f'{path}.p99')} ms p99")
        yield _line("", meaning)


def _cost(result: Mapping[str, Any], summary: Summary) -> Iterator[str]:
    if not result["processes"]:
        yield _line("cost", "not known: its processes are not on this machine, or not ours to look at")
        return
    tokens, seconds = summary["tokens"]["median"], summary["cpu_s"]["median"]
    parts = _parts(summary, "cpu_s_by_part.", "", 1e6 / tokens if tokens else 0)
    million = _range(summary, "cpu_s_per_million_tokens")
    yield _line("cost", f"{million} CPU seconds for a million {_unit(result)}: {parts}")
    wall = summary["wall_s"]["median"]
    if seconds and result["plan"]["delay"] and result["deterministic"]:
        core = result["plan"]["conversations"] * wall / seconds
        yield _line("", f"one core carries about {core:.0f} conversations like these")
    total = sum(each["median"] for path, each in summary.items() if path.startswith("memory.") and "pss" in path)
    yield _line("memory", f"{total:.0f} MB: {_parts(summary, 'memory.', '.pss_mb', 1)}")


def _limit(result: Mapping[str, Any]) -> Iterator[str]:
    direct: Summary | None = result.get("direct")
    if not direct or "first_token_ms.p50" not in direct:
        return
    told = f"first token {_range(direct, 'first_token_ms.p50')} ms half of them"
    if "lag_ms.p99" in direct:
        told += f", lag {_range(direct, 'lag_ms.p99')} ms p99"
    yield _line("the limit", f"the model asked directly: {told}")
    client = result["summary"]["client_cpu_s"]["median"]
    yield _line("", f"the load client itself took {client:.2f} CPU seconds, not counted above")


def _parts(summary: Summary, before: str, behind: str, factor: float) -> str:
    found = {
        path.removeprefix(before).removesuffix(behind): each["median"] * factor
        for path, each in summary.items()
        if path.startswith(before) and path.endswith(behind)
    }
    return ", ".join(f"{name} {value:.3g}" for name, value in found.items())


def _line(name: str, text: str) -> str:
    return f"{name:{WIDTH}}{text}".rstrip()


def _range(summary: Summary, path: str) -> str:
    figure = summary[path]
    return f"{figure['median']:.4g} ({figure['min']:.4g} - {figure['max']:.4g})"


def _pace(delay: float) -> str:
    return f"{delay * 1000:g} ms a token" if delay else "as fast as they come"


def _unit(result: Mapping[str, Any]) -> str:
    return "tokens" if result["deterministic"] else "pieces"
