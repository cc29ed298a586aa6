"""Input of a custom tool, which takes a text and no JSON, in the arguments of a call."""

from __future__ import annotations

import msgspec


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    input: str


_decoder = msgspec.json.Decoder(_Input)


def input_in(arguments_json: str) -> str:
    """The text in the arguments of the function that a custom tool is to most models; other arguments as they are."""
    try:
        return _decoder.decode(arguments_json).input
    except (msgspec.MsgspecError, RecursionError):
        return arguments_json
