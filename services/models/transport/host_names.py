"""Host names in ASCII: others are written as IDNA 2008 (RFC 5891) has them, after the mapping of UTS 46.

Hosts are connected to, checked, compared and shown in their ASCII form only, so that all of these mean the same host.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import idna


def ascii_host(host: str) -> str:
    """The host in ASCII. Raises ValueError for an invalid name by IDNA 2008; a host in ASCII is not checked."""
    return host if host.isascii() else idna.encode(host, uts46=True).decode()


def ascii_url(url: str) -> str:
    """The URL with its host in ASCII. Raises ValueError as `ascii_host` does, and for a text that is not a URL."""
    if url.isascii():
        return url
    parts = urlsplit(url)
    user, at, server = parts.netloc.rpartition("@")
    host, colon, port = server.partition(":")
    return parts._replace(netloc=f"{user}{at}{ascii_host(host)}{colon}{port}").geturl()
