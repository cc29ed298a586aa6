"""Data of events that is not a JSON object, in the forms that servers and proxies write."""

from __future__ import annotations

import re

from services.models.transport.sse import Event

DONE = b"[DONE]"
"""The end of a stream of Chat Completions; servers of other dialects close theirs with it too."""
NOTHING = frozenset({b"", b"null", b"[]", b'""'})
KEEP_ALIVES = frozenset({"ping", "keepalive", "keep-alive", "keep_alive", "heartbeat"})
"""Names of events without content, whatever their text."""
_PREFIXES = re.compile(rb"(?:data:\s*+)++")
"""Prefixes of data, more than one on a line if a server wraps events that are framed already."""


def read_data(event: Event) -> bytes:
    """The data of an event that does not begin as an object: DONE, empty, or JSON without its prefixes."""
    data = event.data.strip()
    if prefixes := _PREFIXES.match(data):
        data = data[prefixes.end() :]
    if data in NOTHING or event.name in KEEP_ALIVES:
        return b""
    return DONE if data.strip(b'"').upper() in (DONE, b"DONE") else data
