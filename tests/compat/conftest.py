"""One Parley for all clients: each test speaks in conversations, and with tags, of its own."""

import os
from collections.abc import Iterator

import pytest

from tests.compat.place import Place, place

# The clients report on themselves and fetch price lists, unless told not to.
os.environ |= {
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
}


def pytest_configure(config: pytest.Config) -> None:
    """LiteLLM leaves an event loop behind, with the two sockets (of a unix family) that wake it."""
    for leak in ("event loop", "<socket.socket fd=\\d+, family=1,"):
        config.addinivalue_line("filterwarnings", f"ignore:unclosed {leak}:ResourceWarning")


@pytest.fixture(scope="session")
def parley() -> Iterator[Place]:
    with place() as made:
        yield made
