"""Registrations: a request to register a model, checked and completed; the registry stores and serves it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from proto import models_pb2
from services.models.access.credentials import Credentials
from services.models.catalog.listings import MAX_SERVED_NAMES
from services.models.catalog.vendors import ADAPTER_TYPES
from services.models.transport.api_roots import normalize_base_url
from services.models.transport.base_urls import BaseUrl, base_url_problem
from services.models.validation.extra_body import reserved_members_in
from services.models.validation.fields import line_problem, raise_if_invalid
from services.models.validation.limits import MAX_ALIASES, MAX_EFFORTS, MAX_ENDPOINTS
from services.models.validation.request import EFFORT
from services.shared import json_text
from services.shared.errors import FieldViolation

NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,128}")

MAX_PATH_LENGTH = 512
MAX_UPSTREAM_MODEL_LENGTH = 256
MAX_PROVIDER_LENGTH = 64
MAX_OPTIONS_LENGTH = 64 * 1024
MAX_CAPABILITY_TEXT_LENGTH = 128

EXAMPLE = "http://localhost:8000/v1"

_URL_TEXT = re.compile(r"[!-~]+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LIFECYCLE_STATES = frozenset(models_pb2.LifecycleState.values())

Definition = models_pb2.RegisteredModel
"""A registration as its caller wrote it, with `untrusted`. The platform adds `status`, `registered_at` and
`overrides_builtin` later."""


def build_registered_model(
    request: models_pb2.RegisterModelRequest, credentials: Credentials, *, by_stranger: bool = False
) -> Definition:
    """The definition that `request` asks for, with its defaults filled in and the endpoints as base URLs.

    `credentials` decides which keys may be named. The addresses of the endpoints are not checked here. Raises
    InvalidRequest naming every wrong field.
    """
    raise_if_invalid(_violations(request, credentials, by_stranger=by_stranger))
    endpoints = [normalize_base_url(endpoint) for endpoint in endpoint_fields(request).values()]
    definition = Definition(
        name=request.name,
        endpoint=endpoints[0],
        endpoints=endpoints,
        health_check=request.health_check,
        adapter_type=request.adapter_type,
        provider=request.provider or request.adapter_type,
        upstream_model=request.upstream_model or request.name,
        aliases=request.aliases,
        default_options_json=request.default_options_json,
        untrusted=by_stranger,
    )
    if request.HasField("capabilities"):
        definition.capabilities.CopyFrom(request.capabilities)
    if request.credential.env_var or request.credential.file:
        definition.credential.CopyFrom(request.credential)
    return definition


def endpoint_fields(request: models_pb2.RegisterModelRequest) -> Mapping[str, str]:
    """The endpoints of a registration, by the fields that they stand in."""
    if request.endpoints:
        return {f"endpoints[{index}]": endpoint for index, endpoint in enumerate(request.endpoints[:MAX_ENDPOINTS])}
    return {"endpoint": request.endpoint}


def _violations(
    request: models_pb2.RegisterModelRequest, credentials: Credentials, *, by_stranger: bool
) -> Iterator[FieldViolation]:
    yield from _name_violations("name", request.name)
    endpoint_violations = list(_endpoint_violations(request))
    yield from endpoint_violations
    yield from _adapter_violations(request)
    yield from _alias_violations(request)
    yield from _capability_violations(request.capabilities)
    wrong = {violation.field for violation in endpoint_violations}
    fields = {field: normalize_base_url(url) for field, url in endpoint_fields(request).items() if field not in wrong}
    yield from _credential_violations(request, fields, credentials, by_stranger=by_stranger)


def _name_violations(field: str, name: str) -> Iterator[FieldViolation]:
    if not NAME.fullmatch(name):
        yield FieldViolation(field, "must be 1 to 128 letters, digits and ._:/@-")


def _endpoint_violations(request: models_pb2.RegisterModelRequest) -> Iterator[FieldViolation]:
    if len(request.endpoints) > MAX_ENDPOINTS:
        yield FieldViolation("endpoints", f"are more than {MAX_ENDPOINTS}")
    if request.endpoints and request.endpoint not in ("", request.endpoints[0]):
        yield FieldViolation("endpoint", "must be the first of endpoints, or left out")
    seen: dict[frozenset[BaseUrl], str] = {}
    for field, url in endpoint_fields(request).items():
        problem = base_url_problem(url) if url else "is required: the server's base URL, such as " + EXAMPLE
        if problem:
            yield FieldViolation(field, problem)
            continue
        roots = frozenset(map(BaseUrl.of, _roots(request, url)))
        if roots in seen:
            yield FieldViolation(field, f"leads to the same server as {seen[roots]}; name each server once")
        seen.setdefault(roots, field)


def _roots(request: models_pb2.RegisterModelRequest, url: str) -> Sequence[str]:
    """The base URLs that an endpoint may mean, of which other spellings of it have the same ones."""
    adapter_type = ADAPTER_TYPES.get(request.adapter_type)
    return adapter_type.api_roots(url) if adapter_type else (normalize_base_url(url),)


def _adapter_violations(request: models_pb2.RegisterModelRequest) -> Iterator[FieldViolation]:
    if request.adapter_type not in ADAPTER_TYPES:
        yield FieldViolation("adapter_type", f"must be one of {', '.join(ADAPTER_TYPES)}")
    path = request.health_check
    if len(path) > MAX_PATH_LENGTH:
        yield FieldViolation("health_check", f"is longer than {MAX_PATH_LENGTH} characters")
    elif path and not (path.startswith("/") and _URL_TEXT.fullmatch(path) and not set("?#\\") & set(path)):
        yield FieldViolation("health_check", "must be a path that begins with /, such as /health, without a query")
    problem = line_problem(request.upstream_model, MAX_UPSTREAM_MODEL_LENGTH)
    if problem:
        yield FieldViolation("upstream_model", problem)
    problem = line_problem(request.provider, MAX_PROVIDER_LENGTH)
    if problem or not request.provider.isprintable():
        yield FieldViolation("provider", problem or "contains characters that cannot be shown")
    problem = _problem_with_options(request) if request.default_options_json else None
    if problem:
        yield FieldViolation("default_options_json", problem)


def _problem_with_options(request: models_pb2.RegisterModelRequest) -> str | None:
    problem = json_text.object_problem(request.default_options_json, MAX_OPTIONS_LENGTH)
    adapter_type = ADAPTER_TYPES.get(request.adapter_type)
    if problem or adapter_type is None:
        return problem
    reserved = reserved_members_in(request.default_options_json, adapter_type.dialect.reserved_members)
    return f"must not set {', '.join(reserved)}: each request says them itself" if reserved else None


def _alias_violations(request: models_pb2.RegisterModelRequest) -> Iterator[FieldViolation]:
    if len(request.aliases) > MAX_ALIASES:
        yield FieldViolation("aliases", f"are more than {MAX_ALIASES}")
    seen = {request.name}
    for index, alias in enumerate(request.aliases[:MAX_ALIASES]):
        field = f"aliases[{index}]"
        yield from _name_violations(field, alias)
        if alias in seen:
            yield FieldViolation(field, "is the model's name or an alias that is already in the list")
        seen.add(alias)


def _capability_violations(capabilities: models_pb2.ModelCapabilities) -> Iterator[FieldViolation]:
    for field in ("context_window", "max_output_tokens"):
        if capabilities.HasField(field) and getattr(capabilities, field) < 1:
            yield FieldViolation(f"capabilities.{field}", "must be at least 1; leave it unset when it is not known")
    for descriptor, price in capabilities.prices.ListFields():
        if price < 0:
            yield FieldViolation(f"capabilities.prices.{descriptor.name}", "must not be negative")
    if capabilities.lifecycle.state not in LIFECYCLE_STATES:
        yield FieldViolation("capabilities.lifecycle.state", "is not a value of LifecycleState")
    known = models_pb2.ChatConfig.DESCRIPTOR.fields_by_name
    if len(capabilities.unsupported_parameters) > len(known):
        yield FieldViolation("capabilities.unsupported_parameters", f"are more than the {len(known)} that there are")
    for index, name in enumerate(islice(capabilities.unsupported_parameters, len(known))):
        if name not in known:
            field = f"capabilities.unsupported_parameters[{index}]"
            yield FieldViolation(field, f"must be a field of ChatConfig: {', '.join(known)}")
            break
    days = {
        "as_of": capabilities.as_of,
        "lifecycle.deprecation_date": capabilities.lifecycle.deprecation_date,
        "lifecycle.shutdown_date": capabilities.lifecycle.shutdown_date,
    }
    for field, day in days.items():
        if day and not _DAY.fullmatch(day):
            yield FieldViolation(f"capabilities.{field}", "must be a day, YYYY-MM-DD")
    if len(capabilities.reasoning_efforts) > MAX_EFFORTS:
        yield FieldViolation("capabilities.reasoning_efforts", f"are more than {MAX_EFFORTS}")
    for index, effort in enumerate(islice(capabilities.reasoning_efforts, MAX_EFFORTS)):
        if not EFFORT.fullmatch(effort):
            yield FieldViolation(f"capabilities.reasoning_efforts[{index}]", "must be one word, such as low or high")
    if len(capabilities.served_names) > MAX_SERVED_NAMES:
        yield FieldViolation("capabilities.served_names", f"are more than {MAX_SERVED_NAMES}")
    texts = {"source": capabilities.source, "lifecycle.replacement": capabilities.lifecycle.replacement}
    names = enumerate(capabilities.served_names[:MAX_SERVED_NAMES])
    texts |= {f"served_names[{index}]": name for index, name in names}
    for field, text in texts.items():
        problem = line_problem(text, MAX_CAPABILITY_TEXT_LENGTH)
        if problem:
            yield FieldViolation(f"capabilities.{field}", problem)


def _credential_violations(
    request: models_pb2.RegisterModelRequest,
    endpoints: Mapping[str, str],
    credentials: Credentials,
    *,
    by_stranger: bool,
) -> Iterator[FieldViolation]:
    """Keeps callers from having a secret of this machine sent to servers of their own. `endpoints` are the valid ones,
    by their fields."""
    credential = request.credential
    only = None if request.endpoints else endpoints.get("endpoint")
    problem = credentials.problem(credential, only, request.adapter_type, by_stranger=by_stranger)
    if problem:
        yield FieldViolation("credential.file" if credential.HasField("file") else "credential.env_var", problem)
        return
    if not request.endpoints:
        return
    for field, url in endpoints.items():
        problem = credentials.problem(credential, url, request.adapter_type, by_stranger=by_stranger)
        if problem:
            yield FieldViolation(field, f"the key that credential names {problem}")
