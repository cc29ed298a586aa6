"""Channels between services, which reconnect soon after a service returns, and their addresses."""

from __future__ import annotations

import re
from typing import Annotated

import grpc
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from services.shared.message_sizes import MAX_MESSAGE_BYTES
from services.shared.metadata import SIZE_OPTIONS
from services.shared.tls import TlsContents, channel_credentials

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    *SIZE_OPTIONS,
    # Calls are sent once: only their callers know whether they may be repeated.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # Fixed windows: with growing ones, grpc buffers megabytes for each stream whose reader is slow.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # A service that returns is found within some 200 ms; grpc's default backoff grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
    # Despite its name, the timeout of one attempt to connect.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
]

TLS_SCHEME = "https://"

_ADDRESS = re.compile(r"(?:https://)?(?P<host>\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:,/\[\]]+):(?P<port>\d{1,5})")


def _check_addresses(addresses: str) -> str:
    entries = split_addresses(addresses)
    for entry in entries:
        match = _ADDRESS.fullmatch(entry)
        if not match or not 0 < int(match["port"]) <= 65535:
            raise PydanticCustomError(
                "address",
                "must be host:port, such as 127.0.0.1:50053 or [::1]:50053, or https://host:port for TLS, or several"
                " with commas between them",
            )
    return ",".join(entries)


Addresses = Annotated[str, AfterValidator(_check_addresses)]
"""host:port, the host being a name, an IPv4 address, or an IPv6 address in brackets; several with commas between. Each
is spoken to in TLS if https:// is before it."""


def split_addresses(addresses: str) -> tuple[str, ...]:
    """The entries of `Addresses`, each once."""
    return tuple(dict.fromkeys(entry.strip(" ") for entry in addresses.split(",")))


def is_in_tls(entry: str) -> bool:
    """Whether an entry of `Addresses` is spoken to in TLS."""
    return entry.startswith(TLS_SCHEME)


def any_in_tls(addresses: str) -> bool:
    """Whether at least one entry of `Addresses` is spoken to in TLS."""
    return any(map(is_in_tls, split_addresses(addresses)))


def host_and_port(entry: str) -> str:
    """The host:port of an entry of `Addresses`."""
    return entry.removeprefix(TLS_SCHEME)


def host_of(entry: str) -> str:
    """The host of an entry of `Addresses`; an IPv6 address without its brackets."""
    return host_and_port(entry).rpartition(":")[0].strip("[]")


def open_channel(address: str, authority: str, tls: TlsContents | None = None) -> grpc.aio.Channel:
    """Opens a channel that connects at its first call; in TLS with the contents of its files. The caller closes it.

    `authority` is the host:port that the operator has written; the address may be one that its name resolves to. The
    certificate of the server must be for the host of the authority.
    """
    options = [*CHANNEL_OPTIONS, ("grpc.default_authority", authority)]
    if tls:
        return grpc.aio.secure_channel(address, channel_credentials(tls), options=options)
    return grpc.aio.insecure_channel(address, options=options)
