"""Base URLs of servers: which may be registered, and which URLs lie below one."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from services.models.transport.egress import ends_in_number
from services.models.transport.host_names import ascii_url
from services.models.transport.request_head import PORTS

MAX_LENGTH = 2048

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?")
_URL_TEXT = re.compile(r"[!-~]+")

# What every server and every proxy in front of one reads alike: nothing percent-encoded, no empty segment, no `;`.
_PLAIN_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,:@=-]+)*")

_LOGGABLE_URL = re.compile(r"(https?://)(?:[^/?#@\\]*@)?([A-Za-z0-9._-]+(?::[0-9]+)?)(/[^?#@\\]*)?(?:[?#][^@]*)?")


class BaseUrl(NamedTuple):
    """A server, and a path on it."""

    scheme: str
    host: str
    port: int
    path: str
    """The path, without a slash at its end."""

    @classmethod
    def of(cls, url: str) -> BaseUrl:
        """The base URL in a URL for which `base_url_problem` returns None; a query is left out."""
        parts = urlsplit(ascii_url(url))
        port = parts.port or PORTS[parts.scheme]
        return cls(parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"))

    def covers(self, url: str) -> bool:
        """Whether a URL is this one or lies below it.

        A path that servers read in different ways, with `..`, `//` or `%2e` in it for example, lies below nothing.
        """
        other = BaseUrl.of(url)
        if other[:3] != self[:3] or not is_plain_path(other.path):
            return False
        return other.path == self.path or other.path.startswith(f"{self.path}/")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        shown = host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"
        return f"{self.scheme}://{shown}{self.path}"


def is_plain_path(path: str) -> bool:
    """Whether a path leads to one place only, however it is read. It begins with a slash, or is empty."""
    return bool(_PLAIN_PATH.fullmatch(path)) and not {".", ".."} & set(path.split("/"))


def base_url_problem(url: str) -> str | None:
    """The reason why a URL cannot be a base URL, as the end of a sentence; None if it can be one."""
    if len(url) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    try:
        url = ascii_url(url)
    except ValueError:
        return "has no valid host: its name is none by IDNA 2008; write it as it is registered, or as punycode"
    # Programs disagree about which host a URL with such characters names.
    if not _URL_TEXT.fullmatch(url) or "\\" in url:
        return "must be ASCII but for its host, without blanks and backslashes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no URL; write it like http://localhost:8000/v1"
    if parts.scheme not in PORTS:
        return "must begin with http:// or https://"
    if "@" in parts.netloc:
        return "must not contain a user or password; put the key into credential"
    if "?" in url or "#" in url:
        return "must not have a query or fragment"
    if not _is_host(parts):
        return "has no valid host; write it like http://localhost:8000/v1, and an IPv4 address as four decimal numbers"
    if port == 0 or parts.netloc.endswith(":"):
        return "has no valid port; it is 1 to 65535"
    return None


def redact_url(url: str) -> str:
    """A caller's URL for the log: without user and password; `(no URL)` for a text that may not be logged."""
    if not base_url_problem(url):
        return ascii_url(url)
    # A longer text is not searched: it could be cut within a password.
    found = _LOGGABLE_URL.fullmatch(url) if len(url) <= MAX_LENGTH else None
    return "".join(filter(None, found.groups())) if found else "(no URL)"


def _is_host(url: SplitResult) -> bool:
    host = url.hostname or ""
    if url.netloc.startswith("["):
        return "%" not in host and _is_address(host, ipaddress.IPv6Address)
    if ends_in_number(host):
        # Programs disagree about which address 0177.1 or 127.1 is.
        return _is_address(host, ipaddress.IPv4Address)
    return bool(_HOST.fullmatch(host))


def _is_address(text: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
