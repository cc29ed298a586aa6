"""Where credentials may go: MODELS_CREDENTIALS="MY_LLAMA_API_KEY=https://llama.internal/v1,file:team/key=https://…"."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from services.models.access.key_files import KeyFiles
from services.models.transport.base_urls import BaseUrl, base_url_problem, is_plain_path
from services.shared.errors import StartupError

SETTING = "MODELS_CREDENTIALS"

FILE = "file:"
"""What the source of a key begins with that is a file; any other is a variable."""

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")

Urls = Mapping[str, Sequence[BaseUrl]]


class CredentialBounds:
    """`mapped` says for each source of a key to which servers its operator has allowed it, and `vendors` the same of
    the vendors' own variables, for which the operator need not say it."""

    def __init__(self, mapped: Urls | None = None, vendors: Urls | None = None) -> None:
        self._mapped = mapped or {}
        self._bounds = {**(vendors or {}), **self._mapped}

    def sources(self) -> list[str]:
        """The sources of all keys that are bound."""
        return list(self._bounds)

    def is_mapped(self, source: str) -> bool:
        """Whether the operator has said where this key may go: no other one is for strangers."""
        return source in self._mapped

    def allow(self, source: str, url: str) -> bool:
        """Whether this key may be sent to a URL. One that nobody has bound goes wherever a registration says."""
        bounds = self._bounds.get(source)
        return bounds is None or any(bound.covers(url) for bound in bounds)

    def problem(self, source: str, url: str) -> str | None:
        """Says why this key may not be sent to a URL, or None."""
        if self.allow(source, url):
            return None
        if self.is_mapped(source):
            return f"may not be sent there; its operator has mapped it to other endpoints in {SETTING}"
        bounds = " or ".join(map(str, self._bounds[source]))
        return f"is the built-in provider's own, and goes only below {bounds}; use a variable of its own"


def read_bounds(text: str, files: KeyFiles, vendor_urls: Mapping[str, Sequence[str]]) -> CredentialBounds:
    """Reads the setting. `vendor_urls` are the base URLs that the vendors' keys are for, by variable.

    Raises StartupError naming the entry by its place and its variable, and never a value.
    """
    vendors = {variable: [BaseUrl.of(url) for url in urls] for variable, urls in vendor_urls.items()}
    mapped: defaultdict[str, list[BaseUrl]] = defaultdict(list)
    for number, entry in enumerate(text.split(","), 1):
        if entry.strip():
            source, url = _read_entry(entry, f"{SETTING}: entry {number}", files)
            if source in vendors and not any(bound.covers(url) for bound in vendors[source]):
                allowed = " or ".join(map(str, vendors[source]))
                raise StartupError(f"{SETTING}: entry {number} ({source}): a vendor's key goes only below {allowed}")
            mapped[source].append(BaseUrl.of(url))
    return CredentialBounds(mapped, vendors)


def _read_entry(entry: str, place: str, files: KeyFiles) -> tuple[str, str]:
    source, equals, url = (part.strip() for part in entry.partition("="))
    if source.startswith(FILE) and equals:
        file = source.removeprefix(FILE)
        if problem := files.problem(file):
            raise StartupError(f"{place}: the file {problem}")
        source = FILE + files.name(file)
    elif not equals or not VARIABLE.fullmatch(source):
        raise StartupError(
            f"{place}: must be variable=URL or file:path=URL, with commas between the entries; name a variable in"
            " capitals, and repeat it for each further URL"
        )
    problem = base_url_problem(url)
    if not problem and not is_plain_path(BaseUrl.of(url).path):
        problem = "must have a path without .., // and percent signs"
    if problem:
        raise StartupError(f"{place} ({source}): its URL {problem}")
    return source, url
