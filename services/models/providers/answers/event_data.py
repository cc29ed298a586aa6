"""What the data of an event says that is no JSON object, as servers and proxies write it."""

from __future__ import annotations

import re

from services.models.transport.sse import Event

DONE = b"[DONE]"
"""The end of a stream of Chat Completions; servers of other dialects close theirs with it too."""
NOTHING = frozenset({b"", b"null", b"[]", b'""'})
KEEP_ALIVES = frozenset({"ping", "keepalive", "keep-alive", "keep_alive", "heartbeat"})
"""The names of events that say nothing, whatever text they have."""
_PREFIXES = re.compile(rb"(?:data:\s*+)++")
"""More than once in a line where a server wraps events that are some already."""


def read_data(event: Event) -> bytes:
    """The data of an event that does not begin as an object: DONE, nothing, or what is to be read."""
    data = event.data.strip()
    if prefixes := _PREFIXES.match(data):
        data = data[prefixes.end() :]
    if data in NOTHING or event.name in KEEP_ALIVES:
        return b""
    return DONE if data.strip(b'"').upper() in (DONE, b"DONE") else data
