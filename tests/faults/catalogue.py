"""The fault catalogue (catalogue.toml), read: what may go wrong, what must hold then, and where that is tested."""

import os
import tomllib
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

FILE = Path(__file__).with_name("catalogue.toml")

# The longer forms of the fault tests, run by hand: the same tests with greater numbers.
LONG = os.environ.get("PARLEY_FAULTS") == "all"


class Fault(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A row.

    Args:
        fault: what goes wrong.
        holds: what must hold all the same; in short, of what RELIABILITY's promise means here.
        tier: where its tests run: with every push, or by hand.
        tests: their names, `path::function`.
        longer: a command for a longer run, from the root of the repository.
        missing: what of it is not tested here, and why.
    """

    id: str
    fault: str
    holds: str
    tier: Literal["push", "hand"]
    tests: tuple[str, ...] = ()
    longer: str = ""
    missing: str = ""


class Catalogue(Struct, frozen=True, forbid_unknown_fields=True):
    """All rows; `servers` says on which Redis they run."""

    servers: str
    fault: tuple[Fault, ...]


def catalogue() -> Catalogue:
    """The catalogue as it stands."""
    return msgspec.convert(tomllib.loads(FILE.read_text()), Catalogue)


def times(push: int, long: int) -> int:
    """How often something is done: with every push, and when run by hand."""
    return long if LONG else push
