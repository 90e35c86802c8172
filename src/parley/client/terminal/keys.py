"""The keyboard while a reply runs: Ctrl-C, Ctrl-D, Ctrl-Z, and what is typed ahead."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys


@contextmanager
def watched(
    keyboard: Input, *, stop: Callable[[], None], detach: Callable[[], None], resume: Callable[[], None]
) -> Iterator[None]:
    """Call `stop` at Ctrl-C, `detach` at Ctrl-D, and `resume` when we are back from the shell that Ctrl-Z led to.

    Other keys wait for the next prompt, unseen.
    """
    ahead: list[KeyPress] = []

    def pressed() -> None:
        for press in keyboard.read_keys():
            if press.key == Keys.ControlC:
                ahead.clear()
                stop()
            elif press.key == Keys.ControlD:
                detach()
            elif press.key == Keys.ControlZ:
                _suspend(keyboard)
                resume()
            else:
                ahead.append(press)
        if keyboard.closed:
            detach()

    with keyboard.raw_mode(), keyboard.attach(pressed):
        try:
            yield
        finally:
            ahead.extend(keyboard.flush_keys())
            store_typeahead(keyboard, ahead)


def _suspend(keyboard: Input) -> None:
    """Stop until the shell's `fg`. The reply goes on, and its text is caught up with then."""
    if hasattr(signal, "SIGTSTP"):
        with keyboard.cooked_mode():
            # All of the job, as the terminal would: a pipe's other end too.
            os.kill(0, signal.SIGTSTP)
