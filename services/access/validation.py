"""The checks of the fields of records. Each raises InvalidRequest, naming the field."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from proto.access_pb2 import ApiKey, Binding, Project, Team, User
from proto.identity_pb2 import LimitRule
from services.shared.characters import has_invisible
from services.shared.errors import InvalidRequest

SCOPES = (
    "generate",
    "models.read",
    "models.write",
    "prompts.read",
    "prompts.write",
    "sessions",
    "usage.read",
    "content.read",
    "admin",
)
DEFAULT_SCOPES = ("generate", "models.read", "prompts.read", "sessions", "usage.read")

CERTIFICATE_ISSUER = "mtls"
"""The issuer that bindings of client certificates have, by whichever authority these are signed."""
CERTIFICATE_CLAIMS = ("uri", "dns", "cn")

ROLES = ("admin", "auditor", "member")

WINDOWS: Mapping[str, Sequence[str]] = {
    "requests": ("min", "hour", "day", "week", "month", "total"),
    "tokens": ("min", "hour", "day", "week", "month", "total"),
    "concurrent": ("",),
    "nano_usd": ("day", "week", "month", "total"),
}
"""The windows that a limit of each resource may have."""
RATE_WINDOWS = ("min", "hour")
SCOPE_KINDS = ("org", "team", "project", "key", "user", "end_user")
ACTIONS = ("refuse", "warn")

EACH = "*"
"""The scope id of a limit that counts each member of its scope by itself."""

MAX_AMOUNT = 2**60
MAX_NAME = 128
MAX_TEXT = 256
MAX_REASON = 1024
MAX_FILTER = 1024

# Identities travel with each call, in metadata that grpc bounds.
MAX_GLOBS = 64
MAX_GLOB_BYTES = 2048
MAX_LIMIT_BYTES = 128
MAX_TAGS = 16
MAX_TAG_BYTES = 2048

MAX_REQUIRED_TAGS = 8
"""Tags that a key or a project requires; those of both together fit into a request."""
MAX_REQUIRED_TAG_BYTES = 512

MAX_CIDRS = 16
MAX_SOFT_PERCENTS = 8

_ID = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_CAPTURE = re.compile(r"|off|errors|all|sample:(0?\.[0-9]{1,6}|1)")


def check_team(team: Team) -> None:
    _check_text("team.name", team.name, MAX_NAME)


def check_project(project: Project) -> None:
    _check_text("project.name", project.name, MAX_NAME)
    _check_globs("project.model_globs", project.model_globs)
    _check_required_tags("project.required_tags", project.required_tags)
    _check_capture("project.capture", project.capture)


def check_user(user: User) -> None:
    for name in ("issuer", "subject", "email"):
        _check_text(f"user.{name}", getattr(user, name), MAX_TEXT)
    _check_word("user.role", user.role, ROLES)


def check_key(key: ApiKey) -> None:
    _check_text("key.name", key.name, MAX_NAME, required=True)
    check_scopes("key.scopes", key.scopes)
    _check_globs("key.model_globs", key.model_globs)
    _check_tags("key.fixed_tags", key.fixed_tags)
    _check_required_tags("key.required_tags", key.required_tags)
    _check_capture("key.capture", key.capture)
    _check_cidrs("key.cidrs", key.cidrs)


def check_limit(limit: LimitRule) -> None:
    check_rule_id("limit.id", limit.id)
    _check_word("limit.scope_kind", limit.scope_kind, SCOPE_KINDS)
    _check_text("limit.scope_id", limit.scope_id, MAX_LIMIT_BYTES, required=limit.scope_kind != "org")
    _check_text("limit.model_glob", limit.model_glob, MAX_LIMIT_BYTES)
    for field in ("scope_id", "model_glob"):
        if _bytes(getattr(limit, field)) > MAX_LIMIT_BYTES:
            raise InvalidRequest.field(f"limit.{field}", f"must have at most {MAX_LIMIT_BYTES} bytes")
    _check_word("limit.resource", limit.resource, tuple(WINDOWS))
    _check_word("limit.window", limit.window, WINDOWS[limit.resource])
    _check_word("limit.action", limit.action, ACTIONS)
    if not 0 <= limit.amount <= MAX_AMOUNT:
        raise InvalidRequest.field("limit.amount", f"must be from 0 to {MAX_AMOUNT}")
    if not 0 <= limit.burst <= MAX_AMOUNT:
        raise InvalidRequest.field("limit.burst", f"must be from 1 to {MAX_AMOUNT}, or 0 for the amount")
    if limit.burst and limit.window not in RATE_WINDOWS:
        raise InvalidRequest.field("limit.burst", "is for limits per min or hour only")
    if len(limit.soft_percents) > MAX_SOFT_PERCENTS or not all(0 < percent <= 100 for percent in limit.soft_percents):
        raise InvalidRequest.field("limit.soft_percents", f"must be at most {MAX_SOFT_PERCENTS} of 1 to 100")


def check_binding(binding: Binding) -> None:
    check_rule_id("binding.id", binding.id)
    for name in ("issuer", "claim", "value"):
        _check_text(f"binding.{name}", getattr(binding, name), MAX_TEXT, required=True)
    if binding.issuer == CERTIFICATE_ISSUER:
        _check_word("binding.claim", binding.claim, CERTIFICATE_CLAIMS)
    check_scopes("binding.scopes", binding.scopes)


def check_id(field: str, value: str) -> None:
    if not _ID.fullmatch(value):
        problem = "must be 1 to 64 lower-case letters, digits and ._@+- and begin with a letter or digit"
        raise InvalidRequest.field(field, problem if value else f"is required; it {problem}")


def check_rule_id(field: str, value: str) -> None:
    if not _RULE_ID.fullmatch(value):
        raise InvalidRequest.field(
            field, "must be 1 to 32 letters, digits and ._- and begin with a letter or digit; leave it empty for a new"
        )


def check_reason(reason: str) -> None:
    _check_text("reason", reason, MAX_REASON)


def check_filters(filters: Mapping[str, str]) -> None:
    for field, value in filters.items():
        _check_text(field, value, MAX_FILTER)


def check_scopes(field: str, scopes: Sequence[str]) -> None:
    for place, scope in enumerate(scopes):
        _check_word(f"{field}[{place}]", scope, SCOPES)
        if scope in scopes[:place]:
            raise InvalidRequest.field(f"{field}[{place}]", f"{scope} is already named")
    if not scopes:
        raise InvalidRequest.field(field, f"must name at least one of {', '.join(SCOPES)}")


def apply_mask(stored: Message, given: Message, mask: FieldMask, changeable: Collection[str]) -> None:
    """Takes the fields that a mask names from the given record into the stored one."""
    if not mask.paths:
        raise InvalidRequest.field("update_mask", f"is required: one or more of {', '.join(changeable)}")
    for path in mask.paths:
        if path not in changeable:
            raise InvalidRequest.field("update_mask", f"{path[:64]!a} cannot be changed, only {', '.join(changeable)}")
    taken = type(given)()
    taken.CopyFrom(given)
    for field in taken.DESCRIPTOR.fields:
        if field.name in mask.paths:
            stored.ClearField(field.name)
        else:
            taken.ClearField(field.name)
    stored.MergeFrom(taken)


def _check_text(field: str, value: str, longest: int, *, required: bool = False, joiners: bool = True) -> None:
    if required and not value:
        raise InvalidRequest.field(field, "is required")
    if len(value) > longest:
        raise InvalidRequest.field(field, f"has {len(value)} characters and may have {longest}")
    if has_invisible(value, joiners=joiners):
        raise InvalidRequest.field(field, "must not contain control or invisible characters")


def _check_word(field: str, value: str, words: Sequence[str]) -> None:
    if value not in words:
        shown = [word or "empty" for word in words]
        raise InvalidRequest.field(field, f"must be {', '.join(shown[:-1])}{' or ' if shown[1:] else ''}{shown[-1]}")


def _check_globs(field: str, globs: Sequence[str]) -> None:
    if len(globs) > MAX_GLOBS or _bytes(*globs) > MAX_GLOB_BYTES:
        raise InvalidRequest.field(field, f"must be at most {MAX_GLOBS}, of {MAX_GLOB_BYTES} bytes together")
    for place, glob in enumerate(globs):
        _check_text(f"{field}[{place}]", glob, MAX_TEXT, required=True)
        if any(map(str.isspace, glob)):
            raise InvalidRequest.field(f"{field}[{place}]", "must not contain blanks")


def _check_capture(field: str, capture: str) -> None:
    if not _CAPTURE.fullmatch(capture):
        raise InvalidRequest.field(field, "must be off, errors, all, sample:SHARE such as sample:0.01, or empty")


def _check_tags(field: str, tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS or _bytes(*tags, *tags.values()) > MAX_TAG_BYTES:
        raise InvalidRequest.field(field, f"must be at most {MAX_TAGS}, of {MAX_TAG_BYTES} bytes together")
    for key, value in tags.items():
        _check_text(field, key, MAX_TEXT, required=True)
        _check_text(field, value, MAX_TEXT)


def _check_required_tags(field: str, names: Sequence[str]) -> None:
    if len(names) > MAX_REQUIRED_TAGS or _bytes(*names) > MAX_REQUIRED_TAG_BYTES:
        raise InvalidRequest.field(field, f"must be at most {MAX_REQUIRED_TAGS}, of {MAX_REQUIRED_TAG_BYTES} bytes")
    for place, name in enumerate(names):
        # As the tags of requests, which have no joiners either.
        _check_text(f"{field}[{place}]", name, MAX_TEXT, required=True, joiners=False)
        if name in names[:place]:
            raise InvalidRequest.field(f"{field}[{place}]", f"{name} is already named")


def _check_cidrs(field: str, cidrs: Sequence[str]) -> None:
    if len(cidrs) > MAX_CIDRS:
        raise InvalidRequest.field(field, f"must be at most {MAX_CIDRS}")
    for place, cidr in enumerate(cidrs):
        try:
            ipaddress.ip_network(cidr)
        except ValueError:
            raise InvalidRequest.field(
                f"{field}[{place}]", "must be a network such as 10.1.0.0/16 or 2001:db8::/32, without bits of a host"
            ) from None


def _bytes(*texts: str) -> int:
    return sum(len(text.encode()) for text in texts)
