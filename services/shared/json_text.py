"""JSON of providers and callers: read tolerantly, forwarded unchanged.

msgspec reads and writes several times faster than the standard library, and can keep a value as its exact bytes
(`msgspec.Raw`), so that tool arguments and schemas are forwarded without a changed digit.
"""

from __future__ import annotations

import codecs
import re
from typing import Any, TypeVar

import msgspec

from services.shared.bounded_cache import BoundedCache
from services.shared.json_values import Malformed as Malformed
from services.shared.json_values import decode_fast, decode_slowly
from services.shared.large_json import PIECE_BYTES, decode_in_steps
from services.shared.offload import LARGE_BYTES

MAX_DEPTH = 64
CACHED_TEXT_LENGTH = 16_384

LIGHT_BYTES = 16 * 1024
"""Size up to which JSON is decoded without counting its values."""

WORK_PER_VALUE = 128
"""Work of a value: bytes of plain text that take as long to decode and read."""

_MARKS = (b",", b"[", b"{", b"\n")
"""Bytes by which values, and JSON on lines of its own, are counted."""
# Possessive, with an optional closing quote: otherwise an unterminated string would be tried again at each quote in it.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

encode = msgspec.json.encode

Shape = TypeVar("Shape", bound=msgspec.Struct)


class _Unread(msgspec.Struct):
    """An object whose members are not decoded."""


def decode(data: bytes) -> Any:
    """The value of JSON bytes. Raises Malformed, also for JSON beyond the bounds of `large_json`."""
    if len(data) > PIECE_BYTES:
        return decode_in_steps(data)
    try:
        return decode_fast(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_slowly(data)


def decode_exactly(data: bytes, shape: type[Shape]) -> Shape:
    """The JSON bytes as a `shape`; its `msgspec.Raw` members keep their exact bytes, which are valid UTF-8.

    Raises Malformed for JSON that cannot be embedded in this way, even if `decode` can read it.
    """
    try:
        if len(data) <= PIECE_BYTES:
            return msgspec.json.decode(data.decode(), type=shape)
        # Raw members are skipped and not decoded, which takes a tenth of the time.
        _check_utf_8(data)
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Malformed from None


def _check_utf_8(data: bytes) -> None:
    """Raises UnicodeError for invalid UTF-8; works in steps, as `large_json` does."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), PIECE_BYTES):
        decoder.decode(data[start : start + PIECE_BYTES])
    decoder.decode(b"", final=True)


def decoding_work(data: bytes) -> int:
    """The estimated work to decode and read JSON, in bytes of plain text; its size if it is small or large."""
    if len(data) <= LIGHT_BYTES or len(data) >= LARGE_BYTES:
        return len(data)
    return len(data) + WORK_PER_VALUE * _count_marks(data, 0, len(data))


def _count_marks(data: bytes, start: int, end: int) -> int:
    return sum(data.count(mark, start, end) for mark in _MARKS)


def encode_any(value: Any) -> bytes:
    """The JSON of a decoded value, which may contain lone surrogates and integers of any size."""
    try:
        return encode(value)
    except (UnicodeEncodeError, OverflowError):
        return encode(_encodable(value))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return join_surrogates(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return msgspec.Raw(str(value).encode())
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def join_surrogates(text: str) -> str:
    """The text with surrogate pairs joined, and U+FFFD for each lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def text_of(value: Any) -> str:
    """The text in a form that protobuf accepts; "" for a value that is not a text."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else join_surrogates(value)


def items_of(value: Any) -> list[Any]:
    """The list; an empty one for a value that is not a list."""
    return value if isinstance(value, list) else []


def object_of(value: Any) -> dict[str, Any]:
    """The object; an empty one for a value that is not an object."""
    return value if isinstance(value, dict) else {}


def written(value: Any) -> str:
    """JSON as text: a text as it is, as the protocols require; "" for null; other values encoded."""
    if value is None:
        return ""
    return value if isinstance(value, str) else encode_any(value).decode()


MAX_DIGITS = 12


def count_of(value: Any) -> int | None:
    """The count, or None for a value that is not one. Some servers write counts as fractions or as texts.

    The limit is far above the usage of any call, and so small that sums of counts and their prices fit protobuf.
    """
    is_text = isinstance(value, str) and len(value) <= MAX_DIGITS and value.isascii() and value.isdigit()
    if is_text or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else None


def raw(text: str) -> msgspec.Raw:
    """JSON text to be embedded byte for byte."""
    return msgspec.Raw(text.encode())


def raw_members(text: str) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, each as its exact bytes. Raises Malformed for JSON that cannot be embedded."""
    try:
        return msgspec.json.decode(text.encode(), type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Malformed from None


def object_problem(text: str, max_length: int) -> str | None:
    """The reason why `text` is not a JSON object of at most `max_length` characters, or None if it is one."""
    if len(text) > max_length:
        return f"is longer than {max_length} characters"
    if len(text) > CACHED_TEXT_LENGTH:
        return _find_object_problem(text)
    return _cached_object_problem(text)


def _find_object_problem(text: str) -> str | None:
    if not is_object(text):
        return "must be a JSON object" if _is_json(text) else "is not valid JSON"
    # Most texts have too few brackets to be deep.
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_deep(text):
        return f"is nested more than {MAX_DEPTH} levels deep"
    return None


# An application sends the same tools with every call.
_cached_object_problem = BoundedCache(_find_object_problem)


def _is_deep(text: str) -> bool:
    """Whether JSON has more than `MAX_DEPTH` levels. Each step removes the innermost brackets."""
    brackets = _STRING.sub(b"", text.encode()).translate(_SQUARE, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def is_object(text: str) -> bool:
    """Whether `text` is a JSON object that can be embedded in a body. It is checked without being decoded."""
    try:
        msgspec.json.decode(text, type=_Unread)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True
