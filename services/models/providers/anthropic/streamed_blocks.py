"""Content blocks of a stream in progress: the start of each, and the pieces that have arrived since."""

from __future__ import annotations

from typing import Any

import msgspec

from services.models.providers.answers.joined_values import JoinedValue
from services.models.providers.answers.text_pieces import Pieces
from services.models.providers.answers.values import read_object, read_word
from services.models.providers.anthropic.response import arguments_in, is_hidden, piece_of, takes_answer
from services.models.providers.errors.faults import Fault
from services.shared import json_text
from services.shared.json_text import items_of, text_of


class _StartOfBlock(msgspec.Struct):
    content_block: msgspec.Raw


class _RawCitation(msgspec.Struct):
    citation: msgspec.Raw


class _CitationsDelta(msgspec.Struct):
    delta: _RawCitation


class _AnyDelta(msgspec.Struct):
    delta: dict[str, msgspec.Raw]


WHOLE_MEMBERS = frozenset({"encrypted_content"})
"""Members of other blocks whose later pieces replace the earlier ones instead of continuing them (`_beta_messages.py`
of anthropic 2.12)."""
NOTHING = (b"null", b'""')
"""The beginnings of a member that comes in pieces."""


class StreamedBlock:
    """A content block in progress. Its start is held as JSON, which takes the least memory."""

    __slots__ = (
        "call_id",
        "citations",
        "holds_placeholder",
        "is_closed",
        "is_hidden",
        "is_left_out",
        "is_whole",
        "joined",
        "json",
        "key",
        "kind",
        "signature",
        "size",
        "start",
        "takes_answer",
    )

    def __init__(self, content: dict[str, Any], key: int, data: bytes) -> None:
        self.kind = text_of(content.get("type"))
        self.call_id = read_word(content.get("id")) if self.kind == "tool_use" else ""
        self.takes_answer = takes_answer(content)
        self.is_left_out = False
        """True for a second answer in JSON, which is dropped."""
        self.key = key
        self.start = _block_json(content, data)
        self.is_whole = True
        self.is_closed = False
        self.is_hidden = is_hidden(content)
        self.size = 0
        """Characters of the tool's arguments so far."""
        self.holds_placeholder = False
        """Whether the arguments so far are an empty object."""
        self.json = Pieces()
        self.signature = Pieces()
        self.citations: list[msgspec.Raw] = []
        self.joined: dict[str, JoinedValue] | None = None
        """Its members that arrive in pieces, if its kind has no field in the contract."""

    def content(self) -> dict[str, Any]:
        """The content with which the block began."""
        return read_object(self.start)

    def begins_again(self, content: dict[str, Any], data: bytes) -> bool:
        """Whether an event repeats the start of this open tool call. Raises Fault if its arguments differ."""
        if self.is_closed or self.kind != "tool_use" or content.get("type") != "tool_use":
            return False
        if not self.call_id or read_word(content.get("id")) != self.call_id:
            return False
        # Shorter JSON cannot be equal: decoding a long start again for each of many short events would take hours.
        if content.get("input") and (len(self.start) > len(data) or content["input"] != self.content().get("input")):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        return True

    def join(self, members: dict[str, bytes]) -> None:
        """Adds pieces of its members."""
        if self.joined is None:
            began = json_text.raw_members(self.start.decode()).items()
            self.joined = {name: JoinedValue(bytes(value)) for name, value in began if bytes(value) not in NOTHING}
        for name, piece in members.items():
            if name not in self.joined:
                self.joined[name] = JoinedValue(piece)
            else:
                self.joined[name].add(piece, is_whole=name in WHOLE_MEMBERS)

    def written(self) -> bytes:
        """The whole block; members that arrived in one piece keep their exact bytes."""
        if self.is_whole:
            return self.start
        members: dict[str, Any] = dict(json_text.raw_members(self.start.decode()))
        for name, value in (self.joined or {}).items():
            members[name] = msgspec.Raw(value.written())
        arguments_json = self.json.end()
        if json_text.is_object(arguments_json):
            members["input"] = json_text.raw(arguments_json)
        if self.citations:
            members["citations"] = self.citations
        return json_text.encode(members)

    def first_arguments_json(self, content: dict[str, Any]) -> str:
        """The arguments that the block began with."""
        is_written = content.get("input") and not isinstance(content["input"], str)
        return self._written_member("input", content) if is_written else arguments_in(content)

    def citations_json(self, content: dict[str, Any]) -> str:
        """All citations, those that came in pieces included."""
        if self.citations:
            return json_text.encode_any(content["citations"]).decode()
        return self._written_member("citations", content)

    def _written_member(self, name: str, content: dict[str, Any]) -> str:
        """The JSON of a member that the block began with, as the provider wrote it where that can be embedded."""
        try:
            return bytes(json_text.raw_members(self.start.decode())[name]).decode()
        except json_text.Malformed:
            return json_text.encode_any(content[name]).decode()

    def add_rest(self, content: dict[str, Any]) -> None:
        """Adds to the content the signature and the citations that came in pieces."""
        if signature := self.signature.end():
            content["signature"] = piece_of(content, "signature") + signature
        if self.citations:
            content["citations"] = [*items_of(content.get("citations")), *self.citations]


def _block_json(content: dict[str, Any], data: bytes) -> bytes:
    """The block of the event that starts it, as the provider wrote it where that can be embedded."""
    if not content:
        return b"{}"
    try:
        return bytes(json_text.decode_exactly(data, _StartOfBlock).content_block)
    except json_text.Malformed:
        return json_text.encode_any(content)


def delta_members(delta: dict[str, Any], data: bytes) -> dict[str, bytes]:
    """The members of a delta, as the provider wrote them where they can be embedded."""
    try:
        written = json_text.decode_exactly(data, _AnyDelta).delta
    except json_text.Malformed:
        return {text_of(name): json_text.encode_any(value) for name, value in delta.items() if name != "type"}
    return {name: bytes(value) for name, value in written.items() if name != "type"}


def citation_in(delta: dict[str, Any], data: bytes) -> msgspec.Raw:
    """The citation of a delta, as the provider wrote it where that can be embedded."""
    try:
        return json_text.decode_exactly(data, _CitationsDelta).delta.citation
    except json_text.Malformed:
        return msgspec.Raw(json_text.encode_any(delta.get("citation")))
