"""Vendors and adapter types: data that has all differences between them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from services.models.catalog.families import facts_of_server
from services.models.catalog.lifecycle import SERVED, Lifecycle
from services.models.catalog.listings import Listing
from services.models.providers.base import Dialect
from services.models.providers.facts import ModelFacts
from services.models.transport.api_roots import VERSION, api_roots


@dataclass(frozen=True, slots=True)
class Auth:
    """Authentication by a key in a header. Keys in URLs are not supported, because servers and proxies log URLs."""

    header: str
    prefix: str = ""

    def headers(self, key: str) -> dict[str, str]:
        """The header with the key; none without a key."""
        return {self.header: self.prefix + key} if key else {}


BEARER = Auth("authorization", "Bearer ")


@dataclass(frozen=True, slots=True, eq=False)
class AdapterType:
    """A kind of server, which registrations and vendors name: its dialect, authentication and list of models."""

    name: str
    dialect: Dialect
    servers: str
    """The servers of this type, as README.md names them."""
    auth: Auth = BEARER
    fixed_headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of every call. They are no secrets."""
    listing: Listing = field(default_factory=Listing)
    facts: Callable[[str], ModelFacts] = facts_of_server
    """The facts of a registered model, by its id at the server."""
    version: str = VERSION
    """The path of the API's version, with which its base URLs may end."""
    base_urls_omit_version: bool = False
    """Whether base URLs usually end before the version path, as Anthropic's do."""
    stops_on_disconnect: bool = False
    """Whether such servers stop generating a whole answer when the caller has left."""
    health_path: str = ""
    """The path of a health check, next to the version path, for servers whose list of models is no proof of health."""

    def headers(self, key: str) -> dict[str, str]:
        """The headers of a call with this key, or without one."""
        return {**self.fixed_headers, **self.auth.headers(key)}

    def api_roots(self, base_url: str) -> Sequence[str]:
        """The roots of the API that a base URL may mean, the likeliest first."""
        return api_roots(base_url, self.version, without_version=self.base_urls_omit_version)


@dataclass(frozen=True, slots=True)
class BuiltInModel:
    """A vendor's model that the platform knows by name."""

    name: str
    max_output_tokens: int | None = None
    lifecycle: Lifecycle = SERVED
    upstream: str = ""
    """The vendor's id for it, if that differs from `name`."""
    context_window: int | None = None
    """The context window, if the table of prices does not have it."""

    @property
    def id(self) -> str:
        """The vendor's id for it."""
        return self.upstream or self.name


class Shown(NamedTuple):
    """Names and models of a vendor that the documents show, beside `name/id`."""

    names: Sequence[str] = ()
    """Names of models, in the README."""
    ids: Sequence[str] = ()
    """The ids that are plainly its own, as the README writes them: `gpt-…`."""
    models: Sequence[str] = ()
    """Models between which the bodies of the dialect differ, each with a column in docs/features.md. The bodies of the
    first one are kept in tests/wire/bodies."""
    source: str = ""
    """The pages and type files that those bodies are written after; needed where `models` are shown."""
    options: str = ""
    """Options of a request in the provider's own words, as JSON: an example of `provider_options_json`."""


_NO_ID = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True, eq=False)
class Vendor:
    """A commercial provider. One that is compatible with an adapter type needs the first five fields and no others."""

    name: str
    """The name in `vendor/model`, in answers and in logs."""
    title: str
    """The name that it gives itself."""
    key_variable: str
    base_url: str
    """The default base URL, as in the vendor's SDK; the variable `url_variable` overrides it."""
    adapter: AdapterType
    url_variable: str = ""
    """The variable of the base URL: by default that of the key with `BASE_URL` in place of `API_KEY`."""
    header_variables: Mapping[str, str] = field(default_factory=dict)
    """Headers that name an account, by their variables."""
    fixed_headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of every call, beside those of the adapter type."""
    stops_on_disconnect: bool = False
    """True if it stops generating a whole answer when the caller has left."""
    id_pattern: re.Pattern[str] = _NO_ID
    """The ids that can only be its own, listed or not."""
    facts: Callable[[str], ModelFacts] = facts_of_server
    """The facts of its models, by their ids."""
    as_of: str = ""
    """The day on which its facts and models were checked, YYYY-MM-DD."""
    models: Sequence[BuiltInModel] = ()
    shutdowns: Mapping[str, datetime.date] = field(default_factory=dict)
    """The shutdown days of further models, by their ids."""
    price_list: str = ""
    """The provider's id in genai-prices, if that has its prices."""
    long_cache_write: int | None = None
    """The price of a token that its cache keeps for an hour, in tokens of the prompt."""
    shown: Shown = field(default_factory=Shown)

    def __post_init__(self) -> None:
        if not self.url_variable:
            object.__setattr__(self, "url_variable", self.key_variable.replace("_API_KEY", "_BASE_URL"))

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    def headers(self, key: str) -> dict[str, str]:
        """The headers of a call with this key, or without one."""
        return {**self.fixed_headers, **self.adapter.headers(key)}

    def api_roots(self, base_url: str) -> Sequence[str]:
        """The roots of its API that a base URL may mean, the likeliest first."""
        roots = self.adapter.api_roots(base_url)
        if self.adapter.base_urls_omit_version:
            return roots[:1]
        # The given URL comes first, as in the vendor's SDK, and the key is only sent below it.
        return (base_url, *(root for root in roots if root.startswith(f"{base_url}/")))


def shutdown_days(ids_by_day: Mapping[str, Sequence[str]]) -> Mapping[str, datetime.date]:
    """The day of each id, of a table by days."""
    return {model_id: datetime.date.fromisoformat(day) for day, ids in ids_by_day.items() for model_id in ids}
