"""ChatChunks → the events of a message. https://platform.claude.com/docs/en/build-with-claude/streaming

Blocks come one after another, each with its start and its stop, numbered from 0: a block ends where another kind
begins, at each new call, and where its whole part comes. Whatever comes before an open call is complete waits, because
servers may send several calls piece by piece in turns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from proto import models_pb2
from services.models.faces.base import About
from services.models.faces.messages.answer import (
    KINDS,
    NO_USAGE,
    Names,
    ending_members,
    explanation_of,
    members_of,
    one_line,
    sealed_block,
    usage_json,
)
from services.models.faces.messages.assistant import UNSIGNED, VENDOR
from services.models.faces.messages.errors import error_json
from services.models.faces.state_envelope import Bond, seal
from services.models.providers.openai.common.object_end import ObjectEnd
from services.models.providers.state.container_state import container_in
from services.shared import json_text
from services.shared.errors import PlatformError

encode = msgspec.json.encode

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
END_OF_DELTA = b"}}\n\n"

STARTS = {
    "text": b'{"type":"text","text":""}',
    "thinking": b'{"type":"thinking","thinking":"","signature":""}',
}
DELTAS = {
    "text": b'{"type":"text_delta","text":',
    "thinking": b'{"type":"thinking_delta","thinking":',
    "tool_use": b'{"type":"input_json_delta","partial_json":',
}
_citations = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(slots=True)
class _Held:
    """A block, or a whole part, that waits for the end of the open call."""

    kind: str
    pieces: list[str] = field(default_factory=list)
    call: models_pb2.ToolCallDelta | None = None
    part: models_pb2.ContentPart | None = None


class MessageEncoder:
    """Writes one answer."""

    heartbeat = PING

    def __init__(self, model: str, about: About) -> None:
        self._model = model
        self._id = about.id
        self._has_begun = False
        self._number = -1
        """The number of the newest block."""
        self._kind = ""
        """The kind of the open block; "" if none is open."""
        self._head = b""
        """The beginning of its deltas."""
        self._call = -1
        """The index of the open call."""
        self._arguments: list[str] = []
        """The arguments of the open call, in pieces."""
        self._end: ObjectEnd | None = None
        """The end of those arguments, if something waits for it."""
        self._held: deque[_Held] = deque()
        self._held_calls: dict[int, _Held] = {}
        self._name = ""
        """The name of the open block."""
        self._names = Names()
        self._stateless: dict[str, deque[str]] = {"text": deque(), "thinking": deque()}
        """The names of closed blocks without state."""
        self._names_of_calls: dict[str, str] = {}
        self._newest_state = b""
        self._envelopes: list[bytes] = []
        """Blocks with envelopes, which are written before the next other block: an answer does not end with one if it
        calls nothing."""

    def begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        start = b'{"type":"message_start","message":{"id":"msg_%b","type":"message","role":"assistant","model":%b,'
        rest = b'"content":[],"stop_reason":null,"stop_sequence":null,"usage":%b}}' % NO_USAGE
        return _event(b"message_start", start % (self._id.encode(), encode(self._model)) + rest)

    def feed(self, chunk: models_pb2.ChatChunk) -> bytes:
        if token := chunk.token:
            if self._kind == "text":
                return self._head + encode(token) + END_OF_DELTA
            return self._piece("text", token)
        if thought := chunk.reasoning:
            if self._kind == "thinking":
                return self._head + encode(thought) + END_OF_DELTA
            return self._piece("thinking", thought)
        if chunk.HasField("tool_call_delta"):
            return self._call_delta(chunk.tool_call_delta)
        if chunk.HasField("completed_part"):
            return self._part(chunk.completed_part)
        if chunk.HasField("response"):
            return self._finish(chunk.response)
        return b""

    def fail(self, error: PlatformError, request_id: str) -> bytes:
        return _event(b"error", error_json(error, request_id))

    # ----------------------------------------------------------------------------------------------------- pieces

    def _piece(self, kind: str, piece: str) -> bytes:
        if self._waits():
            self._hold_piece(kind, piece)
            return b""
        return self._open(kind, STARTS[kind]) + self._head + encode(piece) + END_OF_DELTA

    def _call_delta(self, delta: models_pb2.ToolCallDelta) -> bytes:
        if delta.index == self._call:
            return self._add_arguments(delta.arguments_json)
        if not delta.id:
            # A call that is closed is complete, so that no more of it matters.
            if held := self._held_calls.get(delta.index):
                held.pieces.append(delta.arguments_json)
            return b""
        if self._waits():
            held = self._held_calls[delta.index] = _Held("tool_use", [delta.arguments_json], delta)
            self._held.append(held)
            return b""
        return self._open_call(delta) + self._add_arguments(delta.arguments_json)

    def _open_call(self, delta: models_pb2.ToolCallDelta) -> bytes:
        start = b'{"type":"tool_use","id":%b,"name":%b,"input":{}}' % (encode(delta.id), encode(delta.name))
        opened = self._open("tool_use", start)
        self._call = delta.index
        self._arguments = []
        self._names_of_calls[delta.id] = self._name
        return opened

    def _add_arguments(self, piece: str) -> bytes:
        if not self._arguments:
            # The client of Anthropic's fails over arguments that are only blanks so far.
            piece = piece.lstrip()
        if not piece:
            return b""
        written = self._head + encode(piece) + END_OF_DELTA
        self._arguments.append(piece)
        if self._end is None:
            return written
        self._end.feed(piece)
        return written + self._release() if self._end.is_here else written

    # ---------------------------------------------------------------------------------------------------- waiting

    def _waits(self) -> bool:
        """Whether what comes now must wait for the end of the open call."""
        if self._end is not None:
            return True
        if self._call < 0:
            return False
        arguments = "".join(self._arguments)
        if json_text.is_object(arguments):
            return False
        self._end = ObjectEnd()
        self._end.feed(arguments)
        return True

    def _hold_piece(self, kind: str, piece: str) -> None:
        if self._held and self._held[-1].kind == kind:
            self._held[-1].pieces.append(piece)
        else:
            self._held.append(_Held(kind, [piece]))

    def _release(self, *, all_of_it: bool = False) -> bytes:
        """Writes what has waited, up to the next call that is not complete."""
        self._end = None
        written: list[bytes] = []
        while self._held and (all_of_it or not self._waits()):
            held = self._held.popleft()
            if held.call is not None:
                self._held_calls.pop(held.call.index, None)
                written += self._open_call(held.call), self._add_arguments("".join(held.pieces))
            elif held.part is not None:
                written.append(self._write_part(held.part))
            else:
                written.append(self._piece(held.kind, "".join(held.pieces)))
        return b"".join(written)

    # ----------------------------------------------------------------------------------------------------- blocks

    def _open(self, kind: str, block: bytes) -> bytes:
        """The end of the open block, and the start of the next one."""
        closed = self.begin() + self._close() + self._written_envelopes()
        self._number += 1
        self._kind, self._name = kind, self._names.next(kind)
        delta = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b'
        self._head = delta % (self._number, DELTAS[kind])
        return closed + self._start(block)

    def _whole_block(self, block: bytes) -> bytes:
        return self.begin() + self._close() + self._written_envelopes() + self._written_block(block)

    def _written_block(self, block: bytes) -> bytes:
        self._number += 1
        return self._start(block) + self._stop()

    def _seal(self, envelope: str) -> bytes:
        """Ends the open block; the envelope waits for the next one."""
        closed = self.begin() + self._close()
        self._envelopes.append(sealed_block(envelope))
        return closed

    def _written_envelopes(self) -> bytes:
        written = b"".join(map(self._written_block, self._envelopes))
        self._envelopes.clear()
        return written

    def _start(self, block: bytes) -> bytes:
        start = b'{"type":"content_block_start","index":%d,"content_block":%b}' % (self._number, block)
        return _event(b"content_block_start", start)

    def _close(self) -> bytes:
        """The end of the open block, which has no state so far."""
        if not self._kind:
            return b""
        if self._kind in self._stateless:
            self._stateless[self._kind].append(self._name)
        unsigned = self._signature(UNSIGNED.encode()) if self._kind == "thinking" else b""
        return unsigned + self._end_block()

    def _end_block(self) -> bytes:
        self._kind, self._call = "", -1
        return self._stop()

    def _stop(self) -> bytes:
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._number

    def _delta(self, delta: bytes) -> bytes:
        data = b'{"type":"content_block_delta","index":%d,"delta":%b}' % (self._number, delta)
        return _event(b"content_block_delta", data)

    def _signature(self, signature: bytes) -> bytes:
        return self._delta(b'{"type":"signature_delta","signature":"%b"}' % signature)

    # ------------------------------------------------------------------------------------------------ whole parts

    def _part(self, part: models_pb2.ContentPart) -> bytes:
        if self._is_open("tool_use", part):
            written = self._write_part(part)
            return written + self._release() if self._end is not None else written
        if self._waits():
            self._held.append(_Held("part", part=part))
            return b""
        return self._write_part(part)

    def _write_part(self, part: models_pb2.ContentPart) -> bytes:
        """The state of a part whose text has been written in pieces, or a part that is state alone. A refusal is
        written at the end, which tells whose words it is in, and a container stands there, too."""
        if part.HasField("refusal") or not part.HasField("provider_state"):
            return b""
        state = part.provider_state
        is_native = state.provider == VENDOR
        if is_native and container_in(part) is not None:
            return b""
        kind = KINDS.get(part.WhichOneof("kind") or "")
        if kind is None:
            return self._whole_block(one_line(state.data)) if is_native else self._seal(seal(state, Bond.ALONE))
        if kind == "thinking" and not part.reasoning.text:
            return self._hidden_thought(state, is_native=is_native)
        if not self._is_open(kind, part):
            return self._late_state(kind, part)
        self._newest_state = state.data
        if kind == "thinking":
            return self._sign(state, is_native=is_native) + self._end_block()
        if kind == "text" and is_native:
            return self._cite(part) + self._end_block()
        return self._end_block() + self._seal(seal(state, Bond.NAMED, self._name))

    def _is_open(self, kind: str, part: models_pb2.ContentPart) -> bool:
        """Whether the open block is the one that a part is of."""
        if kind == "tool_use":
            return self._call >= 0 and self._names_of_calls.get(part.tool_call.id) == self._name
        return kind == self._kind

    def _hidden_thought(self, state: models_pb2.ProviderState, *, is_native: bool) -> bytes:
        if not is_native:
            return self._seal(seal(state))
        if "thinking" not in members_of(state.data):
            return self._whole_block(one_line(state.data))
        return self._open("thinking", STARTS["thinking"]) + self._sign(state, is_native=True) + self._end_block()

    def _sign(self, state: models_pb2.ProviderState, *, is_native: bool) -> bytes:
        if not is_native:
            return self._signature(seal(state).encode())
        signature = bytes(members_of(state.data).get("signature", b""))
        return self._signature(signature[1:-1]) if len(signature) > 2 else b""

    def _cite(self, part: models_pb2.ContentPart) -> bytes:
        try:
            citations = _citations.decode(part.citations_json or "[]")
        except msgspec.MsgspecError:
            citations = []
        deltas = (b'{"type":"citations_delta","citation":%b}' % one_line(bytes(citation)) for citation in citations)
        return b"".join(map(self._delta, deltas))

    def _late_state(self, kind: str, part: models_pb2.ContentPart) -> bytes:
        """The state of a part whose block is closed already."""
        state = part.provider_state
        if kind == "tool_use":
            name = self._names_of_calls.get(part.tool_call.id)
        else:
            name = self._stateless[kind].popleft() if self._stateless[kind] else None
        if name is not None:
            self._newest_state = state.data
            return self._seal(seal(state, Bond.NAMED, name))
        # Parts of one item of the provider's have the same state, and may be one block.
        return b"" if state.data == self._newest_state else self._seal(seal(state, Bond.ALONE))

    # ---------------------------------------------------------------------------------------------------- the end

    def _finish(self, response: models_pb2.ChatResponse) -> bytes:
        written = [self.begin(), self._release(all_of_it=True), self._close()]
        if not explanation_of(response):
            written += map(self._refusal, response.message.parts)
        if self._names_of_calls or not self._names.counts["t"]:
            written.append(self._written_envelopes())
        delta = b'{"type":"message_delta","delta":{%b},"usage":%b}'
        written += _event(b"message_delta", delta % (ending_members(response), usage_json(response.usage))), STOP
        return b"".join(written)

    def _refusal(self, part: models_pb2.ContentPart) -> bytes:
        if not part.refusal:
            return b""
        written = self._open("text", STARTS["text"]) + self._head + encode(part.refusal) + END_OF_DELTA
        if part.HasField("provider_state"):
            return written + self._end_block() + self._seal(seal(part.provider_state, Bond.NAMED, self._name))
        return written + self._end_block()


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, data)
