"""Limits: the rules that the identities of callers carry."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from proto.access_pb2 import (
    ApiKey,
    DeleteLimitRequest,
    DeleteLimitResponse,
    ListLimitsRequest,
    ListLimitsResponse,
    SetLimitRequest,
)
from proto.identity_pb2 import LimitRule
from services.access.audit import Actor
from services.access.changes import Changes
from services.access.records import KEYS, LIMITS, PROJECTS, TEAMS, USERS, Records
from services.access.validation import EACH, check_limit
from services.shared.errors import PreconditionFailed

MAX_LIMITS = 16
"""Limits that an identity carries."""

_SCOPES: Mapping[str, Records[Any]] = {"team": TEAMS, "project": PROJECTS, "key": KEYS, "user": USERS}


class RuleIndex:
    """The limits by their scopes."""

    def __init__(self, rules: Iterable[LimitRule]) -> None:
        self._rules: dict[tuple[str, str], list[LimitRule]] = {}
        for rule in sorted(rules, key=lambda rule: rule.id):
            place = rule.scope_kind, "" if rule.scope_kind in ("org", "end_user") else rule.scope_id
            self._rules.setdefault(place, []).append(rule)

    def of(self, key_id: str, project_id: str, team_id: str, user_id: str) -> list[LimitRule]:
        """The limits that apply to a caller."""
        found = [*self._rules.get(("org", ""), ())]
        for kind, member in (("team", team_id), ("project", project_id), ("key", key_id), ("user", user_id)):
            if member:
                found += self._rules.get((kind, member), ())
                found += self._rules.get((kind, EACH), ())
        return found + self._rules.get(("end_user", ""), [])


class Limits:
    """The limits of all levels."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def set(self, request: SetLimitRequest, by: Actor) -> LimitRule:
        limit = LimitRule()
        limit.CopyFrom(request.limit)
        limit.id = limit.id or f"lim_{secrets.token_hex(6)}"
        limit.action = limit.action or "refuse"
        if limit.scope_kind == "org":
            limit.scope_id = ""
        check_limit(limit)
        async with self._changes.begin(by) as change:
            if limit.scope_kind in _SCOPES and limit.scope_id != EACH:
                await _SCOPES[limit.scope_kind].require(change.connection, limit.scope_id, "limit.scope_id")
            before = await LIMITS.find(change.connection, limit.id)
            await LIMITS.put(change.connection, limit)
            await refuse_too_many(change.connection)
            if before != limit:
                await change.record("set", "limit", limit.id, before, limit)
        return limit

    async def list(self, request: ListLimitsRequest) -> ListLimitsResponse:
        filters = {"scope_kind": request.scope_kind, "scope_id": request.scope_id}
        async with self._changes.database.read() as connection:
            page = await LIMITS.page(connection, request, filters)
        return ListLimitsResponse(limits=page.entries, next_page_token=page.next_page_token)

    async def delete(self, request: DeleteLimitRequest, by: Actor) -> DeleteLimitResponse:
        async with self._changes.begin(by) as change:
            before = await LIMITS.get(change.connection, request.limit_id)
            await LIMITS.delete(change.connection, before.id)
            await change.record("delete", "limit", before.id, before, None)
        return DeleteLimitResponse()


async def refuse_too_many(connection: AsyncConnection, new: ApiKey | None = None) -> None:
    """Raises PreconditionFailed LIMITS_TOO_MANY if more limits than an identity carries apply to a new key, or, without
    one, to any key that is not revoked."""
    index = RuleIndex([rule async for _, rule in LIMITS.all(connection)])
    teams = {project.id: project.team_id async for _, project in PROJECTS.all(connection)}
    keys = [new] if new else [key async for _, key in KEYS.all(connection) if key.state != ApiKey.STATE_REVOKED]
    for key in keys:
        count = len(index.of(key.id, key.project_id, teams[key.project_id], key.user_id))
        if count > MAX_LIMITS:
            raise PreconditionFailed(
                f"{count} limits would apply to the key {key.id} ({key.name}) of the project {key.project_id}, and at"
                f" most {MAX_LIMITS} may; delete some of them first",
                reason="LIMITS_TOO_MANY",
                metadata={"key_id": key.id, "limits": str(count)},
            )
