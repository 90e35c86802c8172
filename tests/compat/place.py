"""A whole Parley that other people's clients are driven against, and what it then holds."""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import openai

from tests.system.deployment import Deployment, configuration, deployment, upstream, workplace

# The model of the scripted upstream as the clients name it.
MODEL = "scripted"
SETTINGS = """
[[models]]
name = "scripted"
url = "{url}"
model = "scripted"
backend = "llama.cpp"
"""
# Said to a message with the word.
ANSWERS = {"weather-in-rome": '{"city":"Rome","degrees":21}'}


class Place:
    """``parley up`` in front of the scripted upstream."""

    def __init__(self, up: Deployment, upstream_url: str) -> None:
        self.up = up
        self._upstream = upstream_url.removesuffix("/v1")

    @property
    def url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.up.url}/v1"

    def asked(self, tag: str) -> int:
        """How often the model was asked for a script with this tag."""
        count: int = _read(f"{self._upstream}/stats")["stats"]["by_tag"].get(tag, 0)
        return count

    def stats(self) -> dict[str, Any]:
        """What the model's server has seen so far."""
        found: dict[str, Any] = _read(f"{self._upstream}/stats")["stats"]
        return found

    def shown(self) -> dict[str, Any]:
        """The request that the model was asked with last."""
        last: dict[str, Any] = _read(f"{self._upstream}/stats")["last"][-1]["body"]
        return last

    def items(self, conversation: str) -> list[tuple[str, str]]:
        """What a conversation holds: who said it, or what it is, and the text."""
        listed = _read(f"{self.url}/conversations/{conversation}/items?order=asc&limit=100")
        return [_told(item) for item in listed["data"]]

    def turns(self, conversation: str) -> list[tuple[str, str]]:
        """The turns of a conversation as the native protocol tells them: how each ended, and its text."""
        listed = _read(f"{self.up.url}/api/conversations/{conversation}/turns?limit=200")
        return [(turn["status"], turn["text"]) for turn in listed["data"]]

    def conversation(self, response: str) -> str:
        """The conversation that a stored response stands in."""
        return f"conv_{response.removeprefix('resp_')[:34]}"


@contextlib.contextmanager
def place(*arguments: str, **env: str) -> Iterator[Place]:
    """A Parley of its own."""
    answers = [word for pair in ANSWERS.items() for word in ("--answer", "=".join(pair))]
    with workplace() as directory, upstream(directory, *answers) as url:
        path = configuration(directory, SETTINGS.format(url=url))
        with deployment(directory, "--config", path, *arguments, **env) as up:
            yield Place(up, url)


def play(place: Place, story: Callable[[openai.AsyncOpenAI], Awaitable[None]]) -> None:
    """Run a story with a client of its own, without retries, so that what happens shows."""

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=place.url, api_key="any", max_retries=0, timeout=30) as client:
            await story(client)

    asyncio.run(main())


def tokens(tag: str, count: int) -> str:
    """What the scripted upstream says."""
    return "".join(f"{tag}:{at:04d} " for at in range(count))


def _told(item: dict[str, Any]) -> tuple[str, str]:
    match item["type"]:
        case "message":
            return item["role"], "".join(part["text"] for part in item["content"])
        case "function_call":
            return "function_call", f"{item['name']}({item['arguments']})"
        case "function_call_output":
            return "function_call_output", item["output"]
        case other:
            return other, ""


def _read(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.loads(answer.read())
