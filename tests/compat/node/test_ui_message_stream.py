"""The AI SDK's chat and its default transport (`ai`, `@ai-sdk/react`), unmodified, against /ai/chat."""

import pytest

from tests.compat.node.drive import drive
from tests.server.openai.harness import office
from tests.store.harness import run

SCENARIOS = ("talk", "read", "reload", "tabs", "stopped", "anew", "tools", "steps", "silence", "failing", "rewound")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_chat_of_the_ai_sdk(scenario: str) -> None:
    async def main() -> None:
        async with office(quiet_seconds=1) as it:  # so that heartbeats are among what it reads
            await drive(it, "ui_message_stream.mjs", scenario)

    run(main())
