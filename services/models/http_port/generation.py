"""Generation over HTTP: a request in a client's dialect is answered as the same one over gRPC would be, and the answer
is written in that dialect, whole or in events.

Where the server speaks the client's dialect, and the request needs nothing of the platform that only its own form has,
both go through as they are (`services.models.chat.forwarding`); else they are translated by the face.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

from google.protobuf import json_format

from proto import models_pb2
from services.models.calls.replay import replay
from services.models.chat.chat import ChatService
from services.models.chat.counting import TokenCounter
from services.models.chat.forwarding import Forwardable, Forwarding
from services.models.faces.base import About, Asked, CountingFace, Encoder, Face
from services.models.faces.failures import COMMENT, failure_events
from services.models.faces.peek import STATE_MARK, check_model_member, glance_at
from services.models.http_port.boundary import Boundary
from services.models.http_port.events import EventWriter
from services.models.http_port.exchange import HttpExchange
from services.models.http_port.features import apply_features, uses_features
from services.models.providers.base import Forwarded
from services.models.providers.forwarding import Piece
from services.models.validation.headers import HEADERS_OF_VENDORS, header_problem
from services.shared import json_text
from services.shared.call import Call
from services.shared.errors import InvalidRequest, PlatformError
from services.shared.identity import scope_of
from services.shared.metadata import REQUEST_ID_KEY
from services.shared.offload import run_in_thread_if_large
from services.shared.slow_readers import PROCESS_RESPONSES

SCOPE = scope_of(models_pb2.DESCRIPTOR.services_by_name["ModelService"].methods_by_name["Chat"])

READING_WORK = 4
"""Work to read a body, as a multiple of its size."""

MAX_INT_32 = 2**31 - 1

DIALECT_FIELDS: dict[str, Sequence[str]] = {
    "messages": ("anthropic-version", "anthropic-beta"),
    "responses": ("openai-beta",),
    "chat_completions": ("openai-beta",),
    "embeddings": (),
}
"""The header fields that belong to a request of a dialect, and go with it to a server that speaks it."""

Fields = Iterator[tuple[str, str]]
Pieces = AsyncGenerator[Piece | models_pb2.ChatChunk, None]


class Generation:
    """Answers the requests of all faces."""

    def __init__(self, boundary: Boundary, chats: ChatService) -> None:
        self._boundary = boundary
        self._chats = chats
        self._forwarding = Forwarding(chats)

    async def answer(self, exchange: HttpExchange, face: Face, model: str, cors: Sequence[tuple[str, str]]) -> None:
        """Answers a request; `model` is that of its path, if it names one, and `cors` are header fields for browsers.
        Raises CancelledError when the client has left."""
        call = self._boundary.open_call(exchange, face.name)
        answering = _Answering(exchange, face, call, self._chats, self._forwarding, self._boundary, cors)
        await self._boundary.run(exchange, call, answering.work(model), answering.fail)


class Counting:
    """Answers the requests for the number of tokens of a prompt, which generate nothing."""

    def __init__(self, boundary: Boundary, chats: ChatService) -> None:
        self._boundary = boundary
        self._counter = TokenCounter(chats)

    async def answer(
        self, exchange: HttpExchange, face: CountingFace, operation: str, cors: Sequence[tuple[str, str]]
    ) -> None:
        """Answers a request. Raises CancelledError when the client has left."""
        call = self._boundary.open_call(exchange, operation)

        async def work() -> None:
            receiving = self._boundary.intake.receive(exchange, call.caller, call.remaining_seconds)
            data, call.reservation = await receiving
            with call.reservation:
                asked = await run_in_thread_if_large(READING_WORK * len(data), face.read, data)
                apply_features(asked.request, asked.platform, exchange.headers)
                forwarded = None if asked.platform or STATE_MARK in data else forwarded_of(face.name, data, exchange)
                count = await self._counter.count(asked.request, call, forwarded)
            fields = [*fields_of(call, cors), ("x-genai-estimated", "true" if count.is_estimated else "false")]
            await exchange.respond(200, fields, face.counted(count.tokens))

        async def fail(error: PlatformError) -> None:
            refusal = face.refusal(error, call.request_id)
            await exchange.respond(refusal.status, [*fields_of(call, cors), *refusal.headers], refusal.body)

        await self._boundary.run(exchange, call, self._boundary.generate(call, SCOPE, work), fail)


class _Answering:
    """The answering of one request."""

    def __init__(
        self,
        exchange: HttpExchange,
        face: Face,
        call: Call,
        chats: ChatService,
        forwarding: Forwarding,
        boundary: Boundary,
        cors: Sequence[tuple[str, str]],
    ) -> None:
        self._exchange = exchange
        self._face = face
        self._call = call
        self._chats = chats
        self._forwarding = forwarding
        self._boundary = boundary
        self._cors = cors
        self._asked: Asked | None = None
        """The request, once it is read."""
        self._writer: EventWriter | None = None

    async def work(self, model: str) -> None:
        """Answers the request. Raises what ends it."""
        await self._boundary.generate(self._call, SCOPE, functools.partial(self._generate, model))

    async def _generate(self, model: str) -> None:
        call = self._call
        data, call.reservation = await self._boundary.intake.receive(
            self._exchange, call.caller, call.remaining_seconds
        )
        with call.reservation:
            check_model_member(data)
            if forwardable := self._forwardable(data, model):
                await self._forward(forwardable)
            else:
                asked = await self._read(data, model)
                del data
                await self._translate(asked)

    # ---------------------------------------------------------------------------------------------- translated

    async def _read(self, data: bytes, model: str) -> Asked:
        read = functools.partial(self._face.read, data, model)
        return await run_in_thread_if_large(READING_WORK * len(data), read)

    async def _translate(self, asked: Asked) -> None:
        headers = self._exchange.headers
        for name in HEADERS_OF_VENDORS.intersection(headers):
            asked.request.provider_headers[name] = headers[name]
        options = apply_features(asked.request, asked.platform, headers)
        # From here on, errors are about its fields.
        self._asked = asked
        if options.previews:
            await self._preview(asked)
        elif asked.streams:
            self._call.begin_stream()
            await self._write_events(asked, self._chats.stream(asked.request, self._call))
        else:
            await self._write_whole(asked, await self._chats.answer(asked.request, self._call))

    async def _preview(self, asked: Asked) -> None:
        preview = models_pb2.PreviewChatRequest(request=asked.request, stream=asked.streams)
        response = await self._chats.preview(preview, self._call)
        members = json_format.MessageToDict(response, preserving_proto_field_name=True)
        await self._exchange.respond(200, self._fields(), json_text.encode(members))

    async def _write_whole(self, asked: Asked, response: models_pb2.ChatResponse) -> None:
        write = functools.partial(asked.whole, response, self._about())
        await self._respond(await run_in_thread_if_large(response.ByteSize(), write), response)

    async def _respond(self, body: bytes, response: models_pb2.ChatResponse) -> None:
        PROCESS_RESPONSES.hold(body, self._call.caller, self._exchange)
        await self._exchange.respond(200, [*self._fields(), *_facts(response)], body)

    async def _write_events(self, asked: Asked, chunks: AsyncIterator[models_pb2.ChatChunk]) -> None:
        encoder = asked.encoder(self._about())
        with EventWriter(self._exchange, encoder, self._fields) as writer:
            self._writer = writer
            async with contextlib.aclosing(chunks):  # type: ignore[type-var]
                async for chunk in chunks:
                    await writer.write(encoder.feed(chunk))
                    self._call.chunks += 1
            await writer.end()

    # ----------------------------------------------------------------------------------------------- forwarded

    def _forwardable(self, data: bytes, model: str) -> Forwardable | None:
        """The request as one to forward; None where it must be translated."""
        glance = None if model or uses_features(self._exchange.headers) else glance_at(data)
        if glance is None or (self._face.name == "chat_completions" and not glance.has_messages):
            return None
        request = models_pb2.ChatRequest(model=glance.model)
        if 0 < glance.max_tokens <= MAX_INT_32:
            request.config.max_tokens = glance.max_tokens
        has_usage = glance.asks_for_usage or self._face.name != "chat_completions"
        forwarded = forwarded_of(self._face.name, data, self._exchange)._replace(
            asks_for_usage=has_usage, has_tools=glance.has_tools
        )

        async def read() -> Asked:
            self._asked = await self._read(data, model)
            return self._asked

        forwardable = Forwardable(request, forwarded, glance.streams, read)
        return forwardable if self._forwarding.is_native(forwardable, self._call) else None

    async def _forward(self, forwardable: Forwardable) -> None:
        if forwardable.streams:
            self._call.begin_stream()
            await self._relay_events(forwardable, self._forwarding.stream(forwardable, self._call))
            return
        answer = await self._forwarding.answer(forwardable, self._call)
        if answer.body:
            await self._respond(answer.body, answer.response)
        else:
            if self._asked is None:
                await forwardable.read()
            assert self._asked
            await self._write_whole(self._asked, answer.response)

    async def _relay_events(self, forwardable: Forwardable, pieces: Pieces) -> None:
        encoder = _Relaying(self._face, self._about(), forwardable.request.model)
        with EventWriter(self._exchange, encoder, self._fields) as writer:
            self._writer = writer
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Piece) and not piece.is_document:
                        await writer.write(piece.data)
                    else:
                        await self._write_chunks(writer, encoder, forwardable, piece)
                    self._call.chunks += 1
            await writer.end()

    async def _write_chunks(
        self, writer: EventWriter, encoder: _Relaying, forwardable: Forwardable, piece: Piece | models_pb2.ChatChunk
    ) -> None:
        """Writes the events of a piece that the server has not sent in the dialect."""
        if encoder.own is None:
            await forwardable.read()
            assert self._asked
            encoder.own = self._asked.encoder(self._about())
        if isinstance(piece, models_pb2.ChatChunk):
            await writer.write(encoder.own.feed(piece))
        elif piece.response:
            for chunk in replay(piece.response):
                await writer.write(encoder.own.feed(chunk))

    # --------------------------------------------------------------------------------------------------- the end

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
        return fields_of(self._call, self._cors)


def forwarded_of(wire: str, data: bytes, exchange: HttpExchange) -> Forwarded:
    """A body with the header fields that go with it. Raises InvalidRequest."""
    headers = {name: exchange.headers[name] for name in DIALECT_FIELDS[wire] if name in exchange.headers}
    for name, value in headers.items():
        if problem := header_problem(value):
            raise InvalidRequest.field(name, problem)
    return Forwarded(wire, data, headers)


def fields_of(call: Call, cors: Sequence[tuple[str, str]]) -> Fields:
    """The header fields of every response."""
    yield REQUEST_ID_KEY, call.request_id
    # The name that Anthropic's clients look for.
    yield "request-id", call.request_id
    yield "openai-processing-ms", str(round(1000 * call.elapsed_seconds()))
    yield "openai-version", "2020-10-01"
    yield from call.trailers
    yield from cors


class _Relaying:
    """The encoder of an answer whose events are written elsewhere, until `own` writes them."""

    heartbeat = COMMENT

    def __init__(self, face: Face, about: About, model: str) -> None:
        self._face = face
        self._about = about
        self._model = model
        self.own: Encoder | None = None

    def begin(self) -> bytes:
        return b""

    def feed(self, chunk: models_pb2.ChatChunk) -> bytes:
        return self.own.feed(chunk) if self.own else b""

    def fail(self, error: PlatformError, request_id: str) -> bytes:
        if self.own:
            return self.own.fail(error, request_id)
        return failure_events(self._face, error, request_id, self._about, self._model)


def _facts(response: models_pb2.ChatResponse) -> Fields:
    """The platform's words about an answer, which the dialects have no place for."""
    yield "x-genai-model", response.model
    yield "x-genai-provider", response.provider
    if response.warnings:
        yield "x-genai-warnings", ",".join(dict.fromkeys(warning.code for warning in response.warnings))
    if response.usage.HasField("cost_nano_usd"):
        yield "x-genai-cost-nano-usd", str(response.usage.cost_nano_usd)
