"""Egress policy: the hosts and addresses that may be connected to. No registration may lead into our own network.

Public addresses are allowed; loopback and private ones where the operator says so; link-local addresses and cloud
metadata services only where the operator names just them. A name is checked by every address that it resolves to, when
a model is registered and again at each connection. A connection uses only the addresses that were just checked, because
a name may resolve to others at another time (DNS rebinding). A proxy resolves names once more, so the policy decides
which host is requested from it (`resolve_for_proxy`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from services.models.transport import resolver
from services.models.transport.address_ranges import Address, Kind, Network, addresses_reached, range_of
from services.models.transport.host_names import ascii_host, ascii_url
from services.models.transport.request_head import PORTS
from services.models.transport.resolver import AddressInfo
from services.shared.errors import InvalidRequest, LimitExceeded, PreconditionFailed, StartupError

SETTING = "MODELS_ALLOWED_ENDPOINTS"
REASON = "ENDPOINT_NOT_ALLOWED"

PRIVATE = "private"
"""The entry for all loopback and private ranges."""
NONE = "none"
"""The entry for no further addresses: public ones alone."""

RESOLVE_SECONDS = 2.0

METADATA_HOSTS = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "instance-data",
        "instance-data.ec2.internal",
    }
)
"""The names of metadata services, whatever they resolve to."""

SELF = frozenset({"localhost", "127.0.0.1", "::1"})
"""The hosts by which a process reaches itself, if it listens at one of them or at every address."""
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104

_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_HOST_PATTERN = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


class EndpointPolicy:
    """The policy for the hosts and addresses that may be connected to.

    Each entry of `allowed` is `private`, `none`, an address or a network in CIDR notation, or a host name, which may
    begin with `*.` to stand for all hosts below a domain. A host that is named may resolve to loopback and private
    addresses too. The servers of `trusted_urls` are always allowed: the operator has configured them. Raises
    StartupError for any other entry.

    A `discreet` policy, for strangers, gives no reason for a refusal, because that would disclose the network. No
    policy allows the port that `close_own_port` names.
    """

    def __init__(
        self, allowed: Iterable[str] = (PRIVATE,), trusted_urls: Iterable[str] = (), *, discreet: bool = False
    ) -> None:
        self.discreet = discreet
        self._allows_private = False
        self._networks: list[Network] = []
        self._hosts: set[str] = set()
        self._domains: list[str] = []
        self._trusted = {_server(url) for url in trusted_urls}
        self._own_hosts: frozenset[str] = frozenset()
        self._own_port = 0
        for entry in allowed:
            self._add(entry.strip().lower())

    def close_own_port(self, host: str, port: int) -> None:
        """Refuses the port on which this process listens at `host` from now on: it would call itself without end."""
        host = _normalize(host)
        self._own_hosts = SELF if host in SELF | EVERYWHERE else frozenset({host})
        self._own_port = port

    def is_own(self, url: str) -> bool:
        """Whether a URL leads to the port that is closed, by its words alone."""
        host, port = _server(url)
        return port == self._own_port and host in self._own_hosts

    async def registration_refusal(self, endpoint: str, field: str) -> InvalidRequest | None:
        """The refusal ENDPOINT_NOT_ALLOWED of an endpoint, which names the field and the setting; None if it may be
        registered.

        A name that does not resolve, or not in time, passes: it may be a server that is yet to come, and every
        connection is checked again. A discreet policy refuses it like one that leads to a private address. A name that
        cannot be resolved now, for a shortage in this process, passes in any case.
        """
        host, port = _server(endpoint)
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                await self.resolve(host, port)
        except PreconditionFailed as refusal:
            return InvalidRequest.field(field, refusal.message, reason=REASON)
        except LimitExceeded:
            return None
        except OSError:
            if self.discreet and not self._is_named(_normalize(host)):
                unresolved = self._refusal("its name does not resolve")
                return InvalidRequest.field(field, unresolved.message, reason=REASON)
        return None

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """The addresses of a host, which may be connected to, the best first.

        Raises what `Resolver.resolve` and `check` raise. Names of trusted servers do not queue behind other names.
        """
        queued = (_normalize(host), port) not in self._trusted
        addresses = await resolver.resolve(host, port, queued=queued)
        self.check(host, port, [str(address[4][0]) for address in addresses])
        return addresses

    async def resolve_for_proxy(self, host: str, port: int) -> str:
        """The host that is requested from a proxy: the name, or an address of it that was checked here.

        Trusted servers and named hosts go by name, and are not resolved here. If the policy allows private addresses
        and is not discreet, other hosts go by name too, unless they resolve here to an address that it denies. All
        others go by address. Raises what `resolve` raises, and PreconditionFailed instead of ResolveError.
        """
        host = _normalize(host)
        self.check(host, port, ())
        if (host, port) in self._trusted or self._is_named(host):
            return host
        goes_by_name = self._allows_private and not self.discreet
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                addresses = await self.resolve(host, port)
        except OSError:
            if goes_by_name:
                return host
            raise self._refusal("its name does not resolve here, so its addresses cannot be checked") from None
        return host if goes_by_name else str(addresses[0][4][0])

    def check(self, host: str, port: int, addresses: Iterable[str]) -> None:
        """Raises PreconditionFailed ENDPOINT_NOT_ALLOWED unless a host with these addresses may be connected to."""
        host, addresses = _normalize(host), tuple(addresses)
        if port == self._own_port and not self._own_hosts.isdisjoint((host, *addresses)):
            raise self._own_refusal()
        if (host, port) in self._trusted:
            return
        if host in METADATA_HOSTS and host not in self._hosts:
            raise self._refusal(f"{host} is the name of a metadata service")
        is_named = self._is_named(host)
        for address in addresses:
            for reached in addresses_reached(ipaddress.ip_address(address)):
                self._check_address(reached, is_named)

    def _check_address(self, address: Address, is_named: bool) -> None:
        special = range_of(address)
        if special is None or special.kind is Kind.PUBLIC:
            return
        naming = [network for network in self._networks if address in network]
        if special.kind is Kind.PRIVATE:
            if not (self._allows_private or is_named or naming):
                raise self._refusal("the host has a loopback or private address")
        elif not any(_lies_in(network, special.network) for network in naming):
            # A wide network such as 0.0.0.0/0 was not meant for the metadata service.
            raise self._refusal("the host has a link-local, metadata or reserved address")

    def _refusal(self, why: str) -> PreconditionFailed:
        if self.discreet:
            why = "the host has no address that may be connected to from here"
        return PreconditionFailed(
            f"{why}, and nothing is sent there; to allow it, its operator must name it in {SETTING}",
            reason=REASON,
            metadata={"setting": SETTING},
        )

    def _own_refusal(self) -> PreconditionFailed:
        if self.discreet:
            return self._refusal("")
        return PreconditionFailed(
            f"the endpoint is the Model Service's own port for HTTP ({self._own_port}), by which it would call itself;"
            " name the server of the model instead",
            reason=REASON,
        )

    def _is_named(self, host: str) -> bool:
        return host in self._hosts or any(host.endswith(domain) for domain in self._domains)

    def _add(self, entry: str) -> None:
        if entry in (NONE, ""):
            return
        if entry == PRIVATE:
            self._allows_private = True
            return
        try:
            self._networks.append(ipaddress.ip_network(entry))
            return
        except ValueError:
            self._add_host(entry)

    def _add_host(self, entry: str) -> None:
        with contextlib.suppress(ValueError):
            entry = "*." * entry.startswith("*.") + ascii_host(entry.removeprefix("*."))
        # A text that ends in a number is an invalid address and no host name.
        if not _HOST_PATTERN.fullmatch(entry) or ends_in_number(entry):
            raise StartupError(
                f"{SETTING}: each entry must be private, none, an address, a network such as 10.1.0.0/16 without host"
                " bits, a host name, or *. and a domain, with commas between them"
            )
        if entry.startswith("*."):
            self._domains.append(entry[1:])
        else:
            self._hosts.add(entry)


def ends_in_number(host: str) -> bool:
    """Whether a host is read as an IPv4 address, because its last part is a number.

    Source: url.spec.whatwg.org#ends-in-a-number-checker.
    """
    last = host.removesuffix(".").rpartition(".")[2]
    return bool(_NUMBER.fullmatch(last))


def _lies_in(network: Network, outer: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return network.subnet_of(outer)
    if isinstance(network, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return network.subnet_of(outer)
    return False


def _server(url: str) -> tuple[str, int]:
    parts = urlsplit(ascii_url(url))
    return _normalize(parts.hostname or ""), parts.port or PORTS[parts.scheme]


def _normalize(host: str) -> str:
    return host.lower().rstrip(".")
