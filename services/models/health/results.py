"""Probe results: the status of a model, from a server's answer or from its failure to answer.

Of a server's answer only the status code and the list of models are read, and its text is never passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple
from urllib.parse import urlsplit

from services.models.catalog.listings import (
    ListedFacts,
    Listing,
    ListPage,
    ListUnavailable,
    listed_facts,
    names_fit_to_show,
)
from services.models.providers.errors.error_body import read_fault
from services.models.providers.errors.error_wrapping import read_error
from services.models.transport.base import StreamedResponse
from services.shared import json_text
from services.shared.errors import LimitExceeded, PlatformError
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
"""The reason of a result, by the reason of the transport's error."""

NO_ANSWER_MESSAGES = {
    "TIMEOUT": f"no whole answer within {PROBE_SECONDS:g} s; check the server's load and the way to it",
    "TLS_FAILED": "no TLS connection; check that the server speaks https; name a private authority in MODELS_CA_FILE",
    "CONNECT_FAILED": "no connection; start the server, or register the model with the endpoint where it listens",
    "BAD_RESPONSE": "the connection broke, or what answers does not speak HTTP; check the endpoint and the server",
}

PATH_NOT_FOUND = "PATH_NOT_FOUND"
LIST_MISSING_REASONS = frozenset({PATH_NOT_FOUND, "BAD_RESPONSE"})
"""Reasons of results for a URL without a list of models."""
LIST_FOUND_REASONS = frozenset({"OK", "MODEL_NOT_SERVED", "AUTH_FAILED"})
"""Reasons of results for a URL with a list of models."""

MAX_NAMES_SHOWN = 5


class ProbeResult(NamedTuple):
    """The result of a probe: the words of ModelStatus, the URL that was asked, and the facts that the server lists."""

    status: str
    reason: str
    message: str
    url: str
    listed: ListedFacts | None = None


def healthy(url: str) -> ProbeResult:
    return ProbeResult(HEALTHY, "OK", "the newest probe succeeded", url)


def is_success(answer: StreamedResponse) -> bool:
    return 200 <= answer.status < 300


async def judge_failure(answer: StreamedResponse, url: str, key_hint: str) -> ProbeResult:
    status = answer.status
    if status in (401, 403):
        return ProbeResult(UNHEALTHY, "AUTH_FAILED", key_hint, url)
    if status == 503 and await _is_loading(answer):
        return ProbeResult(UNHEALTHY, "STARTING", "the server is still loading the model; wait until it has", url)
    if status >= 500:
        message = f"the server fails with HTTP status {status}; its own log says why"
        return ProbeResult(UNHEALTHY, "HTTP_STATUS", message, url)
    if status in (404, 405):
        path = urlsplit(url).path
        message = f"the server has nothing at {path}; check the path of the endpoint, and health_check"
        return ProbeResult(DEGRADED, PATH_NOT_FOUND, message, url)
    message = f"the server answers the probe with HTTP status {status}; check the endpoint and health_check"
    return ProbeResult(DEGRADED, "HTTP_STATUS", message, url)


async def is_missing_path(answer: StreamedResponse) -> bool:
    """Whether a 404 means that the server does not have the path, and not only that it does not have the model."""
    body = await answer.read_start()
    return await run_in_thread_if_large(decoding_work(body), _has_path_error, body)


def _has_path_error(body: bytes) -> bool:
    error = read_error(body)
    return bool(error.message or error.words) and read_fault(404, body).reason == "UPSTREAM_PATH_NOT_FOUND"


async def _is_loading(answer: StreamedResponse) -> bool:
    """Whether a 503 is that of a llama.cpp that still loads its model: its `error.type` is `unavailable_error`."""
    body = await answer.read_start()
    return await run_in_thread_if_large(decoding_work(body), _has_loading_error, body)


def _has_loading_error(body: bytes) -> bool:
    try:
        answer = json_text.decode(body)
    except json_text.Malformed:
        return False
    error = answer.get("error") if isinstance(answer, dict) else None
    return isinstance(error, dict) and error.get("type") == "unavailable_error"


def judge_list(listing: Listing, body: bytes, model: str, url: str) -> ProbeResult:
    """The result of a probe that got a list of models, for one of them."""
    try:
        page = listing.read(body)
    except ListUnavailable:
        message = "what answers does not list models as the adapter expects; check the endpoint and adapter_type"
        return ProbeResult(DEGRADED, "BAD_RESPONSE", message, url)
    listed = listed_facts(listing, page, model)
    if model in page.entries:
        return healthy(url)._replace(listed=listed)
    message = f"the server does not list {model}; {_advise(page)}"
    return ProbeResult(DEGRADED, "MODEL_NOT_SERVED", message, url, listed)


def _advise(page: ListPage) -> str:
    shown = names_fit_to_show(page, MAX_NAMES_SHOWN)
    if not shown:
        return "it names none that could be shown; register one of its own names as upstream_model"
    if len(page.entries) == 1:
        return f"it serves only {shown[0]}: register the model with upstream_model {shown[0]}"
    return f"it serves {', '.join(shown)}; register one of its own names as upstream_model"


async def within_time(question: Awaitable[ProbeResult], url: str) -> ProbeResult:
    """The result of a probe within `PROBE_SECONDS`, or one with the reason why the server did not answer."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await question
    except LimitExceeded as shortage:
        # A shortage in this process, which says nothing about the server.
        return ProbeResult(UNKNOWN, shortage.reason, shortage.message, url)
    except TimeoutError:
        return _no_answer("TIMEOUT", url)
    except PlatformError as error:
        reason = NO_ANSWER_REASONS.get(error.reason)
        return _no_answer(reason, url) if reason else ProbeResult(UNHEALTHY, error.reason, error.message, url)


def _no_answer(reason: str, url: str) -> ProbeResult:
    return ProbeResult(UNHEALTHY, reason, NO_ANSWER_MESSAGES[reason], url)
