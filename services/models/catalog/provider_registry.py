"""The commercial providers. A provider is there when its key is there; its base URL can be redirected.

The variables are those of the vendors' own SDKs. The SDKs themselves are not loaded: importing them takes several
times as long as starting the service may, and they would carry nothing here but these few conventions, which the
tests hold against the installed SDKs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from proto import models_pb2
from services.models.catalog.families import Vendor, facts_for
from services.models.providers.anthropic.dialect import API_VERSION
from services.models.providers.base import Dialect, Target, keys_in
from services.models.providers.dialects import ANTHROPIC, OPENAI
from services.models.providers.facts import ModelFacts
from services.models.settings import ModelsSettings
from services.models.transport.api_roots import api_roots, normalize_base_url
from services.shared.errors import PreconditionFailed, StartupError

KEY_VARIABLES: dict[Vendor, str] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
TITLES: dict[Vendor, str] = {"openai": "OpenAI", "anthropic": "Anthropic"}
VENDOR_URLS: dict[Vendor, str] = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com/v1"}

Price = Callable[[models_pb2.TokenUsage], int | None]


@dataclass(frozen=True, slots=True)
class Provider:
    """A commercial provider."""

    vendor: Vendor
    dialect: Dialect
    endpoint: str
    """The base URL, up to and including the version path."""
    headers: Mapping[str, str]
    other_roots: Sequence[str] = ()
    """Where else its API may lie, if it is not there."""

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
        """Where a call to the vendor's model `model_id` goes; its facts are its family's unless more is known."""
        return Target(
            dialect=self.dialect,
            provider=self.vendor,
            model=model_id,
            endpoint=self.endpoint,
            headers=self.headers,
            facts=facts or facts_for(self.vendor, model_id),
            state_owner=self.vendor,
            price=price,
            warnings=warnings,
            source=source,
            other_keys=other_keys,
            other_roots=self.other_roots,
        )


class ProviderRegistry:
    """The providers that are configured; fixed for the life of the process."""

    def __init__(self, settings: ModelsSettings) -> None:
        self._providers: dict[Vendor, Provider] = {}
        if settings.openai_api_key:
            self._providers["openai"] = _openai(settings)
        if settings.anthropic_api_key:
            self._providers["anthropic"] = _anthropic(settings)

    def configured(self) -> list[Vendor]:
        """The names of the configured providers, in the order of names."""
        return sorted(self._providers)

    def all(self) -> list[Provider]:
        """The configured providers."""
        return list(self._providers.values())

    def base_urls(self) -> dict[str, str]:
        """The base URL of each configured provider."""
        return {vendor: provider.endpoint for vendor, provider in self._providers.items()}

    def key_urls(self) -> dict[str, list[str]]:
        """Where the vendors' keys may be sent, by their variables: to the vendor itself, and to the base URL that the
        operator has put in its place."""
        base_urls = self.base_urls()
        return {KEY_VARIABLES[vendor]: sorted({url, base_urls.get(vendor, url)}) for vendor, url in VENDOR_URLS.items()}

    def keys(self) -> list[str]:
        """The keys of the configured providers."""
        return [key for provider in self._providers.values() for key in keys_in(provider.headers)]

    def find(self, vendor: Vendor) -> Provider | None:
        return self._providers.get(vendor)

    def get(self, vendor: Vendor, model: str) -> Provider:
        """Raises PreconditionFailed saying which variable to set, for the caller who asked for `model`."""
        provider = self._providers.get(vendor)
        if provider:
            return provider
        raise PreconditionFailed(
            f"{model} is served by {TITLES[vendor]}, which is not configured; set {KEY_VARIABLES[vendor]} for the Model"
            " Service and restart it, or register a model of your own with RegisterModel",
            reason="PROVIDER_NOT_CONFIGURED",
            metadata={"provider": vendor, "variable": KEY_VARIABLES[vendor]},
        )


def preview(vendor: Vendor) -> Provider:
    """A provider to translate for: without a key and without an address, so that nothing can be sent."""
    if vendor == "openai":
        return Provider(vendor, OPENAI, "", {})
    return Provider(vendor, ANTHROPIC, "", {"anthropic-version": API_VERSION})


def _openai(settings: ModelsSettings) -> Provider:
    assert settings.openai_api_key
    headers = {"authorization": f"Bearer {settings.openai_api_key.get_secret_value()}"}
    if settings.openai_organization:
        headers["openai-organization"] = settings.openai_organization
    if settings.openai_project:
        headers["openai-project"] = settings.openai_project
    base = base_url("OPENAI_BASE_URL", settings.openai_base_url)
    # What was written comes first, as in its SDK, and its key stays below that.
    others = [place for place in api_roots(base) if place.startswith(f"{base}/")]
    return Provider("openai", OPENAI, base, headers, others)


def _anthropic(settings: ModelsSettings) -> Provider:
    assert settings.anthropic_api_key
    headers = {"x-api-key": settings.anthropic_api_key.get_secret_value(), "anthropic-version": API_VERSION}
    # Unlike OpenAI's, Anthropic's base URL ends before the version.
    endpoint = api_roots(base_url("ANTHROPIC_BASE_URL", settings.anthropic_base_url), without_version=True)[0]
    return Provider("anthropic", ANTHROPIC, endpoint, headers)


def base_url(variable: str, url: str) -> str:
    """The base URL in what was written, without a slash at its end. Raises StartupError when it is no URL."""
    try:
        normalized = normalize_base_url(url)
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise StartupError(f"{variable} must be an http or https URL, such as https://api.example.com/v1")
    return normalized
