"""The official client of Ollama for Node (`ollama`), unmodified, against ``parley up``."""

from tests.compat.node.stage import parley, run_tests


def test_the_client() -> None:
    with parley() as (up, url):
        run_tests(up, url, "ollama.test.mjs")
