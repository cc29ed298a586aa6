"""Forwarding: a request in the dialect that its server speaks goes there as its client has written it, and so does the
answer. What the platform needs of it, its usage and its end, the dialect's own decoder reads beside.

Only these bytes change:

  * the model's name in the body, where the server knows it by another one;
  * the same name in the answer, which is the one that the client has asked for: clients compare them;
  * OpenAI's `stream_options` are added where the client has not asked for the usage, and the chunk with it is taken out
    of the answer.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import AsyncGenerator
from typing import NamedTuple

import msgspec

from proto import models_pb2
from services.models.providers.base import Conversation, Native, Target
from services.models.providers.chat import Interruption, name_owner, read_answer
from services.models.providers.client import Exchange
from services.models.providers.completion import Completion, Interrupted
from services.models.providers.http_request import HttpRequest
from services.models.providers.stream import STREAM_TIMEOUTS, StreamReader
from services.models.transport.base import Transport
from services.shared.call_metrics import Waiting
from services.shared.intake import Reservation

EMBEDDINGS = "embeddings"
USAGE_OPTION = b'"stream_options":{"include_usage":true},'


class Piece(NamedTuple):
    """A piece of a forwarded answer: bytes for the client, and in the last one what the platform makes of the answer,
    which comes before its client hears the end."""

    data: bytes
    has_output: bool
    """False for mere signs of life, which have no part of the answer."""
    response: models_pb2.ChatResponse | None = None
    is_document: bool = False
    """Whether the server has answered with one document instead of events, so that `response` alone has the answer."""


class ForwardedAnswer(NamedTuple):
    """A whole forwarded answer."""

    body: bytes
    response: models_pb2.ChatResponse


class _Named(msgspec.Struct):
    """A body, or an answer, with the name of its model."""

    model: msgspec.Raw = msgspec.Raw()


def can_forward(conversation: Conversation, target: Target, *, stream: bool) -> Native | None:
    """The dialect and path in which the conversation's body goes to a target; None where it must be translated."""
    forwarded = conversation.forwarded
    if forwarded is None or target.default_options_json or (stream and not target.can_stream):
        return None
    if target.streams_unary and not stream:
        return None
    if forwarded.wire != EMBEDDINGS and target.facts.kind == "embedding":
        return None
    return target.dialect.native(forwarded, target)


def counting_request(conversation: Conversation, target: Target) -> HttpRequest | None:
    """The forwarded body as a request to count its tokens; None where it must be translated for that."""
    native = can_forward(conversation, target, stream=False)
    if native is None or not native.counting_path:
        return None
    return _request(target, native._replace(path=native.counting_path), conversation, stream=False)


async def forward(
    transport: Transport,
    target: Target,
    native: Native,
    conversation: Conversation,
    interrupted: Interrupted | None = None,
    reservation: Reservation | None = None,
    waiting: Waiting | None = None,
) -> ForwardedAnswer:
    """The whole answer. Raises as `chat.chat` does."""
    request = _request(target, native, conversation, stream=False)
    target = _in_dialect(target, native)
    async with Exchange(transport, target, reservation, waiting=waiting) as exchange:
        response = await exchange.post(request)
        answer = await exchange.read(response, response.body, functools.partial(read_answer, target, {}))
        made = await Completion(target, conversation, (), interrupted).response(answer)
        return ForwardedAnswer(_with_name(response.body, conversation.request.model), made)


async def forward_stream(
    transport: Transport,
    target: Target,
    native: Native,
    conversation: Conversation,
    interrupted: Interrupted | None = None,
    reservation: Reservation | None = None,
    waiting: Waiting | None = None,
) -> AsyncGenerator[Piece, None]:
    """Yields the pieces of the answer as they arrive. Raises as `chat.chat_stream` does: what arrived before is then
    yielded, the events of the error itself are not."""
    request = _request(target, native, conversation, stream=True)
    target = _in_dialect(target, native)
    async with Exchange(transport, target, reservation, waiting=waiting) as exchange:
        response = await exchange.stream(request)
        relay = _Relay(conversation)
        reader = StreamReader(exchange, response, native.dialect, STREAM_TIMEOUTS, relay.take)
        name_owner(reader.answer, target, {})
        with Interruption(exchange, reader, target, conversation, interrupted):
            while reader.state != "ended":
                chunks = await reader.read()
                if data := relay.release(is_failed=reader.state == "failed", is_done=reader.decoder.finished):
                    yield Piece(data, bool(chunks))
                    exchange.chunks_sent += 1
            await reader.finish()
        last = await Completion(target, conversation, (), interrupted).last_chunk(reader.answer)
        data = relay.rest()
        yield Piece(data, has_output=True, response=last.response, is_document=data.lstrip().startswith(b"{"))
        await reader.drain()


def _request(target: Target, native: Native, conversation: Conversation, *, stream: bool) -> HttpRequest:
    forwarded = conversation.forwarded
    assert forwarded
    body = forwarded.body
    if target.model != conversation.request.model:
        body = _with_name(body, target.model)
    if stream and not forwarded.asks_for_usage:
        start = body.index(b"{") + 1
        body = body[:start] + USAGE_OPTION + body[start:]
    return HttpRequest(native.path, body, forwarded.headers)


def _in_dialect(target: Target, native: Native) -> Target:
    """The target in the dialect of the body, in which its answers and its errors are read."""
    return target if target.dialect is native.dialect else dataclasses.replace(target, dialect=native.dialect)


_MEMBER = re.compile(rb'"model"\s*+:\s*+')
MAX_MEMBERS = 64
"""Members `model` of one body, inner ones too, that are tried before its members are joined anew."""


def _with_name(body: bytes, name: str) -> bytes:
    """A JSON object with another value of its member `model`, and not a byte changed beside that."""
    written = msgspec.json.decode(body, type=_Named).model
    wanted = msgspec.json.encode(name)
    old = bytes(written)
    if not old or old == wanted:
        return body
    # An object within may have the same member. Of two with one name, the last counts.
    ends = [found.end() for found in _MEMBER.finditer(body) if body.startswith(old, found.end())]
    for start in reversed(ends[-MAX_MEMBERS:]):
        changed = body[:start] + wanted + body[start + len(old) :]
        if bytes(msgspec.json.decode(changed, type=_Named).model) == wanted:
            return changed
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**members, "model": msgspec.Raw(wanted)})


_EVENT_END = re.compile(rb"\r?\n\r?\n")
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
_ERROR = re.compile(rb'"error"\s*:\s*\{|^event:\s*error', re.MULTILINE)
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class _Relay:
    """The bytes of one stream between the reading and the sending of them. Only whole events are sent."""

    def __init__(self, conversation: Conversation) -> None:
        forwarded = conversation.forwarded
        assert forwarded
        self._held = b""
        self._name = b'"model":' + msgspec.json.encode(conversation.request.model)
        self._wire = forwarded.wire
        self._is_named = False
        """Whether no further event names the model."""
        self._drops_usage = not forwarded.asks_for_usage
        self._last: list[bytes] = []
        """Events that are sent once the answer is accounted for."""

    def take(self, data: bytes) -> None:
        """Takes the bytes of a read."""
        self._held += data

    def release(self, *, is_failed: bool, is_done: bool) -> bytes:
        """The bytes to send now: none of those with which the answer ends, or with which it fails."""
        end = 0
        for match in _EVENT_END.finditer(self._held):
            end = match.end()
        events, self._held = self._held[:end], self._held[end:]
        if is_failed:
            return self._named(_before_error(events))
        if is_done:
            self._last.append(events)
            return b""
        return self._named(events)

    def rest(self) -> bytes:
        """The bytes with which the answer ends."""
        events = b"".join(self._last) + self._held
        self._held, self._last = b"", []
        if self._drops_usage:
            events = _without_usage(events)
        return self._named(events)

    def _named(self, events: bytes) -> bytes:
        if self._is_named or b'"model"' not in events:
            return events
        if self._wire == "messages":
            # The first event alone names it.
            self._is_named = True
            return _MODEL.sub(lambda _: self._name, events, count=1)
        if self._wire == "responses":
            # Further ones in an event are those of tools.
            return b"".join(_MODEL.sub(lambda _: self._name, event, count=1) for event in _split(events))
        return _MODEL.sub(lambda _: self._name, events)


def _before_error(events: bytes) -> bytes:
    """The events before the first one that is an error: the platform words that one."""
    found = _ERROR.search(events)
    if not found:
        return events
    starts = [match.end() for match in _EVENT_END.finditer(events, 0, found.start())]
    return events[: starts[-1]] if starts else b""


def _without_usage(events: bytes) -> bytes:
    """The last events of a stream of Chat Completions, but for the chunk with the usage."""
    return b"".join(event for event in _split(events) if not _NO_CHOICES.search(event))


def _split(events: bytes) -> list[bytes]:
    ends = [0, *(match.end() for match in _EVENT_END.finditer(events)), len(events)]
    return [events[start:end] for start, end in itertools.pairwise(ends)]
