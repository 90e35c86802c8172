"""What processes of this machine cost: CPU seconds and memory, from /proc (Linux)."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

# What a command line holds -> the part of Parley it is.
PARTS = {
    "redis-server": "redis",
    "valkey-server": "redis",
    "parley serve": "web",
    "parley work": "worker",
    "parley.cli.fork_server": "fork server",
    "parley model-server": "model",
    "parley up": "supervisor",
}


class Memory(Struct, frozen=True):
    """Bytes: resident, and proportional (what is shared is divided among those who share it)."""

    rss: int
    pss: int


def cpu(pid: int) -> float:
    """CPU seconds of a process so far; 0.0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> Memory:
    """Memory of a process; nothing when it is gone."""
    try:
        rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return Memory(0, 0)
    pss = next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return Memory(rss, pss)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += family(int(child))
    return found


def command_line(pid: int) -> str:
    """How a process was called; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def part(pid: int) -> str:
    """Which part of Parley a process is; of anything else the name of its program."""
    line = command_line(pid)
    for words, name in PARTS.items():
        if words in line:
            return name
    return os.path.basename(line.split()[0]) if line else "gone"


def listening(port: int) -> list[int]:
    """The processes of ours that listen on a TCP port, the oldest first."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    return sorted(pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if inodes & _sockets(pid))


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


class Meter:
    """What a set of processes, by part, spends from `start` on."""

    def __init__(self, pids: Iterable[int]) -> None:
        # Where there is no /proc, nothing is known of any process.
        self.pids = {pid: part(pid) for pid in pids if Path(f"/proc/{pid}").exists()}
        self._before: dict[int, float] = {}

    def start(self) -> None:
        """Begin to count."""
        self._before = {pid: cpu(pid) for pid in self.pids}

    def spent(self) -> dict[str, float]:
        """CPU seconds since then, by part."""
        total: dict[str, float] = {}
        for pid, name in self.pids.items():
            total[name] = round(total.get(name, 0.0) + cpu(pid) - self._before[pid], 3)
        return total

    def memory(self) -> dict[str, dict[str, float]]:
        """Megabytes now, by part: resident and proportional."""
        total: dict[str, dict[str, float]] = {}
        for pid, name in self.pids.items():
            sizes, held = total.setdefault(name, {"rss_mb": 0.0, "pss_mb": 0.0}), memory(pid)
            sizes["rss_mb"] = round(sizes["rss_mb"] + held.rss / 1e6, 2)
            sizes["pss_mb"] = round(sizes["pss_mb"] + held.pss / 1e6, 2)
        return total

    def since_start(self) -> dict[str, float]:
        """CPU seconds since the processes began, by part."""
        total: dict[str, float] = {}
        for pid, name in self.pids.items():
            total[name] = round(total.get(name, 0.0) + cpu(pid), 3)
        return total
