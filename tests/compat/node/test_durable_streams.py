"""The official client of Durable Streams (`@durable-streams/client`), unmodified, against ``parley up``."""

from tests.compat.node.stage import parley, run_tests


def test_the_client() -> None:
    with parley() as (up, url):
        run_tests(up, url, "durable_streams.test.mjs")
