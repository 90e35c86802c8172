"""X25: another user of this machine, and the network, get nothing of the Redis that Parley starts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from parley.store.embedded import EmbeddedRedis
from tests.system.deployment import workplace

CONNECT = """
import socket, sys
link = socket.socket(socket.AF_UNIX)
try:
    link.connect(sys.argv[1])
    link.sendall(b"PING\\r\\n")
    print("in", link.recv(20))
except OSError as error:
    print("out", error.errno)
"""
NOBODY = 65534


def as_other(*command: str) -> str:
    """What a command prints that another user runs; where we are nobody special, we are the other user ourselves."""
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        assert setpriv is not None, "util-linux is on every Debian"
        command = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_another_user_cannot_connect() -> None:
    with workplace() as directory:
        directory.chmod(0o755)
        server = EmbeddedRedis(directory / "data")
        server.start()
        try:
            python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
            told = as_other(python, "-c", CONNECT, str(server.socket_path))
            if os.geteuid() == 0:
                assert told == "out 13", told  # EACCES
                assert as_other("ls", str(directory / "data")) == ""
            for path in (directory / "data", server.aof_directory):
                assert path.stat().st_mode & 0o077 == 0, path
            # The network: no socket of its process is one of TCP, nor of UDP.
            listed = subprocess.run(["ss", "-lntup"], capture_output=True, text=True, check=True).stdout
            assert f"pid={server.pid}," not in listed
            assert "State" in listed or "Netid" in listed
        finally:
            server.stop()
