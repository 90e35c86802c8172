"""The AI SDK (`ai`, `@ai-sdk/openai`, `@ai-sdk/openai-compatible`), unmodified, against ``parley up``."""

from tests.compat.node.stage import parley, run_tests


def test_the_ai_sdk() -> None:
    with parley() as (up, upstream_url):
        run_tests(up, upstream_url, "ai_sdk.test.mjs")
