"""Free questions to a model's server: is it there, and does it serve the model? Never a completion.

What a server answers is read for its status code and its list of models (`model_list`), and never repeated.

Sources: platform.openai.com/docs/api-reference/models, docs.claude.com/en/api/models-list,
docs.vllm.ai/en/latest/serving/openai_compatible_server.html, and llama.cpp's tools/server/README.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from proto import models_pb2
from services.models.access.credentials import Credentials
from services.models.catalog.model_list import LearnedFacts, ModelList
from services.models.providers.anthropic.dialect import API_VERSION
from services.models.providers.errors.error_body import read_fault
from services.models.providers.errors.error_wrapping import read_error
from services.models.transport.api_roots import RootSearch
from services.models.transport.base import StreamedResponse, Transport
from services.shared import json_text
from services.shared.errors import LimitExceeded, PlatformError, PreconditionFailed
from services.shared.json_text import decoding_work
from services.shared.offload import run_in_thread_if_large

PROBE_SECONDS = 2.0

HEALTHY = "healthy"
DEGRADED = "degraded"
UNHEALTHY = "unhealthy"
UNCONFIGURED = "unconfigured"
UNKNOWN = "unknown"

UNREACHABLE_REASONS = frozenset({"CONNECT_FAILED", "TIMEOUT", "TLS_FAILED", "BAD_RESPONSE"})

NO_ANSWER_REASONS = {
    "UPSTREAM_TIMEOUT": "TIMEOUT",
    "UPSTREAM_IDLE": "TIMEOUT",
    "UPSTREAM_TLS": "TLS_FAILED",
    "UPSTREAM_UNREACHABLE": "CONNECT_FAILED",
    "UPSTREAM_STREAM_INTERRUPTED": "BAD_RESPONSE",
    "UPSTREAM_PROTOCOL_ERROR": "BAD_RESPONSE",
    "UPSTREAM_REQUEST_INVALID": "BAD_RESPONSE",
}
"""The reason of a finding, by the transport's."""

NO_ANSWER_MESSAGES = {
    "TIMEOUT": f"no whole answer within {PROBE_SECONDS:g} s; check the server's load and the way to it",
    "TLS_FAILED": "no TLS connection; check that the server speaks https and that its certificate is trusted here",
    "CONNECT_FAILED": "no connection; start the server, or register the model with the endpoint where it listens",
    "BAD_RESPONSE": "the connection broke, or what answers does not speak HTTP; check the endpoint and the server",
}

PATH_NOT_FOUND = "PATH_NOT_FOUND"
NO_LIST_REASONS = frozenset({PATH_NOT_FOUND, "BAD_RESPONSE"})
"""Of what is not where it was looked for."""
LIST_REASONS = frozenset({"OK", "MODEL_NOT_SERVED", "AUTH_FAILED"})
"""Of what is there."""

MAX_NAMES_SHOWN = 5

ANTHROPIC_LIST_LIMIT = 1000


class Finding(NamedTuple):
    """What a probe found: the words of ModelStatus, the URL that was asked, and what the server told beside it."""

    status: str
    reason: str
    message: str
    url: str
    learned: LearnedFacts | None = None


class Probe(Protocol):
    """One free question about one model. Probes that ask the same are equal."""

    @property
    def model(self) -> str:
        """The model's name on this platform."""

    @property
    def url(self) -> str:
        """The URL that is asked; the last one, when there are several."""

    @property
    def untrusted(self) -> bool:
        """Whether a stranger has said where to ask."""

    async def ask(self, client: Transport) -> Finding:
        """Asks, for at most `PROBE_SECONDS`. Whatever the server does is a finding, never an error."""


@dataclass(frozen=True)
class ModelProbe:
    """Asks the server of a registered model: the path in `health_check`, else what suits the adapter.

    The credential is read at each probe, and sent where it may go. Of a stranger's model it is not told why there is no
    answer: it would tell what there is in a network. `registered` must not be changed afterwards.
    """

    registered: models_pb2.RegisteredModel
    credentials: Credentials = field(default_factory=Credentials, repr=False, compare=False)

    @property
    def model(self) -> str:
        return self.registered.name

    @property
    def url(self) -> str:
        return self._health_url() if self.registered.health_check else self._list_url()

    @property
    def untrusted(self) -> bool:
        return self.registered.untrusted

    async def ask(self, client: Transport) -> Finding:
        try:
            key = self.credentials.key_for(self.registered)
        except PreconditionFailed as problem:
            return Finding(UNHEALTHY, problem.reason, problem.message, self.url)
        finding = await _within_time(self._ask(client, key), self.url)
        if self.untrusted and finding.status == UNHEALTHY and finding.reason in UNREACHABLE_REASONS:
            return Finding(UNHEALTHY, "CONNECT_FAILED", "no model's server answers there; check the endpoint", self.url)
        return finding

    async def _ask(self, client: Transport, key: str) -> Finding:
        if self.registered.adapter_type == "vllm":
            return await self._ask_vllm(client, key)
        if self.registered.health_check:
            return await self._ask_health(client, self.url, key)
        return await self._ask_list(client, key)

    async def _ask_health(self, client: Transport, url: str, key: str, missing: Finding | None = None) -> Finding:
        if not key or self.credentials.may_go_to(url, self.registered.credential):
            return await _ask_status(client, url, self._headers(key), self._key_hint(), missing)
        hint = "the server wants a key for its health_check, where the model's own may not be sent; choose another path"
        finding = await _ask_status(client, url, self._headers(""), hint, missing)
        return missing if missing and finding.reason == "AUTH_FAILED" else finding

    async def _ask_vllm(self, client: Transport, key: str) -> Finding:
        """Asks for both: vLLM lists its models although its engine is dead, and refuses every name but those it lists.

        A proxy may let only the API itself through, or only the path in `health_check`: one of the two is enough.
        """
        if self.registered.health_check:
            health = await self._ask_health(client, self.url, key)
        else:
            url = self.registered.endpoint.removesuffix("/v1") + "/health"
            health = await self._ask_health(client, url, key, missing=_healthy(url))
        if health.status != HEALTHY:
            return health
        listed = await self._ask_list(client, key)
        if self.registered.health_check and listed.reason not in ("OK", "MODEL_NOT_SERVED"):
            return health
        return listed

    async def _ask_list(self, client: Transport, key: str) -> Finding:
        """Asks each place where the list may be, until one has it."""
        search = RootSearch(self._places(), "/models")
        first = await self._ask_list_at(client, key, search.url)
        if first.reason not in NO_LIST_REASONS:
            return first
        while search.try_next():
            finding = await self._ask_list_at(client, key, search.url)
            if finding.reason in LIST_REASONS:
                search.confirm()
                return finding
        return first

    async def _ask_list_at(self, client: Transport, key: str, url: str) -> Finding:
        headers = self._headers(key)
        anthropic = self.registered.adapter_type == "anthropic"
        async with client.get(f"{url}?limit={ANTHROPIC_LIST_LIMIT}" if anthropic else url, headers) as answer:
            if not _is_success(answer):
                return await _judge_failure(answer, url, self._key_hint())
            body = await answer.read_start()
        return await run_in_thread_if_large(decoding_work(body), _judge_list, body, self.registered.upstream_model, url)

    def _health_url(self) -> str:
        server = urlsplit(self.registered.endpoint)
        return f"{server.scheme}://{server.netloc}{self.registered.health_check}"

    def _list_url(self) -> str:
        return RootSearch(self._places(), "/models").url

    def _places(self) -> Sequence[str]:
        return self.credentials.api_roots(self.registered)

    def _headers(self, key: str) -> Mapping[str, str]:
        if self.registered.adapter_type == "anthropic":
            return {"anthropic-version": API_VERSION} | ({"x-api-key": key} if key else {})
        return {"authorization": f"Bearer {key}"} if key else {}

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
    """Where it is likeliest; `other_urls` are asked in turn where there is no such path."""
    variable: str
    """The environment variable that the provider's key comes from."""
    headers: Mapping[str, str] | None = field(repr=False)
    """With the key in them; None when there is no key."""
    other_urls: Sequence[str] = ()
    untrusted = False

    async def ask(self, client: Transport) -> Finding:
        if self.headers is None:
            return Finding(UNCONFIGURED, "CREDENTIAL_MISSING", _ask_for_key(self.variable), self.url)
        return await _within_time(self._ask(client, self.headers), self.url)

    async def _ask(self, client: Transport, headers: Mapping[str, str]) -> Finding:
        first = await self._ask_at(client, headers, self.url)
        finding = first
        for url in self.other_urls:
            if finding.reason != PATH_NOT_FOUND:
                break
            finding = await self._ask_at(client, headers, url)
        return first if finding.reason == PATH_NOT_FOUND else finding

    async def _ask_at(self, client: Transport, headers: Mapping[str, str], url: str) -> Finding:
        async with client.get(url, headers) as answer:
            if _is_success(answer):
                return _healthy(url)
            if answer.status == 404 and not await _tells_of_path(answer):
                message = "the provider does not serve this model to this key; call one that ListModels names"
                return Finding(UNHEALTHY, "MODEL_NOT_SERVED", message, url)
            hint = f"the provider refuses the key in {self.variable}; set that variable to a valid one"
            return await _judge_failure(answer, url, hint)


def _ask_for_key(variable: str) -> str:
    return f"there is no key; set {variable} in the environment of the Model Service and restart it"


def _healthy(url: str) -> Finding:
    return Finding(HEALTHY, "OK", "the newest probe succeeded", url)


async def _ask_status(
    client: Transport, url: str, headers: Mapping[str, str], key_hint: str, missing: Finding | None = None
) -> Finding:
    """Asks for nothing but a 2xx; `missing` is what a 404 means, where it means something of its own."""
    async with client.get(url, headers) as answer:
        if _is_success(answer):
            return _healthy(url)
        if answer.status == 404 and missing:
            return missing
        return await _judge_failure(answer, url, key_hint)


def _is_success(answer: StreamedResponse) -> bool:
    return 200 <= answer.status < 300


async def _judge_failure(answer: StreamedResponse, url: str, key_hint: str) -> Finding:
    status = answer.status
    if status in (401, 403):
        return Finding(UNHEALTHY, "AUTH_FAILED", key_hint, url)
    if status == 503 and await _is_loading(answer):
        return Finding(UNHEALTHY, "STARTING", "the server is still loading the model; wait until it has", url)
    if status >= 500:
        message = f"the server fails with HTTP status {status}; its own log says why"
        return Finding(UNHEALTHY, "HTTP_STATUS", message, url)
    if status in (404, 405):
        path = urlsplit(url).path
        message = f"the server has nothing at {path}; check the path of the endpoint, and health_check"
        return Finding(DEGRADED, PATH_NOT_FOUND, message, url)
    message = f"the server answers the probe with HTTP status {status}; check the endpoint and health_check"
    return Finding(DEGRADED, "HTTP_STATUS", message, url)


async def _tells_of_path(answer: StreamedResponse) -> bool:
    """Whether a 404 says that there is no such path, and not only that what was asked for is not there."""
    body = await answer.read_start()
    return await run_in_thread_if_large(decoding_work(body), _tells_that_a_path_is_not_there, body)


def _tells_that_a_path_is_not_there(body: bytes) -> bool:
    told = read_error(body)
    return bool(told.message or told.words) and read_fault(404, body).reason == "UPSTREAM_PATH_NOT_FOUND"


async def _is_loading(answer: StreamedResponse) -> bool:
    """Whether a 503 is llama.cpp's while it loads its model, marked by `error.type` `unavailable_error`."""
    body = await answer.read_start()
    return await run_in_thread_if_large(decoding_work(body), _tells_of_loading, body)


def _tells_of_loading(body: bytes) -> bool:
    try:
        told = json_text.decode(body)
    except json_text.Malformed:
        return False
    error = told.get("error") if isinstance(told, dict) else None
    return isinstance(error, dict) and error.get("type") == "unavailable_error"


def _judge_list(body: bytes, model: str, url: str) -> Finding:
    """What a list of models says about one."""
    served = ModelList.read(body)
    if served is None:
        message = "what answers does not list models as the adapter expects; check the endpoint and adapter_type"
        return Finding(DEGRADED, "BAD_RESPONSE", message, url)
    learned = served.learn(model)
    if model in served:
        return _healthy(url)._replace(learned=learned)
    message = f"the server does not list {model}; {_advise(served)}"
    return Finding(DEGRADED, "MODEL_NOT_SERVED", message, url, learned)


def _advise(served: ModelList) -> str:
    shown = served.names(MAX_NAMES_SHOWN)
    if not shown:
        return "it names none that could be shown; register one of its own names as upstream_model"
    if len(served) == 1:
        return f"it serves only {shown[0]}: register the model with upstream_model {shown[0]}"
    return f"it serves {', '.join(shown)}; register one of its own names as upstream_model"


async def _within_time(question: Awaitable[Finding], url: str) -> Finding:
    """The answer to the question, or why there is none."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await question
    except LimitExceeded as lack:
        # On our side, which says nothing of the server.
        return Finding(UNKNOWN, lack.reason, lack.message, url)
    except TimeoutError:
        return _no_answer("TIMEOUT", url)
    except PlatformError as error:
        reason = NO_ANSWER_REASONS.get(error.reason)
        return _no_answer(reason, url) if reason else Finding(UNHEALTHY, error.reason, error.message, url)


def _no_answer(reason: str, url: str) -> Finding:
    return Finding(UNHEALTHY, reason, NO_ANSWER_MESSAGES[reason], url)
