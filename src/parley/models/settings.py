"""A model as the operator describes it: plain values, read before anything heavy is imported."""

from typing import Literal

from msgspec import Struct

from parley.core.message import Parameters
from parley.models.endpoint import redacted
from parley.models.model import Recovery
from parley.models.secret import Secret

Kind = Literal["openai", "huggingface", "python"]


class ModelSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model as the operator describes it. Times are seconds. Printing it shows no secret.

    `url` and `api_key` are for openai and huggingface, `model` is the upstream's name for it (openai) or the
    function (python: a registered name or ``package.module:function``), `backend` is a row of the table in
    backend.py and chosen by the URL when empty, `recovery` overrides what the backend is known to be able to do,
    `stream` is for huggingface. `tokens_per_day` is how much may be asked of it from midnight to midnight (UTC), by
    all together; 0: any.
    """

    name: str
    kind: Kind = "openai"
    url: str = ""
    model: str = ""
    api_key: Secret = Secret()
    backend: str = ""
    recovery: Recovery | None = None
    stream: bool | None = None
    concurrency: int = 0
    connect: float = 10.0
    first_token: float = 120.0
    stall: float = 60.0
    tries: int = 4
    tokens_per_day: int = 0
    fallbacks: tuple[str, ...] = ()
    parameters: Parameters = Parameters()

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__} | {"url": redacted(self.url)}
        return f"ModelSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"
