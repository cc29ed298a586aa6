"""Checks of requests for usage. All raise InvalidRequest, which names every wrong field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from proto import usage_pb2
from services.models.ledger.reports import GROUPS, UsageQuery
from services.models.ledger.reprice import RepriceQuery
from services.models.validation.fields import line_problem, raise_if_invalid, shorten
from services.shared.errors import FieldViolation

MAX_ID_LENGTH = 256
MAX_CALL_ID_LENGTH = 128

FORMATS = ("csv", "jsonl")

SumsRequest = usage_pb2.ListUsageRequest | usage_pb2.ExportUsageRequest


def read_query(request: SumsRequest, tag_keys: Sequence[str], today: date) -> UsageQuery:
    """The question of a request."""
    raise_if_invalid(_query_violations(request, tag_keys, today))
    to_day = _read_day(request.to_day) or today
    from_day = _read_day(request.from_day) or to_day.replace(day=1)
    filters = {field.name: value for field, value in request.filter.ListFields()}
    return UsageQuery(from_day, to_day, tuple(request.group_by), request.tag_key, filters)


def read_format(request: usage_pb2.ExportUsageRequest) -> str:
    """The format of an export."""
    if request.format and request.format not in FORMATS:
        raise_if_invalid([FieldViolation("format", f"must be {' or '.join(FORMATS)}")])
    return request.format or FORMATS[0]


def read_reprice_query(request: usage_pb2.RepriceUsageRequest, today: date) -> RepriceQuery:
    """The calls that a request is about."""
    raise_if_invalid(_reprice_violations(request, today))
    from_day = _read_day(request.from_day)
    assert from_day
    return RepriceQuery(from_day, _read_day(request.to_day) or today, request.model_glob)


def check_cancel(request: usage_pb2.CancelCallRequest) -> None:
    if not request.call_id:
        raise_if_invalid([FieldViolation("call_id", "is required")])
    if problem := line_problem(request.call_id, MAX_CALL_ID_LENGTH):
        raise_if_invalid([FieldViolation("call_id", problem)])


def _query_violations(request: SumsRequest, tag_keys: Sequence[str], today: date) -> Iterator[FieldViolation]:
    yield from _day_violations(request, today)
    yield from _group_violations(request, tag_keys)
    for field, value in request.filter.ListFields():
        if problem := line_problem(value, MAX_ID_LENGTH):
            yield FieldViolation(f"filter.{field.name}", problem)


def _reprice_violations(request: usage_pb2.RepriceUsageRequest, today: date) -> Iterator[FieldViolation]:
    if not request.from_day:
        yield FieldViolation("from_day", "is required")
    yield from _day_violations(request, today)
    if problem := line_problem(request.model_glob, MAX_ID_LENGTH):
        yield FieldViolation("model_glob", problem)


def _day_violations(request: SumsRequest | usage_pb2.RepriceUsageRequest, today: date) -> Iterator[FieldViolation]:
    for name in ("from_day", "to_day"):
        if getattr(request, name) and not _read_day(getattr(request, name)):
            yield FieldViolation(name, "is no day; write it as 2026-11-30")
    to_day = _read_day(request.to_day) or today
    if request.from_day and (from_day := _read_day(request.from_day)) and from_day > to_day:
        yield FieldViolation("from_day", f"is after the last day, {to_day}")


def _group_violations(request: SumsRequest, tag_keys: Sequence[str]) -> Iterator[FieldViolation]:
    for place, group in enumerate(request.group_by):
        if group not in GROUPS:
            yield FieldViolation(f"group_by[{place}]", f"`{shorten(group)}` is none of {', '.join(GROUPS)}")
            return
        if group in request.group_by[:place]:
            yield FieldViolation(f"group_by[{place}]", f"names `{group}` again")
            return
    if "tag" in request.group_by and not request.tag_key:
        yield FieldViolation("tag_key", "is required to group by `tag`")
    if request.tag_key and request.tag_key not in tag_keys:
        counted = f"those are {', '.join(tag_keys)}" if tag_keys else "there are none"
        yield FieldViolation("tag_key", f"is none of the tags that the operator lets be counted; {counted}")


def _read_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == len("2026-11-30") else None
    except ValueError:
        return None
