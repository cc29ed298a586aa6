"""The requests of usage calls; the same for both clients."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypedDict, TypeVar, Unpack

from genai_platform.building import build
from genai_platform.v1.usage_pb2 import ExportUsageRequest, ListUsageRequest, UsageFilter
from genai_platform.wrong_values import check_names

SumsRequest = TypeVar("SumsRequest", ListUsageRequest, ExportUsageRequest)


class UsageFields(TypedDict, total=False):
    """The fields of a question for sums of usage, as keywords."""

    from_day: date | str | None
    """The first day, as `2026-11-30`; by default the first of the month of `to_day`."""
    to_day: date | str | None
    """The last day; by default today, in UTC."""
    group_by: Sequence[str] | None
    """The groups of the sums: `day`, `team`, `project`, `key`, `user`, `provider`, `model`, `tag`."""
    tag_key: str | None
    """The tag that `tag` groups by."""
    team_id: str | None
    """Only what this team has used."""
    project_id: str | None
    """Only what this project has used."""
    key_id: str | None
    """Only what this key has used."""
    user_id: str | None
    """Only what this user has used."""
    provider: str | None
    """Only calls of this provider."""
    model: str | None
    """Only calls of this model."""


def build_sums_request(request_type: type[SumsRequest], **fields: Unpack[UsageFields]) -> SumsRequest:
    """Builds a request for sums. Raises TypeError for unknown keywords."""
    check_names("", fields, "usage", tuple(UsageFields.__annotations__))
    given = {name: value for name, value in fields.items() if value is not None}
    days = {name: str(given.pop(name)) for name in ("from_day", "to_day") if name in given}
    chosen = {name: given.pop(name) for name in UsageFilter.DESCRIPTOR.fields_by_name if name in given}
    if chosen:
        given["filter"] = build(UsageFilter, **chosen)
    return build(request_type, **days, **given)
