"""The ProviderRegistry: the commercial providers. A provider is there when its key is; its base URL can be redirected.

The variables are those of the vendors' own SDKs. The SDKs themselves are not imported: that takes several times as long
as the whole start of the service, only for these few conventions, which the tests compare with the installed SDKs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from proto import models_pb2
from services.models.catalog.vendor import Vendor
from services.models.providers.base import PricedUsage, Target
from services.models.providers.facts import ModelFacts
from services.models.transport.api_roots import normalize_base_url
from services.shared.errors import PreconditionFailed, StartupError

Price = Callable[[PricedUsage], int | None]


class Account(NamedTuple):
    """The operator's account at a vendor, as the settings give it."""

    vendor: Vendor
    key: str
    """The API key; empty if there is none."""
    base_url: str
    headers: Mapping[str, str]
    """The headers that name the account."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A commercial provider, with the operator's account."""

    vendor: Vendor
    endpoint: str
    """The base URL, up to and including the version path."""
    headers: Mapping[str, str]
    secrets: Collection[str] = ()
    """The key, and the names of the account."""
    other_roots: Sequence[str] = ()
    """Other roots of its API, which are tried if `endpoint` does not have the path."""

    @property
    def api_roots(self) -> Sequence[str]:
        """The base URLs that it may have, the likeliest first."""
        return (self.endpoint, *self.other_roots)

    def target(
        self,
        model_id: str,
        facts: ModelFacts | None = None,
        price: Price | None = None,
        warnings: Sequence[models_pb2.Notice] = (),
        source: models_pb2.ModelSource = models_pb2.MODEL_SOURCE_UNSPECIFIED,
        other_keys: Callable[[], Collection[str]] = list,
    ) -> Target:
        """The target of a call to the vendor's model `model_id`; its facts are its family's unless more is known."""
        return Target(
            dialect=self.vendor.adapter.dialect,
            provider=self.vendor.name,
            model=model_id,
            endpoint=self.endpoint,
            headers=self.headers,
            secrets=self.secrets,
            facts=facts or self.vendor.facts(model_id),
            state_owner=self.vendor.name,
            streams_unary=not self.vendor.stops_on_disconnect,
            price=price,
            warnings=warnings,
            source=source,
            other_keys=other_keys,
            other_roots=self.other_roots,
            host_is_public=urlsplit(self.endpoint).hostname == self.vendor.host,
        )


class KeyBounds(NamedTuple):
    """The servers that a vendor's key may go to."""

    urls: Sequence[str]
    """The base URLs; the key may also be sent to URLs below them."""
    adapter_type: str
    """The adapter type of registrations that may name the key."""


class ProviderRegistry:
    """The configured providers; fixed for the life of the process. Raises StartupError for an invalid base URL."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._vendors = [account.vendor for account in accounts]
        self._providers = {account.vendor.name: _provider(account) for account in accounts if account.key}

    def configured(self) -> list[str]:
        """The names of the configured providers, in the order of names."""
        return sorted(self._providers)

    def all(self) -> list[Provider]:
        """The configured providers."""
        return list(self._providers.values())

    def base_urls(self) -> dict[str, str]:
        """The base URL of each configured provider."""
        return {name: provider.endpoint for name, provider in self._providers.items()}

    def vendor_keys(self) -> dict[str, KeyBounds]:
        """The bounds of all vendors' keys, by their variables: the vendor's own base URL, and the one that the operator
        has set."""
        return {vendor.key_variable: self._bounds_of(vendor) for vendor in self._vendors}

    def keys(self) -> list[str]:
        """The secrets of the configured providers."""
        return [secret for provider in self._providers.values() for secret in provider.secrets]

    def find(self, vendor: Vendor) -> Provider | None:
        return self._providers.get(vendor.name)

    def get(self, vendor: Vendor, model: str) -> Provider:
        """The provider of a vendor. Raises PreconditionFailed, naming `model` and the variable to set."""
        provider = self.find(vendor)
        if provider:
            return provider
        raise PreconditionFailed(
            f"{model} is served by {vendor.title}, which is not configured; set {vendor.key_variable} for the Model"
            " Service and restart it, or register a model of your own with RegisterModel",
            reason="PROVIDER_NOT_CONFIGURED",
            metadata={"provider": vendor.name, "variable": vendor.key_variable},
        )

    def _bounds_of(self, vendor: Vendor) -> KeyBounds:
        provider = self.find(vendor)
        own, *_ = vendor.api_roots(vendor.base_url)
        return KeyBounds(sorted({own, provider.endpoint if provider else own}), vendor.adapter.name)


def preview(vendor: Vendor) -> Provider:
    """A provider for previews: it has no key and no address, so that nothing can be sent."""
    return Provider(vendor, "", vendor.headers(""))


def _provider(account: Account) -> Provider:
    vendor = account.vendor
    endpoint, *others = vendor.api_roots(_base_url(vendor.url_variable, account.base_url))
    headers = {**vendor.headers(account.key), **account.headers}
    return Provider(vendor, endpoint, headers, (account.key, *account.headers.values()), others)


def _base_url(variable: str, url: str) -> str:
    """The base URL in a setting, without a slash at its end. Raises StartupError for an invalid one."""
    try:
        normalized = normalize_base_url(url)
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise StartupError(f"{variable} must be an http or https URL, such as https://api.example.com/v1")
    return normalized
