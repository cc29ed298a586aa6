"""API keys: created, changed, disabled, revoked and rotated."""

from __future__ import annotations

import time
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from proto.access_pb2 import (
    ApiKey,
    CreateKeyRequest,
    CreateKeyResponse,
    DisableKeyRequest,
    EnableKeyRequest,
    GetKeyRequest,
    ListKeysRequest,
    ListKeysResponse,
    RevokeKeyRequest,
    RotateKeyRequest,
    RotateKeyResponse,
    UpdateKeyRequest,
)
from services.access.audit import Actor
from services.access.changes import Change, Changes
from services.access.globs import uncovered
from services.access.key_text import make_id, make_key
from services.access.limits import refuse_too_many
from services.access.records import KEYS, PROJECTS, USERS
from services.access.validation import DEFAULT_SCOPES, apply_mask, check_key
from services.shared.durations import nanoseconds_of
from services.shared.errors import InvalidRequest, PreconditionFailed

DAY_SECONDS = 24 * 3600.0
DEFAULT_DAYS = 90
DEFAULT_GRACE_SECONDS = DAY_SECONDS
MAX_GRACE_SECONDS = 30 * DAY_SECONDS

CHANGEABLE = ("name", "scopes", "model_globs", "fixed_tags", "required_tags", "capture", "cidrs", "expires_at")

ACTIVE, DISABLED, REVOKED = ApiKey.STATE_ACTIVE, ApiKey.STATE_DISABLED, ApiKey.STATE_REVOKED


class Keys:
    """The API keys."""

    def __init__(self, changes: Changes, max_days: int) -> None:
        self._changes = changes
        self._max_seconds = max_days * DAY_SECONDS

    async def create(self, request: CreateKeyRequest, by: Actor) -> CreateKeyResponse:
        key = self._new(request.key, by)
        check_key(key)
        made = make_key(key.id)
        async with self._changes.begin(by) as change:
            await _check_project(change, key)
            if key.user_id:
                await USERS.require(change.connection, key.user_id, "key.user_id")
            await refuse_too_many(change.connection, key)
            await KEYS.put(change.connection, key, {"hash": made.hash})
            await change.record("create", "key", key.id, None, key)
        return CreateKeyResponse(key=key, secret=made.text)

    async def get(self, request: GetKeyRequest) -> ApiKey:
        async with self._changes.database.read() as connection:
            return await KEYS.get(connection, request.key_id)

    async def list(self, request: ListKeysRequest) -> ListKeysResponse:
        filters = {"project_id": request.project_id, "user_id": request.user_id}
        async with self._changes.database.read() as connection:
            page = await KEYS.page(connection, request, filters)
        return ListKeysResponse(keys=page.entries, next_page_token=page.next_page_token)

    async def update(self, request: UpdateKeyRequest, by: Actor) -> ApiKey:
        async with self._changes.begin(by) as change:
            before, after = await _read(change, request.key.id)
            apply_mask(after, request.key, request.update_mask, CHANGEABLE)
            check_key(after)
            if "expires_at" in request.update_mask.paths:
                self._check_expiry(after.expires_at)
            if "model_globs" in request.update_mask.paths:
                await _check_project(change, after)
            await _store(change, "update", before, after)
        return after

    async def disable(self, request: DisableKeyRequest, by: Actor) -> ApiKey:
        return await self._set_state("disable", request.key_id, DISABLED, by)

    async def enable(self, request: EnableKeyRequest, by: Actor) -> ApiKey:
        return await self._set_state("enable", request.key_id, ACTIVE, by)

    async def revoke(self, request: RevokeKeyRequest, by: Actor) -> ApiKey:
        return await self._set_state("revoke", request.key_id, REVOKED, by)

    async def rotate(self, request: RotateKeyRequest, by: Actor) -> RotateKeyResponse:
        grace = _read_grace(request)
        made = make_key(request.key_id)
        async with self._changes.begin(by) as change:
            before, after = await _read(change, request.key_id)
            _renew(after, grace, self._max_seconds)
            previous = await KEYS.value(change.connection, after.id, "hash")
            await KEYS.put(change.connection, after, {"hash": made.hash, "previous_hash": previous})
            await change.record("rotate", "key", after.id, before, after)
        return RotateKeyResponse(key=after, secret=made.text)

    async def _set_state(self, action: str, key_id: str, state: ApiKey.State, by: Actor) -> ApiKey:
        async with self._changes.begin(by) as change:
            before, after = await _read(change, key_id, revoked_too=state == REVOKED)
            after.state = state
            await _store(change, action, before, after)
        return after

    def _new(self, given: ApiKey, by: Actor) -> ApiKey:
        key = ApiKey()
        key.CopyFrom(given)
        for field in ("previous_until", "last_used_at"):
            key.ClearField(field)
        key.id, key.state = make_id(), ACTIVE
        key.created_by = by.id if by.kind != "cli" else f"cli {by.id}"
        key.created_at.GetCurrentTime()
        key.issued_at.CopyFrom(key.created_at)
        if not key.scopes:
            key.scopes.extend(DEFAULT_SCOPES)
        if not key.HasField("expires_at"):
            _set_time(key.expires_at, time.time() + min(DEFAULT_DAYS * DAY_SECONDS, self._max_seconds))
        self._check_expiry(key.expires_at)
        return key

    def _check_expiry(self, expires_at: Timestamp) -> None:
        left = _seconds(expires_at) - time.time()
        # An invalid one could not be stored.
        if left <= 0 or not 0 <= expires_at.nanos < 1_000_000_000:
            raise InvalidRequest.field("key.expires_at", "must be in the future")
        # Callers count the days from a moment ago.
        if left > self._max_seconds + 60:
            days = self._max_seconds / DAY_SECONDS
            raise InvalidRequest.field("key.expires_at", f"must be within {days:g} days (ACCESS_MAX_KEY_DAYS)")


def _read_grace(request: RotateKeyRequest) -> float:
    if not request.HasField("grace"):
        return DEFAULT_GRACE_SECONDS
    nanoseconds = nanoseconds_of(request.grace)
    if nanoseconds is None or not 0 <= nanoseconds <= MAX_GRACE_SECONDS * 1e9:
        raise InvalidRequest.field("grace", "must be from 0 to 30 days")
    return nanoseconds / 1e9


class _Versions(NamedTuple):
    before: ApiKey
    after: ApiKey


async def _read(change: Change, key_id: str, *, revoked_too: bool = False) -> _Versions:
    """A key, twice, the second time to be changed. Raises NotFound, and PreconditionFailed for a revoked one."""
    before, after = await KEYS.get(change.connection, key_id), ApiKey()
    if before.state == REVOKED and not revoked_too:
        raise PreconditionFailed(
            f"the key {key_id} is revoked for good; create another", reason="KEY_REVOKED", metadata={"key_id": key_id}
        )
    after.CopyFrom(before)
    return _Versions(before, after)


async def _store(change: Change, action: str, before: ApiKey, after: ApiKey) -> None:
    if before != after:
        await KEYS.put(change.connection, after)
        await change.record(action, "key", after.id, before, after)


async def _check_project(change: Change, key: ApiKey) -> None:
    project = await PROJECTS.require(change.connection, key.project_id, "key.project_id")
    for glob in uncovered(project.model_globs, key.model_globs):
        place = list(key.model_globs).index(glob)
        allowed = ", ".join(project.model_globs[:10])
        raise InvalidRequest.field(f"key.model_globs[{place}]", f"is not within those of the project: {allowed}")


def _renew(key: ApiKey, grace: float, max_seconds: float) -> None:
    """Dates a new secret: it is valid for as long as the old one was."""
    now, old_end = time.time(), _seconds(key.expires_at)
    lifetime = min(old_end - _seconds(key.issued_at), max_seconds)
    _set_time(key.previous_until, min(now + grace, old_end))
    _set_time(key.issued_at, now)
    _set_time(key.expires_at, now + lifetime)


def _seconds(moment: Timestamp) -> float:
    # Its own conversions raise for one that is not valid.
    return moment.seconds + moment.nanos / 1e9


def _set_time(moment: Timestamp, seconds: float) -> None:
    moment.FromMicroseconds(int(seconds * 1e6))
