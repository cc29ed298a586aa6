"""Ids of a response and of its items, made of the id of the call.

Our items have ids of their own even where OpenAI has made the item: the id must be known with an item's first event,
when OpenAI's is not. Items come back without ids that are ours, which OpenAI would look for in vain.
"""

from __future__ import annotations

import re

RESPONSE, MESSAGE, REASONING, FUNCTION_CALL, CUSTOM_CALL = "resp", "msg", "rs", "fc", "ctc"

MARK = b"_gs"
"""A part of each id of an item that is made here."""
_OURS = re.compile(rf"(?:{MESSAGE}|{REASONING}|{FUNCTION_CALL}|{CUSTOM_CALL}){MARK.decode()}[0-9a-f]+_\d+")


def response_id(call: str) -> str:
    """The id of a response."""
    return f"{RESPONSE}_{call}"


def item_id(kind: str, call: str, index: int) -> str:
    """The id of the item at a place of the output."""
    return f"{kind}_gs{call}_{index}"


def is_ours(given: str) -> bool:
    """Whether an id was made here."""
    return _OURS.fullmatch(given) is not None
