"""Records of the ledger, and their frames in a file: each frame has its length, its checksum and its kind before it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from enum import IntEnum
from zlib import crc32

import msgspec

OK = "OK"
UNKNOWN = "UNKNOWN"
PROCESS_LOST = "PROCESS_LOST"
"""Reason of a call whose process was killed while a provider answered it: how much it has used is not known."""

MAX_PAYLOAD_BYTES = 1024 * 1024
"""Bytes beyond any record, so that a damaged length is recognised."""

USAGE_UNKNOWN = "USAGE_UNKNOWN"
"""Why a call has no cost: its process was lost before anything was known of its usage."""

USAGE_INCOMPLETE = "USAGE_INCOMPLETE"
"""Why a call has no cost: the record does not have all that its cost depends on, such as a service tier, the tokens
that are cached for an hour, or which of several attempts used how much."""

PRICE_NOT_LISTED = "PRICE_NOT_LISTED"
"""Why a call has no cost: the price list has no rates for what the vendor's model used."""

PRICE_NOT_REGISTERED = "PRICE_NOT_REGISTERED"
"""Why a call has no cost: no registration of its name has rates for what the registered model used."""

PRICEABLE = frozenset({PRICE_NOT_LISTED, PRICE_NOT_REGISTERED})
"""Of these calls nothing but the rates is missing."""

HASH_DIGITS = 32
"""Digits of the hash that stands for an end user's id."""

_HEADER = struct.Struct("<IIB")
_pack_header = _HEADER.pack


class UsageRecord(msgspec.Struct, array_like=True, kw_only=True, frozen=True, gc=False):
    """One call that has asked a provider. New fields are added at the end, with defaults: files may be older."""

    call_id: str
    at: float
    """The end of the call, in seconds since 1970."""
    verb: str = "chat"
    request_id: str = ""
    """The caller's id of the call, which may repeat."""
    team_id: str = ""
    project_id: str = ""
    key_id: str = ""
    user_id: str = ""
    end_user_hash: str = ""
    session_id: str = ""
    model_asked: str = ""
    model_served: str = ""
    """The name of a registered model, else the provider's own."""
    provider: str = ""
    prompt_name: str = ""
    prompt_version: int = 0
    prompt_label: str = ""
    tags: dict[str, str] = {}
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost_nano_usd: int | None = None
    """None if it is not known."""
    price_as_of: str = ""
    """The price list that the cost was computed by; empty for rates of a registration."""
    estimated: bool = False
    attempts: int = 0
    """Requests to providers."""
    status: str = OK
    reason: str = ""
    first_chunk_ms: int | None = None
    duration_ms: int = 0
    unpriced: str = ""
    """Why the cost is not known. Empty if it is, and in records of programs that did not tell."""
    counted_tags: dict[str, str] = {}
    """The rollups of tags that have the call, with their values: those of a call that may still get its price."""


class Kind(IntEnum):
    """The kind of a frame: how far its call is."""

    ENDED = 0
    """The whole record of a call that has ended."""
    BEGUN = 1
    """The record of a call that is about to ask a provider, in case that its process is killed."""
    VOID = 2
    """The id of a call that has begun, and has asked no provider."""


# To find a member in its class takes several times as long.
ENDED, BEGUN, VOID = Kind


def hash_end_user(end_user_id: str) -> str:
    """The hash by which the ledger knows an end user."""
    return hashlib.sha256(end_user_id.encode()).hexdigest()[:HASH_DIGITS]


encode_record = msgspec.msgpack.Encoder().encode
decode_record = msgspec.msgpack.Decoder(UsageRecord).decode


def encode_frame(kind: Kind, payload: bytes) -> bytes:
    """The bytes of a frame."""
    return _pack_header(len(payload), crc32(payload, kind), kind) + payload


def read_frames(data: bytes) -> Iterator[tuple[Kind, bytes] | None]:
    """The frames in the bytes of a file, None for one that is damaged.

    Behind damage, such as zeros that a loss of power has left, the next frame with a right checksum is looked for.
    """
    start = 0
    while start < len(data):
        if frame := _frame_at(data, start):
            yield frame
            start += _HEADER.size + len(frame[1])
            continue
        yield None
        start = _next_frame(data, start + 1)


def _frame_at(data: bytes, start: int) -> tuple[Kind, bytes] | None:
    """The frame that begins at a place; None if none does."""
    payload_start = start + _HEADER.size
    if payload_start > len(data):
        return None
    length, checksum, kind = _HEADER.unpack_from(data, start)
    if not 0 < length <= min(MAX_PAYLOAD_BYTES, len(data) - payload_start) or kind not in _KINDS:
        return None
    payload = data[payload_start : payload_start + length]
    return (_KINDS[kind], payload) if crc32(payload, kind) == checksum else None


def _next_frame(data: bytes, start: int) -> int:
    """The place of the next frame, or the end."""
    while start < len(data) and not _frame_at(data, start):
        start += 1
    return start


_KINDS = {kind.value: kind for kind in Kind}
