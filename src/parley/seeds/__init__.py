"""The first seed's classes, as its course uses them: ``from parley.seeds import chat, history``.

Plain Python, nothing asynchronous. For the course's own form, ``import history, chat``, append `path()` to
``sys.path``; ``python -m parley.seeds`` prints it.
"""

from pathlib import Path


def path() -> str:
    """The directory from which ``import history, chat`` works."""
    return str(Path(__file__).parent / "slides")
