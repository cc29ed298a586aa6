"""Host names in ASCII: others are written as IDNA 2008 (RFC 5891) has them, after the mapping of UTS 46.

What is connected to, checked, compared and shown is the ASCII form alone, so that no two of these can mean different
hosts.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import idna


def ascii_host(host: str) -> str:
    """The host in ASCII. Raises ValueError for one that is no name by IDNA 2008; one in ASCII is not looked at."""
    return host if host.isascii() else idna.encode(host, uts46=True).decode()


def ascii_url(url: str) -> str:
    """The URL with its host in ASCII. Raises ValueError as `ascii_host` does, and for what is no URL."""
    if url.isascii():
        return url
    parts = urlsplit(url)
    user, at, server = parts.netloc.rpartition("@")
    host, colon, port = server.partition(":")
    return parts._replace(netloc=f"{user}{at}{ascii_host(host)}{colon}{port}").geturl()
