"""Arguments of a tool call that a server sends all of once more with every piece, in place of the next piece alone.

DeepSeek's models behind Baidu's Qianfan do so (NousResearch/hermes-agent #35718).
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

MAX_LENGTH = 64 * 1024
"""Of the two texts that are looked at: to read them takes some milliseconds."""

# Python makes no int of thousands of digits.
_decode = json.JSONDecoder(strict=False, parse_int=float).decode
_CUT_VALUE = re.compile(r"-|t(?:r(?:u)?)?|f(?:a(?:l(?:s)?)?)?|n(?:u(?:l)?)?|\.?[0-9]*(?:[eE][-+]?)?")
CUT_ESCAPE = 6
"""How long an escape is."""


class Repetition(NamedTuple):
    """What a piece is that begins with all that was told before it."""

    rest: str
    """What it adds."""
    is_certain: bool
    """Whether it can be nothing else: an object may hold another one that begins as it does itself."""


def find_repetition(told: str, piece: str) -> Repetition | None:
    """None for a piece that goes on from what was told."""
    if not piece.startswith(told) or len(told) + len(piece) > MAX_LENGTH or not is_beginning(piece):
        return None
    return Repetition(piece[len(told) :], not is_beginning(told + piece))


def is_beginning(text: str) -> bool:
    """Whether a text is JSON, or the beginning of some."""
    try:
        _decode(text)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            return True
        rest = text[error.pos :].rstrip()
        return bool(_CUT_VALUE.fullmatch(rest)) or ("escape" in error.msg and len(rest) < CUT_ESCAPE)
    except RecursionError:
        return True
    return True
