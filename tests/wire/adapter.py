"""An adapter with its server: a target for each kind of server, and how that server speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from proto import models_pb2
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendors import VENDORS
from services.models.providers.base import Target
from services.models.routing.registered_target import registered_target
from services.models.settings import Settings
from tests.wire.dialects import Speech

CANARY = "canary-0123456789"


@dataclass(frozen=True)
class Adapter:
    """One way to reach one kind of server."""

    name: str
    provider: str
    speech: Speech
    target: Callable[[str], Target]
    """The target of a call to the server at a URL."""
    transcripts: tuple[str, ...] = ()
    """The folders of `tests/wire/transcripts` with streams of such servers."""
    stands_for_dialect: bool = False
    """True for one adapter of each form of a dialect, where it does not matter who has registered the server."""

    def path(self, *, stream: bool) -> str:
        """The path that the server is asked at."""
        target = self.target("http://localhost")
        return urlsplit(target.endpoint).path + self.speech.path(target.model, stream=stream)


def vendor_target(name: str, model: str) -> Callable[[str], Target]:
    """The target of a vendor's model, with the server in the vendor's place."""
    vendor = VENDORS[name]

    def target(url: str) -> Target:
        values = {vendor.url_variable: url + urlsplit(vendor.base_url).path, vendor.key_variable: f"sk-{CANARY}"}
        settings = Settings.model_validate(values)
        return ProviderRegistry(settings.accounts()).get(vendor, model).target(model)

    return target


def endpoint_target(adapter_type: str) -> Callable[[str], Target]:
    """The target of a model that is registered with an adapter type."""

    def target(url: str) -> Target:
        return registered_target(
            models_pb2.RegisteredModel(
                name="mine",
                endpoint=f"{url}/v1",
                adapter_type=adapter_type,
                provider="my-servers",
                upstream_model="mine-7b",
            )
        )

    return target
