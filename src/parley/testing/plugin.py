"""Fixtures for pytest. In a `conftest.py`: ``pytest_plugins = ["parley.testing.plugin"]``.

Override `parley_answers` to say what the model says.
"""

from collections.abc import Iterator, Mapping

import pytest

from parley.client.sync import Client
from parley.testing.server import Server


@pytest.fixture(scope="session")
def parley_answers() -> Mapping[str, str]:
    """What the scripted model says to a message that contains one of these words."""
    return {}


@pytest.fixture(scope="session")
def parley_server(parley_answers: Mapping[str, str]) -> Iterator[Server]:
    """A private Parley with a scripted model, one for all tests."""
    with Server(answers=parley_answers) as server:
        yield server


@pytest.fixture
def parley_client(parley_server: Server) -> Iterator[Client]:
    """A client of it."""
    with parley_server.client() as client:
        yield client
