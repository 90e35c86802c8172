"""The live table while a storm goes on, and the verdict for people. Pure."""

from collections.abc import Iterator

from parley.chaos.plan import Fault, Part, Plan
from parley.chaos.storm import Storm
from parley.chaos.tally import Verdict

NAMES: dict[Part, str] = {"work": "workers", "serve": "web servers", "redis": "Redis"}
DONE: dict[Fault, str] = {"kill": "killed", "stop": "stopped", "term": "told to go"}
FORGOT: dict[Fault, str] = {"rollback": "rolled back", "power": "power cut"}
WIDTH = 22


def opening(plan: Plan) -> str:
    """What is about to happen, in a line."""
    parts = ", ".join(NAMES[part] for part in plan.parts)
    if plan.model:
        return (
            f"your Parley: conversations {plan.conversations}, for {plan.duration:g} s; kill what you like, it is only "
            f"watched; seed {plan.seed}"
        )
    return (
        f"a private Parley: workers {plan.workers}, web servers {plan.servers}, Redis 1; conversations "
        f"{plan.conversations}; for {plan.duration:g} s are hurt: {parts}; seed {plan.seed}"
    )


def line(storm: Storm) -> str:
    """How it stands, in a line."""
    hurt = ", ".join(f"{NAMES[part]} {hurts(storm, part)}" for part in storm.plan.parts)
    state = "calm" if storm.calm else f"{storm.seconds:.0f} s"
    return (
        f"{state}: accepted {storm.accepted}, ended {storm.ended}, flaws {storm.flaws}, "
        f"takeovers {storm.takeovers}, longest frozen {storm.frozen:.2f} s, hurt: {hurt}"
    )


def table(storm: Storm) -> list[str]:
    """How it stands, in lines."""
    plan, done = storm.plan, storm.killer.done
    words = DONE | (FORGOT if plan.rollbacks else {})
    left = max(0.0, plan.duration - storm.seconds)
    state = "calm: waiting for the last replies" if storm.calm else f"{left:.0f} s to go (Ctrl-C: end it now)"
    lines = [state, "", f"{'':{WIDTH}}" + "".join(f"{word:>12}" for word in ("alive", *words.values()))]
    for part in plan.parts:
        counts = (len(storm.killer.living(part)), *(done[part, fault] for fault in words))
        lines.append(f"{NAMES[part]:{WIDTH}}" + "".join(f"{count:12}" for count in counts))
    told = {
        "messages accepted": f"{storm.accepted:12}",
        "replies ended": f"{storm.ended:12}",
        "takeovers": f"{storm.takeovers:12}",
        "flaws seen": f"{storm.flaws:12}",
        "longest frozen reply": f"{storm.frozen:10.2f} s",
    }
    return [*lines, "", *(f"{name:{WIDTH}}{value}" for name, value in told.items())]


def hurts(storm: Storm, part: Part) -> int:
    """How often a part was hurt."""
    return sum(count for (hurt, _), count in storm.killer.done.items() if hurt == part)


def page(found: Verdict) -> str:
    """The verdict."""
    return "\n".join(_lines(found))


def _lines(found: Verdict) -> Iterator[str]:
    for part, faults in found.hurt.items():
        words = DONE | FORGOT
        yield _line(NAMES[part], ", ".join(f"{words[fault]} {count}" for fault, count in faults.items() if count))
    if found.forgotten:
        yield _line("Redis forgot", f"{found.forgotten} bytes; shown less for a while: {found.rollbacks} replies")
    yield _line("accepted", f"{found.accepted} messages")
    yield _line("answered", f"{found.answered}, each character as the model said it")
    yield _line("lost", f"{found.lost}")
    yield _line("repeated", f"{found.repeated}")
    yield _line("out of order", f"{found.out_of_order}")
    if found.wrong:
        yield _line("wrong otherwise", f"{found.wrong}")
    yield _line("left in the queues", f"{found.left}" if found.left >= 0 else "not known: Redis does not answer")
    yield _line("takeovers", f"{found.takeovers}")
    yield _line("frozen reply", f"half of them {found.frozen_p50:.2f} s, the longest {found.frozen_max:.2f} s")
    yield _line("not written", f"half of them {found.stopped_p50:.2f} s, the longest {found.stopped_max:.2f} s")
    yield _line(
        "checked", f"{found.characters} characters over {found.connections} connections, {found.outages} failed"
    )
    yield _line("seed", f"{found.seed}")
    yield ""
    for flaw in found.flaws:
        yield f"  {flaw[:300]}"
    yield sentence(found)


def sentence(found: Verdict) -> str:
    """The verdict in a line."""
    cut = f", cut short after {found.seconds:.0f} s" if found.interrupted else ""
    if found.violations or found.answered != found.accepted:
        return f"VIOLATED, flaws: {found.violations}{cut}. Seed {found.seed}."
    if not found.hurt and not found.tried:
        return f"Nothing was hurt{cut}: this shows nothing."
    if not found.answered:
        return f"Nothing was answered{cut}: this shows nothing."
    return f"Kept: all {found.accepted} messages were answered, once, whole and in order{cut}."


def _line(name: str, text: str) -> str:
    return f"{name:{WIDTH}}{text}"
