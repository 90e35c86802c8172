"""The official OpenAI client for Node (`openai`), unmodified, against ``parley up``."""

from collections.abc import Iterator

import pytest

from tests.compat.node.stage import parley, run_tests
from tests.system.deployment import Deployment


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Deployment, str]]:
    with parley() as made:
        yield made


@pytest.mark.parametrize("program", ["chat", "responses", "conversations", "socket", "takeover"])
def test_the_client(stage: tuple[Deployment, str], program: str) -> None:
    run_tests(*stage, f"openai_{program}.test.mjs")
