"""One deployment for all of the catalogue."""

from collections.abc import Iterator

import pytest

from tests.badinput.place import Place, place


@pytest.fixture(scope="package")
def parley() -> Iterator[Place]:
    with place() as made:
        yield made
