"""What a measurement needs, started and warmed up: the deterministic upstream and a Parley that asks it."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from parley.bench.drivers import Driver
from parley.bench.http import Origin
from parley.bench.installation import Running, installation, upstream
from parley.bench.load import Load, Plan
from parley.bench.measure import direct, drivers, measure

# Enough for every process to have imported and connected what it needs.
WARM = Plan(conversations=8, turns=2, tokens=50, delay=0.002, ramp=0.1)


class Stage:
    """The parts that run. `server` is a Parley of our own, with its defaults but for what was asked."""

    def __init__(self, above: Running, server: Running) -> None:
        self.above = above
        self.server = server
        self.clock = Origin(above.url.removesuffix("/v1"))

    async def measure(
        self, plan: Plan, driver: str = "websocket", on_reply: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """Run a load once; `driver` is one of DRIVERS, or "direct": the upstream without a server between."""
        pids = [] if driver == "direct" else self.server.pids
        make = self.drivers(driver)
        return await measure(plan, make, pids=pids, upstream=self.clock, upstream_pid=self.above.pid, on_reply=on_reply)

    def drivers(self, driver: str) -> Callable[[], Driver]:
        """What makes drivers of a protocol."""
        if driver == "direct":
            return direct(self.above.url)
        return drivers(driver, self.server.url, "bench" if driver in ("chat", "responses") else "")

    async def warm(self, driver: str = "websocket") -> None:
        """A few replies that are not counted."""
        load = Load(WARM, self.drivers(driver), self.clock)
        try:
            await load.open()
            await load.run()
        finally:
            load.close()


@contextlib.asynccontextmanager
async def stage(*arguments: str, variables: Mapping[str, str] | None = None) -> AsyncIterator[Stage]:
    """Start upstream and Parley (`parley up` with these arguments and environment variables). Raises `Failed`."""
    async with (
        upstream() as above,
        installation(*arguments, model_url=above.url, variables=variables) as server,
    ):
        made = Stage(above, server)
        await made.warm()
        yield made
