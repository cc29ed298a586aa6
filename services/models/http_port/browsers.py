"""Browsers: what keeps a web page, which any user may have open, from asking the port in that user's name.

A page can send a simple POST anywhere without being asked, and with a name that it lets lead to this machine (DNS
rebinding) it can read the answers, too. So requests must have a content type that needs a preflight, a host name that
is this machine's, and an origin only where the operator has listed it (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol).
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Collection, Iterator, Mapping

from services.shared.errors import InvalidRequest, PermissionDenied

EVERY_ORIGIN = "*"
MAX_AGE = "86400"
MAX_ADDRESS = 64
"""Characters of the longest IPv6 address, with its zone."""
MAX_HOSTS = 256
"""Hosts that are remembered to be addresses, or not."""
METHODS = "GET, POST, OPTIONS"
EXPOSED_FIELDS = (
    "x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, ratelimit, x-genai-model, x-genai-provider,"
    " x-genai-warnings, x-genai-cost-nano-usd"
)

Fields = Iterator[tuple[str, str]]


class Browsers:
    """The rules for browsers. `hosts` are the names of this machine beside `localhost`, None for any name: where every
    caller must have a key, rebinding gains nothing. `origins` are those whose pages may ask."""

    def __init__(self, hosts: Collection[str] | None, origins: Collection[str]) -> None:
        self._hosts = None if hosts is None else {host.lower() for host in hosts} | {"localhost"}
        self._origins = frozenset(origins)

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises PermissionDenied for a host name or an origin that may not ask."""
        if self._hosts is not None:
            self._check_host(headers.get("host", ""))
        origin = headers.get("origin")
        if origin is not None and not self._allows(origin):
            raise PermissionDenied(
                "pages of this origin may not ask here; the operator can list it in MODELS_HTTP_ORIGINS",
                reason="ORIGIN_NOT_ALLOWED",
            )

    def cors_fields(self, headers: Mapping[str, str]) -> Fields:
        """The header fields by which a browser lets its page read a response."""
        origin = headers.get("origin")
        if origin is None or not self._allows(origin):
            return
        yield "access-control-allow-origin", origin
        yield "access-control-expose-headers", EXPOSED_FIELDS
        yield "vary", "origin"

    def preflight_fields(self, headers: Mapping[str, str]) -> Fields:
        """The answer to the question that a browser asks before a request."""
        yield from self.cors_fields(headers)
        yield "access-control-allow-methods", METHODS
        # Echoed: clients add fields with each release, such as x-stainless-*.
        yield "access-control-allow-headers", headers.get("access-control-request-headers", "")
        yield "access-control-max-age", MAX_AGE

    def _allows(self, origin: str) -> bool:
        return EVERY_ORIGIN in self._origins or origin in self._origins

    def _check_host(self, field: str) -> None:
        assert self._hosts is not None
        name = _name_in(field)
        if name in self._hosts or (len(name) <= MAX_ADDRESS and _is_address(name)):
            return
        raise PermissionDenied(
            "this host name is not known to be this machine's; the operator can list it in MODELS_HTTP_HOSTS",
            reason="HOST_NOT_ALLOWED",
        )


def check_json(headers: Mapping[str, str]) -> None:
    """Raises InvalidRequest CONTENT_TYPE_UNSUPPORTED for a body that is not said to be plain JSON."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidRequest("the content type must be application/json", reason="CONTENT_TYPE_UNSUPPORTED")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidRequest("compressed bodies are not read; send it plain", reason="CONTENT_TYPE_UNSUPPORTED")


def _name_in(field: str) -> str:
    """The host name in the field `Host`, without its port."""
    field = field.strip().lower()
    if field.startswith("["):
        return field[1:].partition("]")[0]
    return field.rpartition(":")[0] if ":" in field else field


@functools.lru_cache(MAX_HOSTS)
def _is_address(name: str) -> bool:
    # No name leads there, so none can be led there by somebody else.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
