"""Requests in bytes: the server of a URL, and the head of a request to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from services.models.transport.host_names import ascii_host
from services.shared.bounded_cache import BoundedCache

PORTS = {"http": 80, "https": 443}

_PLAIN = "/?%:@!$&'()*+,;=[]"
"""Characters that may stand in a path or a query beside letters, digits and `_.-~`."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Origin(NamedTuple):
    """The server of a URL."""

    tls: bool
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as a URL has them, without the port that its scheme stands for."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == PORTS["https" if self.tls else "http"] else f"{shown}:{self.port}"


@BoundedCache
def request_head(method: str, url: str) -> tuple[Origin, bytes]:
    """The server of an http or https URL, and the first lines of a request to it. Raises ValueError for any other text.

    Names beyond ASCII are sent by IDNA 2008, other characters that do not belong into a URL in percent encoding.
    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("no http or https URL")
    origin = Origin(parts.scheme == "https", ascii_host(parts.hostname), parts.port or PORTS[parts.scheme])
    path = quote(parts.path or "/", safe=_PLAIN) + (f"?{quote(parts.query, safe=_PLAIN)}" if parts.query else "")
    lines = f"{method} {path} HTTP/1.1\r\nHost: {origin.authority}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
    return origin, lines.encode("ascii")


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """The lines of a request's head for these fields. Raises ValueError for a field that is not exactly one line."""
    return _encode_headers(tuple(headers.items()))


@BoundedCache
def _encode_headers(fields: tuple[tuple[str, str], ...]) -> bytes:
    # Every call to one server has the same ones, until its key is replaced.
    lines = []
    for name, value in fields:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("a header that cannot be sent")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")
