"""Errors: one envelope, one status each, and every class in the table."""

import inspect

import pytest

from parley.core import errors
from parley.core.errors import NotFound, ParleyError, TooMany

CLASSES = [
    made for _, made in inspect.getmembers(errors, inspect.isclass) if issubclass(made, ParleyError)
]  # fmt: skip


@pytest.mark.parametrize("made", CLASSES)
def test_every_error_has_an_envelope(made: type[ParleyError]) -> None:
    error = made("some_code", "Some sentence.", param="input", retry_after=1.5)
    assert error.envelope() == {
        "error": {"message": "Some sentence.", "type": made.type, "code": "some_code", "param": "input"}
    }
    assert (str(error), error.retry_after) == ("Some sentence.", 1.5)
    assert 400 <= made.status <= 599


@pytest.mark.parametrize("made", [made for made in CLASSES if made is not ParleyError])
def test_the_table_in_the_docstring_is_true(made: type[ParleyError]) -> None:
    assert errors.__doc__ is not None
    rows = [line.split() for line in errors.__doc__.splitlines() if f"+- {made.__name__} " in line]
    assert [row[2] for row in rows] == [str(made.status)]


def test_unknown_and_foreign_are_the_same_to_the_caller() -> None:
    assert NotFound.status == 404
    assert NotFound("a", "b").envelope()["error"]["param"] is None
    assert TooMany("a", "b", retry_after=2).retry_after == 2
