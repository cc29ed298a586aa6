"""The address of the gateway: from the client's argument, or the environment."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from genai_platform.environment import read_variable

TARGET_VARIABLE = "GENAI_GATEWAY_URL"

# Not `localhost`: that may mean ::1 first, where the services do not listen by default.
DEFAULT_TARGET = "127.0.0.1:50051"

PLAIN_SCHEMES = ("http", "grpc")
SECURE_SCHEMES = ("https", "grpcs")
SECURE_PORT = 443


class GatewayTarget(NamedTuple):
    """An address in grpc's form (`host:port`), and whether the connection uses TLS."""

    address: str
    secure: bool

    def is_loopback(self) -> bool:
        host = self.address.rpartition(":")[0].strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def find_target(given: str | None) -> GatewayTarget:
    """The given target, else the one of GENAI_GATEWAY_URL, else 127.0.0.1:50051.

    Raises ValueError for an invalid address.
    """
    if given is not None:
        return parse_target(given, "target")
    return parse_target(read_variable(TARGET_VARIABLE) or DEFAULT_TARGET, TARGET_VARIABLE)


def parse_target(text: str, source: str) -> GatewayTarget:
    """Reads `host:port`, or a URL of http, grpc, https or grpcs; the latter two mean TLS, and port 443 by default.

    Raises ValueError that names `source` and the expected form.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "grpc", scheme
    secure = scheme.lower() in SECURE_SCHEMES
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
        if port is None and secure:
            port = SECURE_PORT
    except ValueError:
        host = port = None
    known = secure or scheme.lower() in PLAIN_SCHEMES
    if not (known and host and port) or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in rest:
        raise ValueError(
            f"{source} must be host:port, such as {DEFAULT_TARGET}, or a URL of http, https, grpc or grpcs without a "
            f"path, such as https://gateway.example:443; it is {_describe(text)}"
        )
    return GatewayTarget(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", secure)


def _describe(text: str) -> str:
    return "not repeated here, since it has an @ and may hold a password" if "@" in text else repr(text)
