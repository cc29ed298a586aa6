"""JSON as providers and callers write it: read tolerantly, passed on untouched.

msgspec reads and writes several times faster than the standard library and can keep a value as the exact bytes it
was (`msgspec.Raw`), so that tool arguments and schemas pass through without a digit changed.
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
"""What may be decoded without a look at how many values it has."""

WORK_PER_VALUE = 128
"""How many bytes of plain text take as long as a value does, to decode and to look at."""

_MARKS = (b",", b"[", b"{", b"\n")
"""By which values are counted, and what stands on lines of its own."""
# Possessive, and content without the closing quote: otherwise one without an end would be begun at each quote in it.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

encode = msgspec.json.encode

Shape = TypeVar("Shape", bound=msgspec.Struct)


class _Unread(msgspec.Struct):
    """An object of which no member is of interest."""


def decode(data: bytes) -> Any:
    """Returns the value of JSON bytes. Raises Malformed, for what is beyond the bounds of `large_json` too."""
    if len(data) > PIECE_BYTES:
        return decode_in_steps(data)
    try:
        return decode_fast(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_slowly(data)


def decode_exactly(data: bytes, shape: type[Shape]) -> Shape:
    """The JSON of `shape`, whose members that are `msgspec.Raw` keep their exact bytes, which are UTF-8.

    Raises Malformed for what cannot be embedded so, although `decode` may read it.
    """
    try:
        if len(data) <= PIECE_BYTES:
            return msgspec.json.decode(data.decode(), type=shape)
        # What is read over and kept is not decoded, and takes a tenth of the time.
        _check_utf_8(data)
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Malformed from None


def _check_utf_8(data: bytes) -> None:
    """Raises UnicodeError for bytes that are no UTF-8; in steps, as `large_json` decodes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), PIECE_BYTES):
        decoder.decode(data[start : start + PIECE_BYTES])
    decoder.decode(b"", final=True)


def decoding_work(data: bytes) -> int:
    """About how long it takes to decode and to look through, in bytes of plain text, or its size if that is large."""
    if len(data) <= LIGHT_BYTES or len(data) >= LARGE_BYTES:
        return len(data)
    return len(data) + WORK_PER_VALUE * _count_marks(data, 0, len(data))


def _count_marks(data: bytes, start: int, end: int) -> int:
    return sum(data.count(mark, start, end) for mark in _MARKS)


def encode_any(value: Any) -> bytes:
    """The JSON of a value that `decode` gave, whatever is in it: lone surrogates, integers of any size."""
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
    """The text with the halves of surrogate pairs joined, and U+FFFD for each half that is alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def text_of(value: Any) -> str:
    """A text as protobuf takes it, and "" for whatever is not text."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else join_surrogates(value)


def items_of(value: Any) -> list[Any]:
    """A list, and an empty one for whatever is not a list."""
    return value if isinstance(value, list) else []


def object_of(value: Any) -> dict[str, Any]:
    """An object, and an empty one for whatever is not an object."""
    return value if isinstance(value, dict) else {}


def written(value: Any) -> str:
    """JSON as text: the text itself where it came as one, as the protocols say, and "" for null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else encode_any(value).decode()


MAX_DIGITS = 12


def count_of(value: Any) -> int | None:
    """A count, far above what any call uses and so small that sums of counts and their prices fit protobuf, or None for
    whatever is not one. Some servers write it as a fraction or as text."""
    is_text = isinstance(value, str) and len(value) <= MAX_DIGITS and value.isascii() and value.isdigit()
    if is_text or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else None


def raw(text: str) -> msgspec.Raw:
    """JSON text to be embedded byte for byte."""
    return msgspec.Raw(text.encode())


def raw_members(text: str) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, each as its exact bytes. Raises Malformed for what cannot be embedded so."""
    try:
        return msgspec.json.decode(text.encode(), type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Malformed from None


def object_problem(text: str, max_length: int) -> str | None:
    """Says why `text` is not a JSON object of at most `max_length` characters, or None when it is one."""
    if len(text) > max_length:
        return f"is longer than {max_length} characters"
    if len(text) > CACHED_TEXT_LENGTH:
        return _problem_with_object(text)
    return _cached_problem_with_object(text)


def _problem_with_object(text: str) -> str | None:
    if not is_object(text):
        return "must be a JSON object" if _is_json(text) else "is not valid JSON"
    # Most texts have too few brackets to be deep.
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_deep(text):
        return f"is nested more than {MAX_DEPTH} levels deep"
    return None


# The same tools come with every call of an application.
_cached_problem_with_object = BoundedCache(_problem_with_object)


def _is_deep(text: str) -> bool:
    """Whether JSON has more than `MAX_DEPTH` levels. One after the other, the innermost is taken away."""
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
    """Whether `text` is a JSON object that can be embedded in a body. Nothing of it is kept, however large it is."""
    try:
        msgspec.json.decode(text, type=_Unread)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True
