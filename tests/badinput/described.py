"""Whether an answer is one that the description of the HTTP interface tells of (parley.server.openapi)."""

import json
import re
from functools import cache
from typing import Any

import msgspec

from parley.server.openapi.document import GROUPS
from parley.server.openapi.operation import Group, Operation
from tests.server.shared import Answer


@cache
def table() -> list[tuple[str, re.Pattern[str], Group, Operation]]:
    """All operations with a pattern of their paths, those with the fewest names in it first."""
    found = []
    for group in GROUPS:
        for name, operation in group.operations.items():
            method, _, path = name.partition(" ")
            pattern = re.sub(r"\\\{\w+\\\}", "[^?]+" if path.startswith("/api/my") else "[^/?]+", re.escape(path))
            found.append((method, re.compile(pattern + r"(\?.*)?", re.DOTALL), group, operation))
    return sorted(found, key=lambda each: each[1].pattern.count("+"))


def check(method: str, path: str, answer: Answer) -> None:
    """Assert that an answer has a status, a media type and a form that its operation may have."""
    for known, pattern, group, operation in table():
        if known == method and pattern.fullmatch(path):
            _check(group, operation, answer)
            return


def _check(group: Group, operation: Operation, answer: Answer) -> None:
    media = answer.headers.get("content-type", "").partition(";")[0]
    if answer.status >= 400:
        if group.error is not None and not of_the_gate(answer):
            convert(answer, group.error)
        return
    assert answer.status in operation.answers, (answer.status, answer.raw[:300])
    told = operation.answers[answer.status]
    if answer.body and "*/*" not in told.media:
        assert media in told.media, media
    if media == "application/json" and told.kind is not None:
        convert(answer, told.kind)


def of_the_gate(answer: Answer) -> bool:
    """Whether the request came as far as no operation: such errors have the form of our own everywhere."""
    return answer.status in (400, 403, 405, 408, 414, 421, 431) and isinstance(answer.json.get("error"), dict)


def convert(answer: Answer, kind: Any) -> None:
    """Assert that a body is of a type; unknown fields are let pass."""
    msgspec.convert(json.loads(answer.body), kind)
