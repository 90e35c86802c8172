"""Errors as people at a terminal are told them: what to do is a command there, where a program is told a method."""

from parley.client.errors import Error

BY_CODE = {
    "conversation_not_found": "It was deleted, has expired or is not yours: `parley ls` lists what there is.",
    "turn_not_found": "`parley show` tells the conversation's turns.",
    "model_not_found": "/model in `parley chat` lists what there is.",
}


def told(error: Error) -> str:
    """What went wrong, and what to do."""
    advice = BY_CODE.get(error.code)
    return f"{error.reason} {advice}" if advice else error.message
