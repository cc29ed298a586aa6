"""Probes of a model's server: whether it is reachable and serves the model. No probe is a completion.

Sources: platform.openai.com/docs/api-reference/models, docs.claude.com/en/api/models-list,
docs.vllm.ai/en/latest/serving/openai_compatible_server.html, and llama.cpp's tools/server/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from proto import models_pb2
from services.models.access.credentials import Credentials
from services.models.catalog.vendor import AdapterType
from services.models.catalog.vendors import ADAPTER_TYPES
from services.models.health.results import (
    HEALTHY,
    LIST_FOUND_REASONS,
    LIST_MISSING_REASONS,
    PATH_NOT_FOUND,
    UNCONFIGURED,
    UNHEALTHY,
    UNREACHABLE_REASONS,
    ProbeResult,
    healthy,
    is_missing_path,
    is_success,
    judge_failure,
    judge_list,
    within_time,
)
from services.models.transport.api_roots import RootSearch
from services.models.transport.base import Transport
from services.shared.errors import PreconditionFailed
from services.shared.json_text import decoding_work
from services.shared.offload import run_in_thread_if_large


class Probe(Protocol):
    """A question about one model, without cost. Probes with the same question are equal."""

    @property
    def model(self) -> str:
        """The model's name on this platform."""

    @property
    def endpoint(self) -> str:
        """The base URL of the server, as registered; empty for a vendor's model."""

    @property
    def url(self) -> str:
        """The URL that is asked; the last one, when there are several."""

    @property
    def untrusted(self) -> bool:
        """Whether a stranger has registered the URL."""

    async def ask(self, client: Transport) -> ProbeResult:
        """Asks, for at most `PROBE_SECONDS`. A failure of the server is a result, never an error."""


@dataclass(frozen=True)
class ModelProbe:
    """Asks one server of a registered model: the path in `health_check`, else the questions of its adapter type.

    The credential is read at each probe, and sent where it may go. The results for a stranger's model give no reason
    for a missing answer, because it would disclose the network. `registered` must not be changed afterwards.
    """

    registered: models_pb2.RegisteredModel
    credentials: Credentials = field(default_factory=Credentials, repr=False, compare=False)
    at: str = ""
    """The endpoint that is asked; empty for the model's first one."""

    @property
    def model(self) -> str:
        return self.registered.name

    @property
    def endpoint(self) -> str:
        return self.at or self.registered.endpoint

    @property
    def _adapter(self) -> AdapterType:
        return ADAPTER_TYPES[self.registered.adapter_type]

    @property
    def url(self) -> str:
        return self._health_url() if self.registered.health_check else self._list_url()

    @property
    def untrusted(self) -> bool:
        return self.registered.untrusted

    async def ask(self, client: Transport) -> ProbeResult:
        try:
            key = self.credentials.key_for(self.registered, self.endpoint)
        except PreconditionFailed as problem:
            return ProbeResult(UNHEALTHY, problem.reason, problem.message, self.url)
        result = await within_time(self._ask(client, key), self.url)
        if self.untrusted and result.status == UNHEALTHY and result.reason in UNREACHABLE_REASONS:
            return ProbeResult(
                UNHEALTHY, "CONNECT_FAILED", "no model's server answers there; check the endpoint", self.url
            )
        return result

    async def _ask(self, client: Transport, key: str) -> ProbeResult:
        if self._adapter.health_path:
            return await self._ask_health_and_list(client, key)
        if self.registered.health_check:
            return await self._ask_health(client, self.url, key)
        return await self._ask_list(client, key)

    async def _ask_health(
        self, client: Transport, url: str, key: str, missing: ProbeResult | None = None
    ) -> ProbeResult:
        if not key or self.credentials.may_be_sent_to(url, self.registered.credential):
            return await _ask_status(client, url, self._adapter.headers(key), self._key_hint(), missing)
        hint = "the server wants a key for its health_check, where the model's own may not be sent; choose another path"
        result = await _ask_status(client, url, self._adapter.headers(""), hint, missing)
        return missing if missing and result.reason == "AUTH_FAILED" else result

    async def _ask_health_and_list(self, client: Transport, key: str) -> ProbeResult:
        """Requests both: a server that cannot serve its models may still list them, and it serves only those that it
        lists.

        A proxy may forward only the API itself, or only the path in `health_check`: one success is then enough.
        """
        if self.registered.health_check:
            health = await self._ask_health(client, self.url, key)
        else:
            url = self.endpoint.removesuffix(self._adapter.version) + self._adapter.health_path
            health = await self._ask_health(client, url, key, missing=healthy(url))
        if health.status != HEALTHY:
            return health
        listed = await self._ask_list(client, key)
        if self.registered.health_check and listed.reason not in ("OK", "MODEL_NOT_SERVED"):
            return health
        return listed

    async def _ask_list(self, client: Transport, key: str) -> ProbeResult:
        """Requests the list at each root that the API may have, until one has it."""
        search = self._search()
        first = await self._ask_list_at(client, key, search.url)
        if first.reason not in LIST_MISSING_REASONS:
            return first
        while search.try_next():
            result = await self._ask_list_at(client, key, search.url)
            if result.reason in LIST_FOUND_REASONS:
                search.confirm(by_success=False)
                return result
        return first

    async def _ask_list_at(self, client: Transport, key: str, url: str) -> ProbeResult:
        listing, headers = self._adapter.listing, self._adapter.headers(key)
        async with client.get(url + listing.query(""), headers) as answer:
            if not is_success(answer):
                return await judge_failure(answer, url, self._key_hint())
            body = await answer.read_start()
        return await run_in_thread_if_large(
            decoding_work(body), judge_list, listing, body, self.registered.upstream_model, url
        )

    def _health_url(self) -> str:
        server = urlsplit(self.endpoint)
        return f"{server.scheme}://{server.netloc}{self.registered.health_check}"

    def _list_url(self) -> str:
        return self._search().url

    def _search(self) -> RootSearch:
        roots = self._adapter.api_roots(self.endpoint)
        permitted = self.credentials.permitted_roots(self.registered.credential, roots)
        return RootSearch(permitted, self._adapter.listing.path)

    def _key_hint(self) -> str:
        credential = self.registered.credential
        source = credential.env_var or credential.file
        if source:
            return f"the server refuses the key in {source}; put a valid one there"
        return "the server wants a key; register the model with a credential"


@dataclass(frozen=True)
class ProviderProbe:
    """Asks a provider for one of its models, with `GET {base}/models/{id}`."""

    model: str
    url: str
    """The likeliest URL; `other_urls` are asked in turn where the server has no such path."""
    variable: str
    """The environment variable that the provider's key comes from."""
    headers: Mapping[str, str] | None = field(repr=False)
    """The headers with the key; None when there is no key."""
    other_urls: Sequence[str] = ()
    untrusted = False
    endpoint = ""

    async def ask(self, client: Transport) -> ProbeResult:
        if self.headers is None:
            return ProbeResult(UNCONFIGURED, "CREDENTIAL_MISSING", _ask_for_key(self.variable), self.url)
        return await within_time(self._ask(client, self.headers), self.url)

    async def _ask(self, client: Transport, headers: Mapping[str, str]) -> ProbeResult:
        first = await self._ask_at(client, headers, self.url)
        result = first
        for url in self.other_urls:
            if result.reason != PATH_NOT_FOUND:
                break
            result = await self._ask_at(client, headers, url)
        return first if result.reason == PATH_NOT_FOUND else result

    async def _ask_at(self, client: Transport, headers: Mapping[str, str], url: str) -> ProbeResult:
        async with client.get(url, headers) as answer:
            if is_success(answer):
                return healthy(url)
            if answer.status == 404 and not await is_missing_path(answer):
                message = "the provider does not serve this model to this key; call one that ListModels names"
                return ProbeResult(UNHEALTHY, "MODEL_NOT_SERVED", message, url)
            hint = f"the provider refuses the key in {self.variable}; set that variable to a valid one"
            return await judge_failure(answer, url, hint)


def _ask_for_key(variable: str) -> str:
    return f"there is no key; set {variable} in the environment of the Model Service and restart it"


async def _ask_status(
    client: Transport, url: str, headers: Mapping[str, str], key_hint: str, missing: ProbeResult | None = None
) -> ProbeResult:
    """The result of a request that succeeds with any 2xx; `missing` replaces the usual result of a 404."""
    async with client.get(url, headers) as answer:
        if is_success(answer):
            return healthy(url)
        if answer.status == 404 and missing:
            return missing
        return await judge_failure(answer, url, key_hint)
