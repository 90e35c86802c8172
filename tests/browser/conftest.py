"""The browser that the tests share ends with them."""

from collections.abc import Iterator

import pytest

from tests.browser.chromium import shared


@pytest.fixture(scope="package", autouse=True)
def ended_browser() -> Iterator[None]:
    """Whatever the last test left of it."""
    yield
    shared.close()
