"""AG-UI's own client (`@ag-ui/client`), unmodified, against /agui."""

import pytest

from tests.compat.node.drive import drive
from tests.server.openai.harness import office
from tests.store.harness import run

SCENARIOS = ("talk", "again", "tools", "reload", "stopped", "silence", "failing")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_http_agent(scenario: str) -> None:
    async def main() -> None:
        async with office(quiet_seconds=1) as it:  # so that heartbeats are among what it reads
            await drive(it, "agui.mjs", scenario)

    run(main())
