"""Free questions to a model's server: is it there, and does it serve the model? Never a completion.

What a server answers is read for its status code and the names of its models, and never repeated.

Sources: platform.openai.com/docs/api-reference/models, docs.claude.com/en/api/models-list,
docs.vllm.ai/en/latest/serving/openai_compatible_server.html, and llama.cpp's tools/server/README.md.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx

from proto import models_pb2
from services.models.providers import json_text
from services.models.providers.anthropic import API_VERSION

HEALTHY = "healthy"
DEGRADED = "degraded"
UNHEALTHY = "unhealthy"
UNCONFIGURED = "unconfigured"
UNKNOWN = "unknown"

PROBE_SECONDS = 2.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_NAMES_SHOWN = 5

ANTHROPIC_LIST_LIMIT = 1000

_NAME_FIT_TO_SHOW = re.compile(r"[A-Za-z0-9._:/@-]{1,128}")


class Finding(NamedTuple):
    """What a probe found: the words of ModelStatus, and the URL that was asked."""

    status: str
    reason: str
    message: str
    url: str


class Probe(Protocol):
    """One free question about one model. Probes that ask the same are equal."""

    @property
    def model(self) -> str:
        """The model's name on this platform."""

    @property
    def url(self) -> str:
        """The URL that is asked; the last one, when there are several."""

    async def ask(self, client: httpx.AsyncClient) -> Finding:
        """Asks, for at most `PROBE_SECONDS`. Whatever the server does is a finding, never an error."""


def open_client() -> httpx.AsyncClient:
    """The client that probes go through.

    It follows no redirect, takes no proxy from the environment, and keeps no connection: one that the server has
    closed meanwhile would look like a server that is down.
    """
    return httpx.AsyncClient(
        verify=ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        timeout=PROBE_SECONDS,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        headers={"user-agent": "genai-platform-probe", "accept-encoding": "identity"},
    )


@dataclass(frozen=True)
class ModelProbe:
    """Asks the server of a registered model: the path in `health_check`, else what suits the adapter.

    The credential's variable is read at each probe. `registered` must not be changed afterwards.
    """

    registered: models_pb2.RegisteredModel

    @property
    def model(self) -> str:
        return self.registered.name

    @property
    def url(self) -> str:
        if self.registered.health_check:
            server = urlsplit(self.registered.endpoint)
            return f"{server.scheme}://{server.netloc}{self.registered.health_check}"
        return f"{self.registered.endpoint}/models"

    async def ask(self, client: httpx.AsyncClient) -> Finding:
        problem = self._key_problem()
        if problem:
            return problem
        return await _within_time(self._ask(client, self._headers()), self.url)

    async def _ask(self, client: httpx.AsyncClient, headers: Mapping[str, str]) -> Finding:
        if self.registered.health_check:
            return await _ask_status(client, self.url, headers, self._key_hint())
        if self.registered.adapter_type == "vllm":
            # vLLM lists its models although its engine is dead. A proxy may let only the API itself through: 404.
            engine = self.registered.endpoint.removesuffix("/v1") + "/health"
            finding = await _ask_status(client, engine, headers, self._key_hint(), missing=_healthy(engine))
            if finding.status != HEALTHY:
                return finding
        return await self._ask_list(client, headers)

    async def _ask_list(self, client: httpx.AsyncClient, headers: Mapping[str, str]) -> Finding:
        anthropic = self.registered.adapter_type == "anthropic"
        url = f"{self.url}?limit={ANTHROPIC_LIST_LIMIT}" if anthropic else self.url
        async with client.stream("GET", url, headers=headers) as response:
            if not response.is_success:
                return await _judge_failure(response, self.url, self._key_hint())
            return _judge_list(await _read(response), self.registered.upstream_model, self.url)

    def _headers(self) -> Mapping[str, str]:
        key = self._key()
        if self.registered.adapter_type == "anthropic":
            return {"anthropic-version": API_VERSION} | ({"x-api-key": key} if key else {})
        return {"authorization": f"Bearer {key}"} if key else {}

    def _key(self) -> str:
        return os.environ.get(self.registered.credential.env_var, "").strip()

    def _key_problem(self) -> Finding | None:
        variable = self.registered.credential.env_var
        if not variable:
            return None
        key = self._key()
        if not key:
            return Finding(UNHEALTHY, "CREDENTIAL_MISSING", _ask_for_key(variable), self.url)
        if not (key.isascii() and key.isprintable()):
            message = f"{variable} holds characters that no key has; set it to the key alone"
            return Finding(UNHEALTHY, "CREDENTIAL_INVALID", message, self.url)
        return None

    def _key_hint(self) -> str:
        variable = self.registered.credential.env_var
        if variable:
            return f"the server refuses the key in {variable}; set that variable to a valid one"
        return "the server wants a key; register the model with credential.env_var"


@dataclass(frozen=True)
class ProviderProbe:
    """Asks a provider for one of its models, with `GET {base}/models/{id}`."""

    model: str
    url: str
    variable: str
    """The environment variable that the provider's key comes from."""
    headers: Mapping[str, str] | None = field(repr=False)
    """With the key in them; None when there is no key."""

    async def ask(self, client: httpx.AsyncClient) -> Finding:
        if self.headers is None:
            return Finding(UNCONFIGURED, "CREDENTIAL_MISSING", _ask_for_key(self.variable), self.url)
        return await _within_time(self._ask(client, self.headers), self.url)

    async def _ask(self, client: httpx.AsyncClient, headers: Mapping[str, str]) -> Finding:
        hint = f"the provider refuses the key in {self.variable}; set that variable to a valid one"
        message = "the provider does not serve this model to this key; call one that ListModels names"
        missing = Finding(UNHEALTHY, "MODEL_NOT_SERVED", message, self.url)
        return await _ask_status(client, self.url, headers, hint, missing=missing)


def _ask_for_key(variable: str) -> str:
    return f"there is no key; set {variable} in the environment of the Model Service and restart it"


def _healthy(url: str) -> Finding:
    return Finding(HEALTHY, "OK", "the newest probe succeeded", url)


async def _ask_status(
    client: httpx.AsyncClient, url: str, headers: Mapping[str, str], key_hint: str, missing: Finding | None = None
) -> Finding:
    """Asks for nothing but a 2xx; `missing` is what a 404 means, where it means something of its own."""
    async with client.stream("GET", url, headers=headers) as response:
        if response.is_success:
            return _healthy(url)
        if response.status_code == 404 and missing:
            return missing
        return await _judge_failure(response, url, key_hint)


async def _judge_failure(response: httpx.Response, url: str, key_hint: str) -> Finding:
    status = response.status_code
    if status in (401, 403):
        return Finding(UNHEALTHY, "AUTH_FAILED", key_hint, url)
    if status == 503 and await _is_loading(response):
        return Finding(UNHEALTHY, "STARTING", "the server is still loading the model; wait until it has", url)
    if status >= 500:
        message = f"the server fails with HTTP status {status}; its own log says why"
        return Finding(UNHEALTHY, "HTTP_STATUS", message, url)
    message = f"the server answers the probe with HTTP status {status}; check the endpoint and health_check"
    return Finding(DEGRADED, "HTTP_STATUS", message, url)


async def _is_loading(response: httpx.Response) -> bool:
    """Whether a 503 is llama.cpp's while it loads its model, marked by `error.type` `unavailable_error`."""
    answer = _decode(await _read(response))
    error = answer.get("error") if isinstance(answer, dict) else None
    return isinstance(error, dict) and error.get("type") == "unavailable_error"


def _judge_list(body: bytes, model: str, url: str) -> Finding:
    """What a list of models says about one. Both dialects write `{"data": [{"id": …}, …]}`."""
    served = _served_names(_decode(body))
    if served is None:
        message = "what answers does not list models as the adapter expects; check the endpoint and adapter_type"
        return Finding(DEGRADED, "BAD_RESPONSE", message, url)
    if model in served:
        return _healthy(url)
    shown = [name for name in served if _NAME_FIT_TO_SHOW.fullmatch(name)][:MAX_NAMES_SHOWN]
    others = f"it serves {', '.join(shown)}" if shown else "it names none that could be shown"
    message = f"the server does not list upstream_model; {others}; register one of its own names as upstream_model"
    return Finding(DEGRADED, "MODEL_NOT_SERVED", message, url)


def _served_names(answer: Any) -> list[str] | None:
    """The ids in a list of models, or None when it is no such list."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        return None
    ids = [entry.get("id") for entry in data if isinstance(entry, dict)]
    return [name for name in ids if isinstance(name, str)]


def _decode(body: bytes) -> Any:
    try:
        return json_text.decode(body)
    except json_text.Malformed:
        return None


async def _read(response: httpx.Response) -> bytes:
    """The body, or its first `MAX_ANSWER_BYTES`, which are no JSON then. It is not decompressed: that could explode."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            break
    return bytes(body[:MAX_ANSWER_BYTES])


async def _within_time(question: Awaitable[Finding], url: str) -> Finding:
    """The answer to the question, or why there is none."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await question
    except (TimeoutError, httpx.TimeoutException):
        message = f"no whole answer within {PROBE_SECONDS:g} s; check the server's load and the way to it"
        return Finding(UNHEALTHY, "TIMEOUT", message, url)
    except httpx.ConnectError as error:
        return _judge_connection(error, url)
    except (httpx.HTTPError, httpx.InvalidURL):
        message = "the connection broke, or what answers does not speak HTTP; check the endpoint and the server"
        return Finding(UNHEALTHY, "BAD_RESPONSE", message, url)


def _judge_connection(error: httpx.ConnectError, url: str) -> Finding:
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        message = "no TLS connection; check that the server speaks https and that its certificate is trusted here"
        return Finding(UNHEALTHY, "TLS_FAILED", message, url)
    message = "no connection; start the server, or register the model with the endpoint where it listens"
    return Finding(UNHEALTHY, "CONNECT_FAILED", message, url)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__
