"""The built-in model server: llama.cpp behind its own OpenAI-compatible door, in a process of its own.

Workers talk to it as to any other upstream, so there is one code path, and a crash of native code ends this process
only. llama.cpp's listener closes a connection behind each answer although it says keep-alive; the row `llama.cpp`
of the table in backend.py therefore keeps none (`force_close`).
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

# The name it answers to, whatever the file is called; the path of the file is nobody's business.
MODEL = "demo"
BACKEND = "llama.cpp"

PR_SET_PDEATHSIG = 1
# The longest answer, in tokens, unless the request says less: a small model may ramble on for ever.
LONGEST_ANSWER = 1024
ONLY_ERRORS = 1


class LocalServerError(Exception):
    """The server cannot be started; the message says why."""


def serve(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str,
    threads: int = 0,
    slots: int = 2,
    context: int = 4096,
) -> None:
    """Serve a GGUF file until SIGTERM, SIGINT or the death of the parent process; then the process exits.

    To be called in the main thread of a process that does nothing else. When requests can be answered, one line
    ``ready http://host:port`` is printed.

    Args:
        port: 0 picks a free one.
        api_key: what every request but /health must bear; not empty.
        threads: for computing; 0: all cores but one. All of them would make llama.cpp's spinning threads wait for
            each other: measured on two cores, 8-14 tokens a second instead of 52-83.
        slots: how many answers are computed at once; further ones wait.
        context: tokens of conversation and answer together, for each slot.

    Raises:
        LocalServerError: xllamacpp is not installed, or the file is not there, not readable, or no model.
    """
    if not api_key:
        raise LocalServerError("the model server needs an API key: any web page could talk to it otherwise")
    if not path.is_file():
        raise LocalServerError(f"there is no model file at {path}")
    die_with_parent()
    # Blocked before any thread begins, so that every thread inherits it and only `sigwait` takes the signals.
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    url = _start(path, host, port, api_key, threads or max(1, _cores() - 1), slots, context)
    print(f"ready {url}", flush=True)
    signal.sigwait(signals)
    sys.stdout.flush()
    # Nothing is to be saved, and an answer under way must not hold up the end.
    os._exit(0)


def die_with_parent() -> None:
    """Have the kernel end this process when its parent dies, however that happens (Linux; elsewhere nothing)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM)) != 0:
        raise LocalServerError(f"prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the call
        raise LocalServerError("the parent process is gone")


def _cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(path: Path, host: str, port: int, api_key: str, threads: int, slots: int, context: int) -> str:
    """Load the model and open the door; the server lives as long as the process."""
    try:
        import xllamacpp
    except ImportError as error:
        raise LocalServerError("the built-in model needs another package: pip install xllamacpp") from error
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {MODEL}
    parameters.hostnames = [host]
    parameters.port = port
    parameters.api_keys = [api_key]
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.n_parallel = slots
    parameters.n_ctx = context * slots
    parameters.n_predict = LONGEST_ANSWER
    parameters.verbosity = ONLY_ERRORS
    # A door for one purpose: no page, no other origins, no look into what others ask.
    parameters.ui = False
    parameters.cors_origins = ""
    parameters.endpoint_slots = False
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise LocalServerError(f"{path} cannot be loaded as a GGUF model (or port {port} is taken)") from error
    KEPT.append(server)
    return str(server.listening_address)


# Servers that run; dropping one would stop it.
KEPT: list[object] = []
