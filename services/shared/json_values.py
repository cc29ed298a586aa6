"""One JSON value as providers and callers write it, read in one go.

msgspec reads several times faster than the standard library. It refuses lone surrogates and some numbers, which real
providers send; what has some falls back to the standard library.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

# A surrogate that is not at the text's edge has lost its partner for good; one at the edge may find it in the next
# piece of the stream.
_LONE_INSIDE = re.compile("(?<=.)[\udc00-\udfff]|[\ud800-\udbff](?=.)", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")

# Without the hook a number such as 1e308 takes msgspec thirty times as long.
decode_fast = msgspec.json.Decoder(float_hook=float).decode
"""Raises what `decode_whole` takes for a reason to read anew."""


class Malformed(ValueError):
    """The bytes are not JSON."""


def decode_whole(data: bytes) -> Any:
    """Returns the value of JSON bytes. Raises Malformed. Nothing else runs in the process meanwhile."""
    try:
        return decode_fast(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_slowly(data)


def decode_slowly(data: bytes) -> Any:
    """The same for what msgspec refuses."""
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogatepass")
        return _mend(json.loads(text, parse_int=_integer, parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        raise Malformed from None


def are_same_json(told: str, text: str) -> bool:
    """Whether two texts are one JSON value, or differ in white space alone."""
    if "".join(told.split()) == "".join(text.split()):
        return True
    try:
        return bool(decode_whole(told.encode()) == decode_whole(text.encode()))
    except (Malformed, UnicodeEncodeError):
        return False


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        # More digits than Python reads are beyond a double, too.
        return float(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() or not _SURROGATE.search(value) else _LONE_INSIDE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(item) for key, item in value.items()}
    return value
