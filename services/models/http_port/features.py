"""The platform's own fields of a request over HTTP: in header fields, or in the member `genai` of the body.

The member has the names of ChatRequest (`prompt`, `session_id`, `fallback_models`, …), so that all that gRPC offers
beyond the dialects is there; a header field is the short way to one of them, and for programs whose bodies are written
by a library. The member wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
from google.protobuf import json_format

from proto import models_pb2
from services.shared import json_text
from services.shared.errors import InvalidRequest

MEMBER = "genai"

FIELDS = frozenset(
    {
        *("prompt", "system_prompt_name", "session_id", "session", "request_id", "fallback_models"),
        *("parameter_policy", "provider_options_json", "tags", "end_user_id", "timeouts", "cache"),
    }
)
"""The fields of ChatRequest that the member may set. The others have their place in every dialect."""

PREVIEW = "x-genai-preview"
ROUTE = "x-genai-route"


class Options(NamedTuple):
    """The options of a request beside its fields."""

    previews: bool = False
    """Whether the upstream request is asked for, and not an answer."""
    translates: bool = False
    """Whether the request must go through the platform's own form, also where the server speaks the same dialect."""


class _Member(msgspec.Struct, forbid_unknown_fields=False):
    preview: bool = False
    route: str = ""


def uses_features(headers: Mapping[str, str]) -> bool:
    """Whether the header fields ask for what only the platform's own form of a request has."""
    return any(name in headers for name in _HEADERS) or PREVIEW in headers or headers.get(ROUTE) == "translate"


def apply_features(request: models_pb2.ChatRequest, member: bytes, headers: Mapping[str, str]) -> Options:
    """Sets the fields in `request`, and returns the options. Raises InvalidRequest."""
    for name, read in _HEADERS.items():
        if name in headers:
            read(request, headers[name])
    previews, route = _truth(PREVIEW, headers.get(PREVIEW, "")), headers.get(ROUTE, "")
    if member:
        options = _apply_member(request, member)
        previews, route = previews or options.preview, options.route or route
    if route not in ("", "translate", "forward"):
        raise InvalidRequest.field(ROUTE, "must be `translate` or `forward`")
    return Options(previews, route == "translate")


def _apply_member(request: models_pb2.ChatRequest, member: bytes) -> _Member:
    try:
        options = msgspec.json.decode(member, type=_Member)
        members = json_text.raw_members(member.decode())
    except (msgspec.MsgspecError, json_text.Malformed, UnicodeError) as error:
        raise InvalidRequest.field(MEMBER, f"must be an object of the platform's fields ({error})") from None
    fields = {name: value for name, value in members.items() if name not in ("preview", "route")}
    if unknown := fields.keys() - FIELDS:
        known = ", ".join(sorted(FIELDS))
        raise InvalidRequest.field(f"{MEMBER}.{min(unknown)}", f"is not one of {known}, preview, route")
    own = models_pb2.ChatRequest()
    try:
        json_format.Parse(msgspec.json.encode(fields), own)
    except (json_format.ParseError, RecursionError):
        raise InvalidRequest.field(MEMBER, "has a member of a wrong type; they are those of ChatRequest") from None
    # What header fields have set gives way; options of the body's own members are kept beside those given here.
    for name in fields.keys() - {"provider_options_json", "tags"}:
        request.ClearField(name)
    request.MergeFrom(own)
    return options


def _read_prompt(request: models_pb2.ChatRequest, value: str) -> None:
    name, _, selector = value.partition("@")
    request.prompt.name = name
    if selector.isascii() and selector.isdigit() and len(selector) < 10:
        request.prompt.version = int(selector)
    elif selector:
        request.prompt.label = selector


def _read_session(request: models_pb2.ChatRequest, value: str) -> None:
    request.session_id = value


def _read_request_id(request: models_pb2.ChatRequest, value: str) -> None:
    request.request_id = value


def _read_fallbacks(request: models_pb2.ChatRequest, value: str) -> None:
    request.fallback_models.extend(name.strip() for name in value.split(",") if name.strip())


def _read_tags(request: models_pb2.ChatRequest, value: str) -> None:
    for pair in value.split(","):
        name, sign, text = pair.strip().partition("=")
        if not sign:
            raise InvalidRequest.field("x-genai-tags", "must be pairs as in `team=search,job=nightly`")
        request.tags[name.strip()] = text.strip()


def _truth(name: str, value: str) -> bool:
    if value.lower() in ("", "false", "no", "0"):
        return False
    if value.lower() in ("true", "yes", "1"):
        return True
    raise InvalidRequest.field(name, "must be `true` or `false`")


_HEADERS: dict[str, Callable[[models_pb2.ChatRequest, str], None]] = {
    "x-genai-prompt": _read_prompt,
    "x-genai-session": _read_session,
    "x-genai-request-id": _read_request_id,
    "x-genai-fallback-models": _read_fallbacks,
    "x-genai-tags": _read_tags,
}
