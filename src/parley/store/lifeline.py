"""Children that do not outlive their parent, however it dies.

Linux tells the child itself: `prctl(PR_SET_PDEATHSIG)` between fork and exec. The kernel means the *thread*
that forked, so start such children from a thread that lives as long as the process (the main thread). Where
there is no prctl (macOS) a child can outlive a parent killed with SIGKILL; it still holds what it inherited.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1

# Loaded once, here: nothing but one call into it may happen between fork and exec.
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None


def die_with_parent(number: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel send `number` to the child when its parent dies."""
    parent = os.getpid()

    def prepare() -> None:
        if LIBC is not None:
            LIBC.prctl(PR_SET_PDEATHSIG, int(number))
            # The parent may have died before the call: nobody would ever send the signal.
            if os.getppid() != parent:
                os._exit(1)

    return prepare
