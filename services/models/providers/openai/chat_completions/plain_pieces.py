"""Plain pieces of a stream, as nearly all are: text of the only choice, and no other member that matters.

Read into its shape, such a piece costs half of what it does member by member; the long way gives the same.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from services.shared.json_text import LIGHT_BYTES

MAX_MISSES = 8
"""Number of other pieces after which no further piece of a stream is tried as plain: each attempt takes time."""


class Delta(msgspec.Struct, forbid_unknown_fields=True):
    """Members that may stand beside the text without content."""

    content: str
    role: str | None = None
    refusal: None = None
    reasoning: None = None
    reasoning_content: None = None
    function_call: None = None
    tool_calls: None = None


class Choice(msgspec.Struct):
    delta: Delta
    index: Literal[0] | None = None
    finish_reason: Literal[""] | None = None
    logprobs: None = None
    error: None = None


class Piece(msgspec.Struct):
    choices: tuple[Choice]
    service_tier: str | None = None
    usage: None = None
    error: None = None
    base_resp: None = None


_decode = msgspec.json.Decoder(Piece).decode


class PlainPieces:
    """Finds the plain pieces of one stream."""

    __slots__ = ("_misses",)

    def __init__(self) -> None:
        self._misses = 0

    def read(self, data: bytes) -> Piece | None:
        """The piece in the JSON `data`, or None where it is to be read at length."""
        if self._misses == MAX_MISSES or len(data) > LIGHT_BYTES:
            return None
        try:
            piece = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._misses += 1
            return None
        return piece if piece.choices[0].delta.content else None
