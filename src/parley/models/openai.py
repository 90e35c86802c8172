"""Any server that speaks OpenAI's chat completions."""

from typing import Any

import msgspec

from parley.core.message import Parameters, Transcript
from parley.core.pieces import Piece
from parley.models.backend import Backend
from parley.models.chat_messages import chat_messages
from parley.models.chat_stream import ChatStream
from parley.models.endpoint import chat_base, parse
from parley.models.model import Answer, ModelError, Recovery
from parley.models.patience import Patience
from parley.models.retry import retrying
from parley.models.seam import Seam
from parley.models.secret import Secret
from parley.models.upstream import Upstream


class OpenAIModel:
    """A model behind an OpenAI-compatible server.

    Args:
        name: what we call it.
        url: the server's base URL. Without a path it gets ``/v1``, else it is taken as it stands. User information
            in it is sent as Basic authorization and wins over `api_key`, which is sent as Bearer.
        model: what the server calls it.
        backend: the server's dialects; decides whether answers can be continued.
        concurrency: how many answers the server may be asked for at once; 0: no limit.
        connect, first_token, stall: seconds for a connection, until the first piece over all tries, and of
            silence in mid-answer. There is no limit on the whole.
        tries: how often a failure that names no waiting time is tried, before the first piece only.
        parameters: used where a transcript sets none.

    Raises:
        ValueError: the URL or the key cannot be used.
    """

    def __init__(
        self,
        name: str,
        url: str,
        model: str,
        *,
        api_key: Secret | None = None,
        backend: Backend | None = None,
        concurrency: int = 0,
        connect: float = 10.0,
        first_token: float = 120.0,
        stall: float = 60.0,
        tries: int = 4,
        parameters: Parameters | None = None,
    ) -> None:
        self._name = name
        self._model = model
        self._backend = backend or Backend()
        self._concurrency = concurrency
        self._first_token = first_token
        self._stall = stall
        self._tries = tries
        self._parameters = parameters or Parameters()
        endpoint = parse(url, api_key)
        self._url = chat_base(endpoint.url) + "/chat/completions"
        self._upstream = Upstream(endpoint, connect=connect, force_close=self._backend.force_close)

    @property
    def name(self) -> str:
        return self._name

    @property
    def recovery(self) -> Recovery:
        return "continue" if self._backend.prefill else "regenerate"

    @property
    def concurrency(self) -> int:
        return self._concurrency

    def answer(self, transcript: Transcript) -> Answer:
        """Stream the answer; see `Model`.

        Raises:
            ModelError: while iterating; with a partial answer that the server will not take, continue_refused.
        """

        def attempt(patience: Patience) -> Answer:
            return self._attempt(transcript, patience)

        return retrying(attempt, first_token=self._first_token, stall=self._stall, tries=self._tries)

    async def close(self) -> None:
        await self._upstream.close()

    async def _attempt(self, transcript: Transcript, patience: Patience) -> Answer:
        if transcript.partial and not self._backend.prefill:
            raise ModelError("continue_refused", "this backend cannot continue a partial answer")
        seam = Seam(transcript.partial, echoed=self._backend.echoes)
        body = self._body(transcript, seam.sent)
        async with self._upstream.post(self._url, body, patience) as reply:
            await reply.check(continued=bool(seam.sent))
            stream = ChatStream()
            while events := await reply.events(complete=stream.reason is not None):
                for data in events:
                    for piece in stream.take(data):
                        if seam.closed or piece.channel != "text":
                            yield piece
                        elif text := seam.join(piece.text):
                            yield Piece(text)
                if stream.done:
                    break
                if stream.reason is not None:
                    patience.last_words()
            if stream.done:
                await reply.drain()
            elif stream.reason is None:
                raise reply.cut()
        if rest := seam.close():
            yield Piece(rest)
        yield stream.finish()

    def _body(self, transcript: Transcript, partial: str) -> bytes:
        messages = chat_messages(transcript.messages)
        body: dict[str, Any] = {"model": self._model, "messages": messages, "stream": True}
        if self._backend.usage_asked:
            body["stream_options"] = {"include_usage": True}
        body |= self._chosen(transcript.parameters)
        if partial:
            last: dict[str, Any] = {"role": "assistant", "content": partial}
            messages.append(last)
            if self._backend.prefill == "vllm":
                body |= {"continue_final_message": True, "add_generation_prompt": False}
            elif self._backend.prefill == "prefix":
                last["prefix"] = True
        return msgspec.json.encode(body)

    def _chosen(self, parameters: Parameters) -> dict[str, Any]:
        """The parameters that are set, as the server spells them."""
        chosen: dict[str, Any] = msgspec.to_builtins(parameters.over(self._parameters))
        for name, spelled in (("max_tokens", self._backend.max_tokens), ("seed", self._backend.seed)):
            if name in chosen:
                chosen[spelled] = chosen.pop(name)
        return chosen
