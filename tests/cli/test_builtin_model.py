"""The built-in model as `parley up` describes it to its workers."""

import asyncio
from urllib.parse import urlsplit

import pytest

from parley.cli.up import builtin_model
from parley.models import retry
from parley.models.registry import build
from parley.testing.upstream import ScriptedUpstream
from tests.models.helpers import asking, hear


def test_a_message_before_its_process_listens_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes seconds for it, and `parley up` is ready long before."""
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.02)
    settings = builtin_model()
    port = urlsplit(settings.url).port
    assert port is not None

    async def main() -> None:
        model = build(settings)
        answering = asyncio.create_task(hear(model.answer(asking("say 2"))))
        # More than four tries take: 0.02, 0.04 and 0.08 s at most.
        await asyncio.sleep(0.3)
        async with ScriptedUpstream(port=port):
            heard = await answering
        await model.close()
        assert heard.error is None
        assert heard.text == "t:0000 t:0001 "

    asyncio.run(main())
