"""API roots: the URLs below which a server's API may lie, given the base URL that was configured for it.

Vendors and servers differ in whether the base URL has the version in it: OpenAI's SDK wants
`https://api.openai.com/v1`, Anthropic's `https://api.anthropic.com`, Perplexity's API has none at all, and people paste
the path of a whole call. All of these are understood: the likeliest root is tried first, and the other one if the first
does not have the path, in which case nothing was generated. The root that had the path is tried first from then on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from services.models.transport.host_names import ascii_url

VERSION = "/v1"

MAX_REMEMBERED = 4096

_CALLS = re.compile(r"/(?:chat/completions|completions|responses|messages)/*\Z")
_VERSION_SEGMENT = re.compile(r"v[0-9][a-z0-9.]*")
_SERVER = re.compile(r"(https?://[^/]*)(.*)")


def normalize_base_url(url: str) -> str:
    """The base URL in a URL that may have the path of a call, or slashes, at its end, with its host in ASCII.

    Raises ValueError for a host that is no name (`ascii_host`).
    """
    return _CALLS.sub("", ascii_url(url).rstrip("/")).rstrip("/")


@functools.lru_cache(MAX_REMEMBERED)
def api_roots(base_url: str, version: str = VERSION, *, without_version: bool = False) -> Sequence[str]:
    """The roots that a base URL may mean, the likeliest first. `version` is the path of the API's version;
    `without_version` says that such base URLs usually leave it out, as Anthropic's do."""
    base = normalize_base_url(base_url)
    server = _SERVER.fullmatch(base)
    segments = server[2].split("/") if server else []
    if base.endswith(version):
        return base, base.removesuffix(version)
    if any(map(_VERSION_SEGMENT.fullmatch, segments)):
        return (base,)
    versioned = base + version
    return (versioned, base) if without_version or segments == [""] else (base, versioned)


class RootMemory:
    """Remembers which of several roots has the API."""

    def __init__(self) -> None:
        self._found: dict[Sequence[str], str] = {}

    def in_order(self, roots: Sequence[str]) -> Sequence[str]:
        """The roots, with the confirmed one first."""
        found = self._found.get(roots) if len(roots) > 1 else None
        return roots if found is None else (found, *(root for root in roots if root != found))

    def remember(self, roots: Sequence[str], found: str, *, by_success: bool) -> None:
        """Notes the root that has the API. Once a root has answered with a success, only another success replaces it:
        a server may refuse any path outside its API."""
        known = self._found.get(roots)
        if len(roots) == 1 or known == found or (known is not None and not by_success):
            return
        self._found.pop(roots, None)
        self._found[roots] = found
        if len(self._found) > MAX_REMEMBERED:
            del self._found[next(iter(self._found))]


PROCESS_ROOTS = RootMemory()
"""Shared by the calls and probes of this process."""


class RootSearch:
    """The search of one call for the root that has its path."""

    def __init__(self, roots: Sequence[str], path: str) -> None:
        self._roots = roots
        self._in_order = PROCESS_ROOTS.in_order(roots)
        self._path = path
        self._count = 0
        """Of roots that do not have it."""

    @property
    def url(self) -> str:
        return self._in_order[self._count] + self._path

    def paths(self) -> list[str]:
        """The paths that have been tried."""
        return [urlsplit(root + self._path).path for root in self._in_order[: self._count + 1]]

    def try_next(self) -> bool:
        """Moves on to the next root, because this one does not have the path. Returns whether there is one."""
        if self._count + 1 == len(self._in_order):
            return False
        self._count += 1
        return True

    def confirm(self, *, by_success: bool) -> None:
        """Notes that this root has the path, by the success of a request there or by a refusal."""
        if self._count or by_success:
            PROCESS_ROOTS.remember(self._roots, self._in_order[self._count], by_success=by_success)
