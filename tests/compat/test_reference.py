"""The programs of the reference's pages, run as they stand there."""

import asyncio
import re
from pathlib import Path

import mcp
import ollama
from openai import OpenAI

from tests.compat.place import Place

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def program(page: str, place: Place) -> str:
    """The one program of a page, for a server at that address."""
    [found] = re.findall(r"```python\n(.*?)```", (REFERENCE / page).read_text(), re.DOTALL)
    assert found.count("http://127.0.0.1:8000") == 1
    text: str = found
    return text.replace("http://127.0.0.1:8000", place.up.url)


def test_openai(parley: Place) -> None:
    names: dict[str, object] = {"OpenAI": OpenAI}
    exec(program("openai.md", parley), names)
    client = names["client"]
    assert isinstance(client, OpenAI)
    assert client.responses.create(input="Hello").output_text == "You said: Hello (1 messages)"
    client.close()


def test_ollama(parley: Place) -> None:
    made = []

    def client(url: str) -> ollama.Client:
        made.append(ollama.Client(url))
        return made[-1]

    asked = program("ollama.md", parley).replace('"model"', '"scripted"').replace("ollama.Client", "client")
    answer = eval(asked, {"client": client})
    made[0]._client.close()
    assert answer.message.content == "You said: Hello (1 messages)"


def test_mcp(parley: Place) -> None:
    lines = program("mcp.md", parley).splitlines()
    names: dict[str, object] = {"mcp": mcp}
    exec("async def main():\n" + "\n".join(f"    {line}" for line in [*lines, "return result"]), names)
    main = names["main"]
    assert callable(main)
    result = asyncio.run(main())
    assert "You said: Hello" in result.content[0].text
