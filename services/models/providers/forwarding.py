"""Forwarding: a request in the dialect that its server speaks goes there as its client has written it, and so does the
answer. What the platform needs of it, its usage and its end, the dialect's own decoder reads beside.

Only these bytes change:

  * the model's name in the body, where the server knows it by another one;
  * the same name in the answer, which is the one that the client has asked for: clients compare them;
  * OpenAI's `stream_options` are added where the client has not asked for the usage, and the chunk with it is taken out
    of the answer.
"""

from __future__ import annotations

import contextlib
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
from services.models.providers.framing import DOCUMENT_STARTS
from services.models.providers.history.billing_notes import READER, may_write_billing_note
from services.models.providers.http_request import HttpRequest
from services.models.providers.stream import STREAM_TIMEOUTS, StreamReader
from services.models.transport.base import Transport
from services.models.transport.sse import BYTE_ORDER_MARK
from services.shared.call_metrics import Waiting
from services.shared.intake import Reservation

EMBEDDINGS = "embeddings"
LINE_ENDS = 3
"""Bytes at the end of a read that may be a part of the end of an event."""
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
    """Empty where the answer is in another form than the client's, and `response` alone has it."""
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
    if forwarded.wire == "messages" and target.state_owner != READER and may_write_billing_note(forwarded.body):
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
        return ForwardedAnswer(_named_answer(response.body, conversation.request.model), made)


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
        yield Piece(relay.rest(), has_output=True, response=last.response, is_document=relay.has_document)
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
"""Members `model` of one body, inner ones too, that are looked at before its members are joined anew."""


def _with_name(body: bytes, name: str) -> bytes:
    """A JSON object with another value of its member `model`, and not a byte changed beside that."""
    written = msgspec.json.decode(body, type=_Named).model
    wanted = msgspec.json.encode(name)
    old = bytes(written)
    if not old or old == wanted:
        return body
    # An object within may have the same member: each gets its number, and the decoder says which one is meant.
    found = (match.end() for match in _MEMBER.finditer(body) if body.startswith(old, match.end()))
    starts = list(itertools.islice(found, MAX_MEMBERS))
    parts = [body[start:end] for start, end in itertools.pairwise([0, *starts, len(body)])]
    numbered = [parts[0], *(b"%d%b" % (number, part[len(old) :]) for number, part in enumerate(parts[1:]))]
    if starts and (number := bytes(msgspec.json.decode(b"".join(numbered), type=_Named).model)).isdigit():
        start = starts[int(number)]
        return body[:start] + wanted + body[start + len(old) :]
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**members, "model": msgspec.Raw(wanted)})


def _named_answer(body: bytes, name: str) -> bytes:
    """A document with another name of its model; b"" for events, or for JSON that only lenient readers take."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _with_name(body, name)
    return b""


_EVENT_END = re.compile(rb"(?>\r\n|\n|\r){2}")
"""The end of a line and a blank one; a line ends with any of the three."""
_LAST_EVENT = {
    "chat_completions": re.compile(rb"^data:[ ]?\[DONE\]", re.MULTILINE),
    "messages": re.compile(rb'"type"\s*:\s*"message_stop"'),
    "responses": re.compile(rb'"type"\s*:\s*"response\.(?:completed|incomplete)"'),
}
"""The mark of the last event of an answer."""
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
_ERROR = re.compile(rb'"error"\s*:\s*\{|^event:\s*error', re.MULTILINE)
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class _Relay:
    """The bytes of one stream between the reading and the sending of them. Only whole events are sent."""

    def __init__(self, conversation: Conversation) -> None:
        forwarded = conversation.forwarded
        assert forwarded
        self._held = bytearray()
        self._searched = 0
        """The bytes of these that have no end of an event."""
        self.has_document = False
        """Whether the bytes at the end were no events."""
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
        events = self._take_events()
        if is_failed:
            return self._named(_before_error(events))
        if is_done:
            self._last.append(events)
            return b""
        return self._named(events)

    def rest(self) -> bytes:
        """The bytes with which the answer ends."""
        events = b"".join(self._last) + bytes(self._held)
        self._held, self._last = bytearray(), []
        self.has_document = events.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(DOCUMENT_STARTS)
        if self.has_document:
            return events
        events = _to_the_last(_closed(events), _LAST_EVENT[self._wire])
        if self._drops_usage:
            events = _without_usage(events)
        return self._named(events)

    def _take_events(self) -> bytes:
        """The whole events among the bytes. A long one that comes in pieces is searched once."""
        end = _end_of_events(self._held, self._searched)
        events = bytes(self._held[:end])
        del self._held[:end]
        self._searched = max(len(self._held) - LINE_ENDS, 0)
        return events

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
        if events.count(b'"model"') == events.count(self._name):
            return events
        return _MODEL.sub(lambda _: self._name, events)


def _end_of_events(data: bytearray, start: int) -> int:
    """The place behind the last whole event; 0 where none ends behind `start`."""
    if b"\r" not in data:
        # As nearly every server writes them: a search for each event would cost more than all else that is done here.
        found = data.rfind(b"\n\n", start)
        return found + 2 if found >= 0 else 0
    end = 0
    for match in _EVENT_END.finditer(data, start):
        end = match.end()
    return end


def _before_error(events: bytes) -> bytes:
    """The events before the first one that is an error: the platform words that one."""
    found = _ERROR.search(events)
    if not found:
        return events
    starts = [match.end() for match in _EVENT_END.finditer(events, 0, found.start())]
    return events[: starts[-1]] if starts else b""


def _closed(events: bytes) -> bytes:
    """The events with the end of the last one, which a server may leave to the end of the body."""
    is_open = events.strip() and not _EVENT_END.search(events, len(events.rstrip(b"\r\n")))
    return events + b"\n\n" if is_open else events


def _to_the_last(events: bytes, mark: re.Pattern[bytes]) -> bytes:
    """The events up to the one that ends the answer: what comes behind it is no part of it."""
    found = mark.search(events)
    end = found and _EVENT_END.search(events, found.end())
    return events[: end.end()] if end else events


def _without_usage(events: bytes) -> bytes:
    """The last events of a stream of Chat Completions, but for the chunk with the usage."""
    return b"".join(event for event in _split(events) if not _NO_CHOICES.search(event))


def _split(events: bytes) -> list[bytes]:
    ends = [0, *(match.end() for match in _EVENT_END.finditer(events)), len(events)]
    return [events[start:end] for start, end in itertools.pairwise(ends)]
