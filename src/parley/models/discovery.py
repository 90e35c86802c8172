"""Which models does a server offer? Asked at start, before anything heavy is imported: standard library only."""

import http.client
import json
import re
from urllib.parse import urlsplit

from msgspec import Struct

from parley.models.endpoint import chat_base, parse
from parley.models.secret import Secret

# A list longer than that is not for people to choose from.
MODELS = 100
BYTES = 1024 * 1024
# Models that do not talk.
OTHERS = re.compile(r"embed|whisper|tts|dall-e|moderation|rerank|transcribe|-image|-audio|realtime", re.IGNORECASE)

# What servers say in `owned_by`, and the row of backend.py they are; "parley" is what our own says.
OWNERS = {"vllm": "vllm", "llamacpp": "llama.cpp", "sglang": "sglang", "library": "ollama"}
OURSELVES = "parley"


class Offer(Struct, frozen=True):
    """The models a server lists, in its order, without those that cannot talk; its row of backend.py if it shows."""

    names: tuple[str, ...]
    backend: str = ""


def offered(url: str, api_key: Secret, timeout: float) -> Offer:
    """Ask an OpenAI-compatible server for its models.

    Raises:
        ValueError: the URL is malformed.
        OSError: nobody answers in time, or not with a list of models. The message holds no secret.
    """
    endpoint = parse(url, api_key)
    parts = urlsplit(f"{chat_base(endpoint.url)}/models")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    link = kind(parts.hostname or "", parts.port, timeout=timeout)
    headers = {"Accept": "application/json"}
    if endpoint.authorization:
        headers["Authorization"] = endpoint.authorization.reveal()
    try:
        link.request("GET", parts.path, headers=headers)
        reply = link.getresponse()
        body = reply.read(BYTES)
    except http.client.HTTPException as error:
        raise OSError(f"it does not speak HTTP ({type(error).__name__})") from None
    finally:
        link.close()
    if reply.status != 200:
        raise OSError(f"it answered {reply.status}")
    return _read(body)


def _read(body: bytes) -> Offer:
    try:
        listed = json.loads(body)["data"]
        pairs = [(model["id"], model.get("owned_by")) for model in listed]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise OSError("it does not list models as OpenAI does") from None
    if pairs and all(owner == OURSELVES for _, owner in pairs):
        raise OSError("it is another Parley")
    names = [name for name, _ in pairs if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 200]
    talking = dict.fromkeys(name for name in names if not OTHERS.search(name))
    return Offer(tuple(talking)[:MODELS], OWNERS.get(str(pairs[0][1]), "") if pairs else "")
