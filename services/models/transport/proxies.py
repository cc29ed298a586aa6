"""Proxies: which servers are reached through one, by the variables that curl, Python and Go programs read.

No standard defines them. The conventions here are curl's (everything.curl.dev/usingcurl/proxies/env.html), except that
loopback never goes through a proxy, as in Go (pkg.go.dev/golang.org/x/net/http/httpproxy).
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from services.models.transport.address_ranges import Address, Network
from services.models.transport.host_names import ascii_host
from services.models.transport.request_head import PORTS, Origin
from services.shared.errors import StartupError

SETTING = "MODELS_PROXY"
NONE = "none"
"""The value of the setting for no proxy at all."""

VARIABLES = {"http": ("http_proxy", "HTTP_PROXY"), "https": ("https_proxy", "HTTPS_PROXY")}
"""Names of the variables by the scheme of the requested URL, in order of precedence."""
FALLBACKS = ("all_proxy", "ALL_PROXY")
EXCEPTIONS = ("no_proxy", "NO_PROXY")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PORT = re.compile(r"(.*[^:]|\[.*\]):([0-9]{1,5})")
_SEPARATORS = re.compile(r"[\s,]+")


class Proxy(NamedTuple):
    """An HTTP proxy."""

    origin: Origin
    """Its address; with `tls`, the connection to the proxy is itself in TLS."""
    authorization: str
    """The value of Proxy-Authorization, or empty."""
    variable: str
    """The variable or setting that names it."""

    @property
    def header_lines(self) -> bytes:
        """The header lines that authenticate a request to it."""
        return f"Proxy-Authorization: {self.authorization}\r\n".encode() if self.authorization else b""

    def __repr__(self) -> str:
        return f"Proxy({self.origin.authority})"


class Proxies:
    """The proxies of a process, and the exceptions from them.

    `by_scheme` are those for URLs of http and https; `exceptions` is written like NO_PROXY.
    """

    def __init__(self, by_scheme: Mapping[str, Proxy] | None = None, exceptions: str = "") -> None:
        self._by_scheme = dict(by_scheme or {})
        entries = _SEPARATORS.split(exceptions.lower())
        self._exceptions = [_read_exception(entry) for entry in entries if entry]

    def find(self, origin: Origin) -> Proxy | None:
        """The proxy that a server is reached through, or None."""
        proxy = self._by_scheme.get("https" if origin.tls else "http")
        if proxy is None:
            return None
        host = origin.host.rstrip(".")
        address = _address(host)
        if _is_this_machine(host, address):
            return None
        return None if any(one.covers(host, address, origin.port) for one in self._exceptions) else proxy

    def shown(self) -> list[str]:
        """Address and variable of each proxy, for the operator; without credentials."""
        return list({f"{proxy.origin.authority} ({proxy.variable})": None for proxy in self._by_scheme.values()})


def read_proxies(environment: Mapping[str, str], setting: str = "") -> Proxies:
    """The proxies that the environment names, or `setting` for all servers: a URL, or `none`.

    Raises StartupError naming the variable of a proxy that cannot be used. Its value is not repeated.
    """
    if setting == NONE:
        return Proxies()
    exceptions = _first(environment, EXCEPTIONS)[1]
    by_scheme = {}
    for scheme, variables in VARIABLES.items():
        variable, url = (SETTING, setting) if setting else _first(environment, (*variables, *FALLBACKS))
        if url:
            by_scheme[scheme] = _read_proxy(variable, url)
    return Proxies(by_scheme, exceptions)


class _Exception(NamedTuple):
    """An entry of NO_PROXY."""

    host: str
    network: Network | None
    port: int | None

    def covers(self, host: str, address: Address | None, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return address is not None and address in self.network
        return self.host in ("*", host) or host.endswith(f".{self.host}")


def _read_exception(entry: str) -> _Exception:
    """Reads an entry. One that cannot be read matches no host, as in other programs."""
    with contextlib.suppress(ValueError):
        return _Exception("", ipaddress.ip_network(entry.removeprefix("[").removesuffix("]"), strict=False), None)
    with_port = _PORT.fullmatch(entry)
    host, port = (with_port[1], int(with_port[2])) if with_port else (entry, None)
    with contextlib.suppress(ValueError):
        return _Exception("", ipaddress.ip_network(host.removeprefix("[").removesuffix("]"), strict=False), port)
    if host != "*":
        host = host.removeprefix("*").removeprefix(".").rstrip(".")
    with contextlib.suppress(ValueError):
        host = ascii_host(host)
    return _Exception(host, None, port)


def _is_this_machine(host: str, address: Address | None) -> bool:
    """Whether a host is loopback or link-local: for a proxy it would mean the proxy's own machine."""
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_link_local


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """The first of these variables that is set and not blank, with its value."""
    for name in names:
        if value := environment.get(name, "").strip():
            return name, value
    return "", ""


def _read_proxy(variable: str, url: str) -> Proxy:
    scheme = host = ""
    try:
        parts = urlsplit(url if _SCHEME.match(url) else f"http://{url}")
        scheme, host = parts.scheme, ascii_host(parts.hostname or "")
        port = PORTS.get(scheme) if parts.port is None else parts.port
    except ValueError:
        port = None
    if scheme not in PORTS or not host or not port:
        raise StartupError(
            f"{variable}: is no proxy that can be used: write http://host:port or https://host:port, for SOCKS is not"
            f" spoken; {SETTING}={NONE} connects without any"
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if ":" in user:
        raise StartupError(f"{variable}: its user must not contain a colon, which Proxy-Authorization could not say")
    credentials = f"{user}:{password}" if "@" in parts.netloc else ""
    authorization = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else ""
    return Proxy(Origin(scheme == "https", host, port), authorization, variable)
