"""Generation over HTTP: a request in a client's dialect is read, answered as the same request over gRPC would be, and
the answer is written in that dialect, whole or in events."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator

from google.protobuf import json_format

from proto import models_pb2
from services.models.chat.chat import ChatService
from services.models.faces.base import About, Asked, Face
from services.models.http_port.boundary import Boundary
from services.models.http_port.events import EventWriter
from services.models.http_port.exchange import HttpExchange
from services.models.http_port.features import apply_features
from services.shared import json_text
from services.shared.call import Call
from services.shared.errors import PlatformError
from services.shared.identity import scope_of
from services.shared.metadata import REQUEST_ID_KEY
from services.shared.offload import run_in_thread_if_large
from services.shared.slow_readers import PROCESS_RESPONSES

SCOPE = scope_of(models_pb2.DESCRIPTOR.services_by_name["ModelService"].methods_by_name["Chat"])

READING_WORK = 4
"""Work to read a body, as a multiple of its size."""

Fields = Iterator[tuple[str, str]]


class Generation:
    """Answers the requests of all faces."""

    def __init__(self, boundary: Boundary, chats: ChatService) -> None:
        self._boundary = boundary
        self._chats = chats

    async def answer(self, exchange: HttpExchange, face: Face, model: str, cors: tuple[tuple[str, str], ...]) -> None:
        """Answers a request; `model` is that of its path, if it names one, and `cors` are header fields for browsers.
        Raises CancelledError when the client has left."""
        call = self._boundary.open_call(exchange, face.name)
        answering = _Answering(exchange, face, call, self._chats, self._boundary, cors)
        await self._boundary.run(exchange, call, answering.work(model), answering.fail)


class _Answering:
    """The answering of one request."""

    def __init__(
        self,
        exchange: HttpExchange,
        face: Face,
        call: Call,
        chats: ChatService,
        boundary: Boundary,
        cors: tuple[tuple[str, str], ...],
    ) -> None:
        self._exchange = exchange
        self._face = face
        self._call = call
        self._chats = chats
        self._boundary = boundary
        self._cors = cors
        self._asked: Asked | None = None
        self._writer: EventWriter | None = None

    async def work(self, model: str) -> None:
        call = self._call
        async with self._boundary.generating(call, SCOPE):
            receiving = self._boundary.intake.receive(self._exchange, call.caller, call.remaining_seconds)
            data, call.reservation = await receiving
            with call.reservation:
                read = functools.partial(self._face.read, data, model)
                asked = self._asked = await run_in_thread_if_large(READING_WORK * len(data), read)
                del data
                options = apply_features(asked.request, asked.platform, self._exchange.headers)
                if options.previews:
                    await self._preview(asked)
                elif asked.streams:
                    await self._stream(asked)
                else:
                    await self._whole(asked)

    async def _whole(self, asked: Asked) -> None:
        response = await self._chats.answer(asked.request, self._call)
        write = functools.partial(asked.whole, response, self._about())
        body = await run_in_thread_if_large(response.ByteSize(), write)
        PROCESS_RESPONSES.hold(body, self._call.caller, self._exchange)
        await self._exchange.respond(200, [*self._fields(), *_facts(response)], body)

    async def _stream(self, asked: Asked) -> None:
        self._call.begin_stream()
        encoder = asked.encoder(self._about())
        chunks = self._chats.stream(asked.request, self._call)
        with EventWriter(self._exchange, encoder, self._fields) as writer:
            self._writer = writer
            async with contextlib.aclosing(chunks):
                async for chunk in chunks:
                    await writer.write(encoder.feed(chunk))
                    self._call.chunks += 1
            await writer.end()

    async def _preview(self, asked: Asked) -> None:
        preview = models_pb2.PreviewChatRequest(request=asked.request, stream=asked.streams)
        response = await self._chats.preview(preview, self._call)
        members = json_format.MessageToDict(response, preserving_proto_field_name=True)
        await self._exchange.respond(200, self._fields(), json_text.encode(members))

    async def fail(self, error: PlatformError) -> None:
        """Answers with an error."""
        if self._exchange.status and self._writer:
            await self._writer.fail(error, self._call.request_id)
            return
        refusal = self._face.refusal(error, self._call.request_id, self._asked)
        await self._exchange.respond(refusal.status, [*self._fields(), *refusal.headers], refusal.body)

    def _about(self) -> About:
        return About(self._call.call_id, int(time.time()))

    def _fields(self) -> Fields:
        call = self._call
        yield REQUEST_ID_KEY, call.request_id
        # The name that Anthropic's clients look for.
        yield "request-id", call.request_id
        yield "openai-processing-ms", str(round(1000 * call.elapsed_seconds()))
        yield "openai-version", "2020-10-01"
        yield from call.trailers
        yield from self._cors


def _facts(response: models_pb2.ChatResponse) -> Fields:
    """What the platform says of an answer, which the dialects have no place for."""
    yield "x-genai-model", response.model
    yield "x-genai-provider", response.provider
    if response.warnings:
        yield "x-genai-warnings", ",".join(dict.fromkeys(warning.code for warning in response.warnings))
    if response.usage.HasField("cost_nano_usd"):
        yield "x-genai-cost-nano-usd", str(response.usage.cost_nano_usd)
