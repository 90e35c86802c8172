"""What processes cost, from /proc: this one, and children of known behaviour."""

import os
import socket
import subprocess
import sys

from parley.bench.processes import Meter, cpu, family, listening, memory, part


def test_a_busy_child_is_metered() -> None:
    program = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert 0.25 <= cpu(child.pid) <= 1.0
        assert memory(child.pid).rss >= memory(child.pid).pss > 1e6
        meter = Meter([child.pid])
        meter.start()
        assert sum(meter.spent().values()) <= 0.05
        assert child.pid in family(os.getpid())
        child.kill()
        child.communicate()
    assert cpu(child.pid) == 0.0
    assert memory(child.pid).rss == 0
    assert part(child.pid) == "gone"


def test_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listening(port) == [os.getpid()]
    assert listening(port) == []
