"""The vendors, a row for each, and the adapter types of registered models."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from services.models.catalog.vendor import AdapterType, Vendor
from services.models.catalog.vendors import anthropic, openai
from services.models.catalog.vendors.compatible import COMPATIBLE, VLLM_SERVER


def by_name(*vendors: Vendor) -> Mapping[str, Vendor]:
    return {vendor.name: vendor for vendor in vendors}


VENDORS = by_name(
    openai.VENDOR,
    anthropic.VENDOR,
)
"""A vendor that is compatible with an adapter type is one more row here, and nothing else:

    Vendor("acme", "Acme AI", "ACME_API_KEY", "https://api.acme.example/v1", COMPATIBLE),
"""

ADAPTER_TYPES: Mapping[str, AdapterType] = {
    adapter.name: adapter for adapter in (*(vendor.adapter for vendor in VENDORS.values()), COMPATIBLE, VLLM_SERVER)
}

_HOSTS = frozenset(vendor.host for vendor in VENDORS.values())


def is_vendor_host(url: str) -> bool:
    """Whether a URL leads to a vendor's own host."""
    return urlsplit(url).hostname in _HOSTS
