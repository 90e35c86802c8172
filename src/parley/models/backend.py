"""Backends: what is known of the servers that speak the OpenAI chat form, as one table.

Prefill is how a server is asked to go on right behind a partial answer:

    llama     a trailing assistant message is continued
    vllm      the same, with ``continue_final_message: true`` and ``add_generation_prompt: false``
    prefix    the same, with ``prefix: true`` on that message
    (none)    it cannot; the answer is generated anew
"""

from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

Prefill = Literal["", "llama", "vllm", "prefix"]


class Backend(Struct, frozen=True):
    """One kind of server: its dialects and its habits."""

    prefill: Prefill = ""
    # The name of the field that bounds the answer's length.
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    # The name of the field that makes an answer repeatable.
    seed: Literal["seed", "random_seed"] = "seed"
    # Whether token counts are asked for in a stream; a server that sends them anyway may refuse to be asked.
    usage_asked: bool = True
    # Whether it repeats the partial answer before going on.
    echoes: bool = False
    # Whether it closes connections behind an answer without saying so: then none is kept for the next one.
    force_close: bool = False
    # Hosts at which nothing else answers.
    hosts: tuple[str, ...] = ()
    # The port such a server listens on unless told otherwise.
    port: int = 0


BACKENDS: dict[str, Backend] = {
    "openai": Backend(max_tokens="max_completion_tokens", hosts=("api.openai.com",)),
    "llama.cpp": Backend(prefill="llama", force_close=True),
    "ollama": Backend(prefill="llama", port=11434),
    "vllm": Backend(prefill="vllm"),
    "sglang": Backend(prefill="vllm"),
    "tgi": Backend(prefill="vllm"),
    "mistral": Backend(prefill="prefix", seed="random_seed", usage_asked=False, echoes=True, hosts=("api.mistral.ai",)),
    # DeepSeek takes `prefix` on its beta base URL only, hence not by host name.
    "deepseek-beta": Backend(prefill="prefix"),
    "other": Backend(),
}


def backend_of(url: str, name: str = "") -> Backend:
    """The backend an operator named, else the one known by the URL's host or port, else the cautious `other`.

    Raises:
        ValueError: no backend has that name.
    """
    if name:
        if name not in BACKENDS:
            raise ValueError(f"unknown backend {name!r}; known are {', '.join(BACKENDS)}")
        return BACKENDS[name]
    parts = urlsplit(url)
    for backend in BACKENDS.values():
        if parts.hostname in backend.hosts or (backend.port and parts.port == backend.port):
            return backend
    return BACKENDS["other"]
