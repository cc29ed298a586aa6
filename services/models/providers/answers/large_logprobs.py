"""Documents that are too many values to be read, for their logprobs alone: these are cut out, and the rest is read.

Every token is told with as many others as were asked for, each with its bytes, so that eight hundred tokens may be too
many. The events of a stream tell them a few at a time; those at its end repeat them all.
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
"""What stands before the first token of a list, that of Responses or one of Chat Completions."""
BEGINNING_BYTES = 64
_END = re.compile(rb"\s*+\]")

MAX_LOOKS = 8192
"""For a list: answers have no more parts, and what is no list of tokens must not be worth more."""

MAX_TOKENS = 2**17
"""Of a list: no model writes as many."""


def read_large_object(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The object that a provider sent, and its JSON; both without the logprobs if it is too many values with them.

    Raises Fault for anything else.
    """
    try:
        return read_object(data), data
    except Fault:
        return read_without_logprobs(data)


def read_without_logprobs(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The same of one that could not be read as it is."""
    light = b"".join(_without_logprobs(data)) if len(data) > PIECE_BYTES else data
    if len(light) == len(data):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return read_object(light), light


def _without_logprobs(data: bytes) -> Iterator[bytes]:
    """What is between the tokens, in pieces. It is searched a token at a time, so that nothing is held up."""
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
    """Where the bracket is that ends the list of tokens; 0 where there is other than tokens in it, or too many."""
    for _ in range(MAX_TOKENS):
        token = _TOKEN.match(data, position, position + PIECE_BYTES)
        if not token:
            break
        position = token.end()
    end = _END.match(data, position)
    return end.end() - 1 if end else 0
