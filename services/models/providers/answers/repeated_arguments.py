"""Arguments of a tool call that a server repeats from the beginning in every piece, instead of sending the next piece.

DeepSeek's models behind Baidu's Qianfan do so (NousResearch/hermes-agent #35718).
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

MAX_LENGTH = 64 * 1024
"""Characters of the two texts that are compared: reading them takes some milliseconds."""

# Python refuses to convert thousands of digits to an int.
_decode = json.JSONDecoder(strict=False, parse_int=float).decode
_CUT_VALUE = re.compile(r"-|t(?:r(?:u)?)?|f(?:a(?:l(?:s)?)?)?|n(?:u(?:l)?)?|\.?[0-9]*(?:[eE][-+]?)?")
CUT_ESCAPE = 6
"""Length of the longest JSON escape, which may be cut."""


class Repetition(NamedTuple):
    """A piece that begins with all that came before it."""

    rest: str
    """The text that it adds."""
    is_certain: bool
    """True if it can only be a repetition: an object may also hold another one that begins as it does itself."""


def find_repetition(earlier: str, piece: str) -> Repetition | None:
    """The repetition in a piece; None if the piece continues the earlier ones."""
    if not piece.startswith(earlier) or len(earlier) + len(piece) > MAX_LENGTH or not is_beginning(piece):
        return None
    return Repetition(piece[len(earlier) :], not is_beginning(earlier + piece))


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
