"""Documents whose logprobs have too many values to be read: these are cut out, and the rest is read.

Every token comes with as many alternatives as were asked for, each with its bytes, so that eight hundred tokens may be
too many. The events of a stream have a few of them at a time; those at its end repeat them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from services.models.providers.answers.values import read_object
from services.models.providers.errors.faults import Fault
from services.shared.large_json import PIECE_BYTES

_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BYTES = rb'\[[^\[\]{}"]*+\]'
_OTHER = rb'\{(?:[^\[\]{}"]++|%b|%b)*+\}' % (_TEXT, _BYTES)
_OTHERS = rb'\[(?:[^\[\]{}"]++|%b)*+\]' % _OTHER
_TOKEN = re.compile(rb'[\s,]*+\{(?:[^\[\]{}"]++|%b|%b|%b)*+\}' % (_TEXT, _BYTES, _OTHERS), re.DOTALL)
_BEGINNING = re.compile(rb'"(?:logprobs|content|refusal)"\s*+:\s*+\[(?=\s*+\{\s*+\Z)')
"""The text before the first token of a list, in Responses and in Chat Completions."""
BEGINNING_BYTES = 64
_END = re.compile(rb"\s*+\]")

MAX_LOOKS = 8192
"""Limit for the searches for a list: answers have no more parts, and other text must not take more time."""

MAX_TOKENS = 2**17
"""Tokens of a list: no model writes as many."""


def read_large_object(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The object that a provider sent, and its JSON; both without the logprobs if it is too many values with them.

    Raises Fault for anything else.
    """
    try:
        return read_object(data), data
    except Fault:
        return read_without_logprobs(data)


def read_without_logprobs(data: bytes) -> tuple[dict[str, Any], bytes]:
    """A document without its logprobs, for one that is too large to be read whole."""
    light = b"".join(_without_logprobs(data)) if len(data) > PIECE_BYTES else data
    if len(light) == len(data):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return read_object(light), light


def _without_logprobs(data: bytes) -> Iterator[bytes]:
    """The pieces between the tokens. They are searched a token at a time, so that the event loop is not blocked."""
    start = position = 0
    for _ in range(MAX_LOOKS):
        name = data.find(b'"token"', position)
        if name < 0:
            break
        position = name + 1
        before = max(0, name - BEGINNING_BYTES)
        beginning = _BEGINNING.search(data[before:name])
        if not beginning:
            continue
        first = before + beginning.end()
        end = _end_of_list(data, first)
        if end:
            yield data[start:first]
            start = position = end
    yield data[start:]


def _end_of_list(data: bytes, position: int) -> int:
    """The index of the bracket that ends the list of tokens; 0 if the list holds other values, or too many."""
    for _ in range(MAX_TOKENS):
        token = _TOKEN.match(data, position, position + PIECE_BYTES)
        if not token:
            break
        position = token.end()
    end = _END.match(data, position)
    return end.end() - 1 if end else 0
