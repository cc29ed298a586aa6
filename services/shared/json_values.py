"""Decoding of one JSON value in one step.

msgspec decodes several times faster than the standard library. It refuses lone surrogates and some numbers, which real
providers send; JSON that contains them is decoded by the standard library.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

# A lone surrogate inside a text stays alone; at its edge, the other half may be in the next piece of the stream.
_LONE_INSIDE = re.compile("(?<=.)[\udc00-\udfff]|[\ud800-\udbff](?=.)", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")

# Without the hook, a number such as 1e308 takes msgspec thirty times as long.
decode_fast = msgspec.json.Decoder(float_hook=float).decode
"""Decodes with msgspec. Raises MsgspecError, UnicodeDecodeError or RecursionError; see `decode_whole`."""


class Malformed(ValueError):
    """The bytes are not JSON."""


def decode_whole(data: bytes) -> Any:
    """The value of JSON bytes. Raises Malformed. Holds the GIL meanwhile."""
    try:
        return decode_fast(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_slowly(data)


def decode_slowly(data: bytes) -> Any:
    """The value of JSON bytes that msgspec refuses. Raises Malformed."""
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogatepass")
        return _repair(json.loads(text, parse_int=_integer, parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        raise Malformed from None


def are_same_json(first: str, second: str) -> bool:
    """Whether two texts are the same JSON value, or differ only in white space."""
    if "".join(first.split()) == "".join(second.split()):
        return True
    try:
        return bool(decode_whole(first.encode()) == decode_whole(second.encode()))
    except (Malformed, UnicodeEncodeError):
        return False


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        # Python limits the digits of an int; so many digits are beyond a double, too.
        return float(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _repair(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() or not _SURROGATE.search(value) else _LONE_INSIDE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_repair(item) for item in value]
    if isinstance(value, dict):
        return {_repair(key): _repair(item) for key, item in value.items()}
    return value
