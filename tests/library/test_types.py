"""Type checkers of other people's programs see what there is."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from parley import App, AsyncClient, Client, Message, Snapshotless, model

with Client() as client:
    chat = client.conversation(expire="7d")
    text: str = chat.say("x").text
    for delta in chat.say([Message("user", "x")]):
        delta.upper()
    client.get(chat.id, turns="many")
    number: int = client.rename(chat.id, "title")
    for event in client.follow(chat.id, until="tomorrow"):
        event.cursor.upper()

async def main() -> None:
    async with AsyncClient() as other:
        reply = (await other.conversation()).say("x")
        async for delta in reply:
            delta.upper()
        print(reply.usage.output_tokens)
"""


def test_what_is_wrong_is_told_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "--config-file=", str(file)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    told = [line.partition(": error: ")[2] for line in ran.stdout.splitlines() if "error: " in line]
    wrong = ("Snapshotless", '"turns" has incompatible type', "in assignment", '"until" to "follow"')
    assert len(told) == len(wrong), ran.stdout
    assert all(word in line for word, line in zip(wrong, told, strict=True)), told
