"""Hugging Face text generation: the old serverless form, TGI, Inference Endpoints, and whatever speaks like them."""

from typing import Any
from urllib.parse import urlsplit

import msgspec

from parley.core.message import Parameters, Transcript
from parley.core.pieces import Piece
from parley.models.endpoint import parse
from parley.models.generation import GenerationStream, generation_parameters
from parley.models.model import Answer, Recovery
from parley.models.patience import Patience
from parley.models.prompt import HUMAN, raw_prompt
from parley.models.retry import retrying
from parley.models.seam import Seam
from parley.models.secret import Secret
from parley.models.stop import StopCutter
from parley.models.upstream import Upstream


class HuggingFaceModel:
    """A model behind a text-generation server, asked with the raw prompt ``Human: ... Bot:``.

    Args:
        name: what we call it.
        url: the exact URL to POST to: ``.../models/<id>``, ``.../generate``, ``.../generate_stream``, or the root of
            a TGI server or Endpoint. User information in it is sent as Basic authorization and wins over `api_key`.
        stream: whether to ask for a stream; None goes by the URL: not at ``/generate`` and ``/models/...``. Whatever
            is asked for, the reply is read in the form it comes in.
        concurrency, connect, first_token, stall, tries, parameters: as for `OpenAIModel`. An answer that comes as
            one document must be there within `first_token`.

    The answer ends at ``Human:``, which is given to the server as a stop sequence and cut off here too; white space
    around the answer is dropped. Any answer can be continued, for a raw prompt has no end.

    Raises:
        ValueError: the URL or the key cannot be used.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        api_key: Secret | None = None,
        stream: bool | None = None,
        recovery: Recovery = "continue",
        concurrency: int = 0,
        connect: float = 10.0,
        first_token: float = 120.0,
        stall: float = 60.0,
        tries: int = 4,
        parameters: Parameters | None = None,
    ) -> None:
        self._name = name
        self._recovery = recovery
        self._concurrency = concurrency
        self._first_token = first_token
        self._stall = stall
        self._tries = tries
        self._parameters = parameters or Parameters()
        endpoint = parse(url, api_key)
        self._url = endpoint.url
        path = urlsplit(endpoint.url).path
        # The old serverless API knows neither `stream` nor `details` for most of its models.
        self._serverless = "/models/" in path
        self._stream = not (self._serverless or path.endswith("/generate")) if stream is None else stream
        self._upstream = Upstream(endpoint, connect=connect, force_close=False)

    @property
    def name(self) -> str:
        return self._name

    @property
    def recovery(self) -> Recovery:
        return self._recovery

    @property
    def concurrency(self) -> int:
        return self._concurrency

    def answer(self, transcript: Transcript) -> Answer:
        """Stream the answer; see `Model`.

        Raises:
            ModelError: while iterating.
        """

        def attempt(patience: Patience) -> Answer:
            return self._attempt(transcript, patience)

        return retrying(attempt, first_token=self._first_token, stall=self._stall, tries=self._tries)

    async def close(self) -> None:
        await self._upstream.close()

    async def _attempt(self, transcript: Transcript, patience: Patience) -> Answer:
        seam = Seam(transcript.partial)
        given = Transcript(transcript.messages, transcript.parameters.over(self._parameters), seam.sent)
        stops = (HUMAN, *given.parameters.stop)
        prompt = raw_prompt(given)
        # Only a server that was found loading is asked to hold the line until it has loaded.
        headers = {"x-wait-for-model": "true"} if patience.failures else {}
        cutter = StopCutter(stops, strip_start=not seam.sent)
        async with self._upstream.post(self._url, self._body(prompt, given, stops), patience, headers) as reply:
            await reply.check(continued=bool(seam.sent))
            stream = GenerationStream(prompt, document=reply.one_document)
            while not (stream.done or cutter.stopped) and (events := await reply.events()):
                for data in events:
                    if piece := seam.join(cutter.feed(stream.take(data))):
                        yield Piece(piece)
            if stream.done:
                patience.last_words()
                await reply.drain()
            elif not cutter.stopped and not reply.properly_ended:
                raise reply.cut()
        if rest := seam.join(cutter.close()):
            yield Piece(rest)
        yield stream.finish(stopped=cutter.stopped)

    def _body(self, prompt: str, transcript: Transcript, stops: tuple[str, ...]) -> bytes:
        body: dict[str, Any] = {
            "inputs": prompt,
            "parameters": generation_parameters(transcript.parameters, stops, details=not self._serverless),
        }
        if self._stream:
            body["stream"] = True
        if self._serverless:
            # The same words asked again are to be answered anew; in `parameters`, as the tutorial had it, this
            # does nothing.
            body["options"] = {"use_cache": False}
        return msgspec.json.encode(body)
