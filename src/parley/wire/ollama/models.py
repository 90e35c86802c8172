"""Models as Ollama lists them. What Ollama knows of files on its disk is not known of a model behind a network."""

import hashlib
from typing import Any

# The version of Ollama whose API this is: clients ask for what they need.
VERSION = "0.13.0"
# Told to clients that must have a time.
SINCE = "2025-11-21T00:00:00Z"
NEVER = "9999-12-31T23:59:59Z"
DETAILS: dict[str, Any] = {
    "parent_model": "",
    "format": "",
    "family": "parley",
    "families": ["parley"],
    "parameter_size": "",
    "quantization_level": "",
}


def digest(name: str) -> str:
    """A digest for a model: its own, as clients take models with the same one for the same model."""
    return hashlib.sha256(f"parley model {name}".encode()).hexdigest()


def listed(name: str) -> dict[str, Any]:
    """An entry of /api/tags."""
    return {**_named(name), "modified_at": SINCE, "details": DETAILS}


def running(name: str) -> dict[str, Any]:
    """An entry of /api/ps: models here are always at hand."""
    return {**_named(name), "details": DETAILS, "expires_at": NEVER, "size_vram": 0, "context_length": 0}


def shown(name: str) -> dict[str, Any]:
    """The answer of /api/show."""
    return {
        "modelfile": f"FROM {name}\n",
        "parameters": "",
        "template": "",
        "license": "",
        "details": DETAILS,
        "model_info": {"general.architecture": "parley", "general.basename": name},
        "capabilities": ["completion", "tools", "thinking"],
        "modified_at": SINCE,
    }


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "model": name, "size": 0, "digest": digest(name)}
