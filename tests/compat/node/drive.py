"""Runs a program of a Node client against a deployment in this process, and does what the program asks for."""

import asyncio
import os
from pathlib import Path

from tests.server.openai.harness import Office

HERE = Path(__file__).parent
SECONDS = 60.0


async def drive(it: Office, program: str, scenario: str) -> None:
    """Run one scenario to its end. Its line `kill` has the worker killed and another one started."""
    process = await asyncio.create_subprocess_exec(
        *("node", program, it.home.served[0].url, scenario),
        cwd=HERE,
        env=dict(os.environ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    told: list[str] = []
    try:
        async with asyncio.timeout(SECONDS):
            while line := (await process.stdout.readline()).decode().strip():
                told.append(line)
                if line == "kill":
                    await it.kill("worker-0")
                    it.work("worker-b")
                    process.stdin.write(b"killed\n")
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (await errors).decode()[-4000:]
    assert told[-1] == "done", told
