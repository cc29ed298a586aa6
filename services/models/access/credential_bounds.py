"""The bounds of credentials, which are the URLs that each may be sent to.

MODELS_CREDENTIALS="MY_LLAMA_API_KEY=https://llama.internal/v1,file:team/key=https://…"
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from services.models.access.key_files import KeyFiles
from services.models.transport.base_urls import BaseUrl, base_url_problem, is_plain_path
from services.shared.errors import StartupError

SETTING = "MODELS_CREDENTIALS"

FILE = "file:"
"""Prefix of a source that is a file; other sources are variables."""

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")

Urls = Mapping[str, Sequence[BaseUrl]]


class VendorKey(Protocol):
    """The bounds of a vendor's own key, which the operator need not map."""

    @property
    def urls(self) -> Sequence[str]:
        """The base URLs that it may be sent to, and below."""

    @property
    def adapter_type(self) -> str:
        """The adapter type of registrations that may name it."""


class CredentialBounds:
    """The bounds of all keys, by their sources: of the keys that the operator has `mapped`, and of the `vendors`
    keys."""

    def __init__(self, mapped: Urls | None = None, vendors: Mapping[str, VendorKey] | None = None) -> None:
        self._mapped = mapped or {}
        self._vendors = vendors or {}
        self._bounds = {**_urls(self._vendors), **self._mapped}

    def sources(self) -> list[str]:
        """The sources of all keys with bounds."""
        return list(self._bounds)

    def is_mapped(self, source: str) -> bool:
        """Whether the operator has mapped this key. Strangers may name only mapped keys."""
        return source in self._mapped

    def allow(self, source: str, url: str) -> bool:
        """Whether this key may be sent to a URL. A key without bounds may be sent to any registered URL."""
        bounds = self._bounds.get(source)
        return bounds is None or any(bound.covers(url) for bound in bounds)

    def problem(self, source: str, url: str) -> str | None:
        """The reason why this key may not be sent to a URL, or None if it may."""
        if self.allow(source, url):
            return None
        if self.is_mapped(source):
            return f"may not be sent there; its operator has mapped it to other endpoints in {SETTING}"
        bounds = " or ".join(map(str, self._bounds[source]))
        return f"is the built-in provider's own, and goes only below {bounds}; use a variable of its own"

    def adapter_problem(self, source: str, adapter_type: str) -> str | None:
        """The reason why a registration of this adapter type may not name this key, or None if it may."""
        vendor = self._vendors.get(source)
        if vendor is None or vendor.adapter_type == adapter_type:
            return None
        return f"is the built-in provider's own: only for adapter_type {vendor.adapter_type}; use a variable of its own"


def _urls(vendors: Mapping[str, VendorKey]) -> Urls:
    return {variable: [BaseUrl.of(url) for url in vendor.urls] for variable, vendor in vendors.items()}


def read_bounds(text: str, files: KeyFiles, vendors: Mapping[str, VendorKey]) -> CredentialBounds:
    """Reads the setting. `vendors` are the vendors' own keys, by variable.

    Raises StartupError, which names the entry by its position and variable, and never a value.
    """
    bounds = _urls(vendors)
    mapped: defaultdict[str, list[BaseUrl]] = defaultdict(list)
    for number, entry in enumerate(text.split(","), 1):
        if entry.strip():
            source, url = _read_entry(entry, f"{SETTING}: entry {number}", files)
            if source in bounds and not any(bound.covers(url) for bound in bounds[source]):
                allowed = " or ".join(map(str, bounds[source]))
                raise StartupError(f"{SETTING}: entry {number} ({source}): a vendor's key goes only below {allowed}")
            mapped[source].append(BaseUrl.of(url))
    return CredentialBounds(mapped, vendors)


def _read_entry(entry: str, label: str, files: KeyFiles) -> tuple[str, str]:
    source, equals, url = (part.strip() for part in entry.partition("="))
    if source.startswith(FILE) and equals:
        file = source.removeprefix(FILE)
        if problem := files.problem(file):
            raise StartupError(f"{label}: the file {problem}")
        source = FILE + files.name(file)
    elif not equals or not VARIABLE.fullmatch(source):
        raise StartupError(
            f"{label}: must be variable=URL or file:path=URL, with commas between the entries; name a variable in"
            " capitals, and repeat it for each further URL"
        )
    problem = base_url_problem(url)
    if not problem and not is_plain_path(BaseUrl.of(url).path):
        problem = "must have a path without .., // and percent signs"
    if problem:
        raise StartupError(f"{label} ({source}): its URL {problem}")
    return source, url
