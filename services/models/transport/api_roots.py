"""Where an API may lie below the base URL that somebody wrote for it.

Vendors and servers differ in whether the base URL has the version in it: OpenAI's SDK wants `https://api.openai.com/v1`,
Anthropic's `https://api.anthropic.com`, Perplexity's API has none at all, and people paste the path of a whole call.
All of these are understood: the likeliest place is asked first, and the other one where that has no such path, which
nothing has been generated for then. Where the path was found is asked first from then on.
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
def api_roots(base_url: str, *, without_version: bool = False) -> Sequence[str]:
    """The places that a base URL may mean, the likeliest first. `without_version` says that such base URLs usually
    leave the version out, as Anthropic's do."""
    base = normalize_base_url(base_url)
    server = _SERVER.fullmatch(base)
    segments = server[2].split("/") if server else []
    if base.endswith(VERSION):
        return base, base.removesuffix(VERSION)
    if any(map(_VERSION_SEGMENT.fullmatch, segments)):
        return (base,)
    versioned = base + VERSION
    return (versioned, base) if without_version or segments == [""] else (base, versioned)


class RootMemory:
    """Remembers which of several places is the one."""

    def __init__(self) -> None:
        self._found: dict[Sequence[str], str] = {}

    def in_order(self, places: Sequence[str]) -> Sequence[str]:
        """The places, the one first that was found to be right."""
        found = self._found.get(places) if len(places) > 1 else None
        return places if found is None else (found, *(place for place in places if place != found))

    def remember(self, places: Sequence[str], found: str) -> None:
        """Says that one of the places is right."""
        if len(places) == 1 or self._found.get(places, places[0]) == found:
            return
        self._found.pop(places, None)
        self._found[places] = found
        if len(self._found) > MAX_REMEMBERED:
            del self._found[next(iter(self._found))]


PROCESS_ROOTS = RootMemory()
"""Those of this process: calls and probes find them for each other."""


class RootSearch:
    """The way of one call through the places, until one of them has its path."""

    def __init__(self, places: Sequence[str], path: str) -> None:
        self._places = places
        self._in_order = PROCESS_ROOTS.in_order(places)
        self._path = path
        self._count = 0
        """Of places that do not have it."""

    @property
    def url(self) -> str:
        return self._in_order[self._count] + self._path

    def paths(self) -> list[str]:
        """The paths that were asked for, without their host."""
        return [urlsplit(place + self._path).path for place in self._in_order[: self._count + 1]]

    def try_next(self) -> bool:
        """Says that this place does not have the path. Returns whether there is another one."""
        if self._count + 1 == len(self._in_order):
            return False
        self._count += 1
        return True

    def confirm(self) -> None:
        """Says that this place has the path, whatever it answers."""
        if self._count:
            PROCESS_ROOTS.remember(self._places, self._in_order[self._count])
