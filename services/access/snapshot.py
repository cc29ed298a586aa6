"""The snapshot: all keys with what they may do, in memory, from which every call is authenticated."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from proto.access_pb2 import ApiKey, Binding, Project, Team, User
from proto.identity_pb2 import CallerIdentity, LimitRule
from services.access.audit import changed_since, newest_seq
from services.access.globs import narrowed
from services.access.limits import RuleIndex
from services.access.records import BINDINGS, KEYS, LIMITS, PROJECTS, TEAMS, USERS, Records
from services.shared.database import Database
from services.shared.identity import Identity
from services.shared.logs import Log

CHECK_SECONDS = 5.0
"""Interval at which the database is asked whether the snapshot is still current, beside the news of changes."""

MAX_CHANGED = 500
"""Changed objects up to which those alone are read again."""

_KINDS = [records.kind for records in (TEAMS, PROJECTS, USERS, KEYS, LIMITS, BINDINGS)]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Entry:
    """A key in the snapshot."""

    __slots__ = (
        "_identity",
        "_networks",
        "_snapshot",
        "expires_at",
        "hash",
        "key",
        "previous_hash",
        "previous_until",
        "signed",
    )

    def __init__(self, snapshot: Snapshot, key: ApiKey, digest: bytes, previous: bytes | None) -> None:
        self._snapshot = snapshot
        self.key = key
        self.hash = digest
        self.previous_hash = previous or b""
        self.previous_until = key.previous_until.ToMicroseconds() / 1e6
        self.expires_at = key.expires_at.ToMicroseconds() / 1e6
        self._networks: Sequence[Network] = [ipaddress.ip_network(cidr) for cidr in key.cidrs]
        self.forget()

    def forget(self) -> None:
        """Drops what was derived from other objects than the key."""
        self._identity: Identity | None = None
        self.signed: tuple[float, bytes] = (0.0, b"")
        """The identity with its signature, and the time until which it is used again."""

    @property
    def identity(self) -> Identity:
        """The identity of its callers."""
        if self._identity is None:
            self._identity = Identity.of(self._snapshot.identity_of(self.key))
        return self._identity

    def blocked_by(self) -> str:
        """The disabled project, team or user of the key; "" if none is."""
        return self._snapshot.blocked_by(self.key.project_id, self.key.user_id)

    def accepts(self, address: str) -> bool:
        """Whether its networks allow a caller's IP address."""
        if not self._networks:
            return True
        try:
            host = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped:
            host = host.ipv4_mapped
        return any(host in network for network in self._networks)


class Snapshot:
    """The objects of the access database, up to the event `seq` of its audit log."""

    def __init__(self) -> None:
        self.seq = -1
        self.keys: dict[str, Entry] = {}
        self.bindings: dict[str, Binding] = {}
        self._teams: dict[str, Team] = {}
        self._projects: dict[str, Project] = {}
        self._users: dict[str, User] = {}
        self._limits: dict[str, LimitRule] = {}
        self._rules = RuleIndex(())
        self._subjects: dict[tuple[str, str], str] = {}

    def identity_of(self, key: ApiKey) -> CallerIdentity:
        identity = self.identity_in(key.project_id, key.user_id, key.id)
        identity.key_id = key.id
        identity.method = CallerIdentity.METHOD_API_KEY
        identity.scopes.extend(key.scopes)
        globs = narrowed(identity.model_globs, key.model_globs)
        del identity.model_globs[:]
        identity.model_globs.extend(globs)
        identity.capture = key.capture or identity.capture
        identity.tags.update(key.fixed_tags)
        identity.required_tags.extend(name for name in key.required_tags if name not in identity.required_tags)
        return identity

    def identity_in(self, project_id: str, user_id: str = "", key_id: str = "") -> CallerIdentity:
        """The part of an identity that all callers of a project share, without what a key or a token adds."""
        project = self._projects.get(project_id, Project(id=project_id))
        return CallerIdentity(
            team_id=project.team_id,
            project_id=project_id,
            user_id=user_id,
            model_globs=project.model_globs,
            limits=self._rules.of(key_id, project_id, project.team_id, user_id),
            capture=project.capture,
            required_tags=project.required_tags,
        )

    def user_with(self, issuer: str, subject: str) -> str:
        """The id of the user with a subject of an issuer, "" if there is none."""
        return self._subjects.get((issuer, subject), "")

    def blocked_by(self, project_id: str, user_id: str = "") -> str:
        """The disabled one of a project, its team and a user; "" if none is."""
        project = self._projects.get(project_id)
        if project is None or project.disabled:
            return f"project {project_id}"
        team = self._teams.get(project.team_id)
        if team is None or team.disabled:
            return f"team {project.team_id}"
        user = self._users.get(user_id) if user_id else None
        return f"user {user_id}" if user and user.disabled else ""

    async def update(self, connection: AsyncConnection) -> None:
        """Takes in what has changed, all of it at once."""
        newest = await newest_seq(connection)
        if newest == self.seq:
            return
        # Before the first time all is read, and where a database was replaced by an older one.
        changed = await changed_since(connection, self.seq, _KINDS) if 0 <= self.seq < newest else None
        if changed == {}:
            # Calls were recorded that change nothing here.
            self.seq = newest
            return
        if changed and sum(map(len, changed.values())) > MAX_CHANGED:
            changed = None
        fresh = [await _read(connection, records, changed) for records in (TEAMS, PROJECTS, USERS, LIMITS, BINDINGS)]
        key_ids = None if changed is None else changed.get("key", ())
        keys = {
            row.id: Entry(self, key, row.hash, row.previous_hash) async for row, key in KEYS.all(connection, key_ids)
        }
        for held, read in zip(self._held(), fresh, strict=True):
            for gone in held.keys() - read.found.keys() if read.asked is None else read.asked - read.found.keys():
                held.pop(gone, None)
            held.update(read.found)
        if key_ids is None:
            self.keys.clear()
        self.keys.update(keys)
        self._rules = RuleIndex(self._limits.values())
        self._subjects = {(user.issuer, user.subject): user.id for user in self._users.values() if user.subject}
        for entry in self.keys.values():
            entry.forget()
        self.seq = newest

    def _held(self) -> tuple[dict[str, Any], ...]:
        return self._teams, self._projects, self._users, self._limits, self.bindings


class _Read(NamedTuple):
    """The objects of one kind that were asked for, None for all, and those that were found."""

    asked: set[str] | None
    found: dict[str, Any]


async def _read(connection: AsyncConnection, records: Records[Any], changed: dict[str, set[str]] | None) -> _Read:
    asked = None if changed is None else changed.get(records.kind, set())
    if asked is not None and not asked:
        return _Read(set(), {})
    found = {row.id: record async for row, record in records.all(connection, asked)}
    return _Read(asked, found)


class SnapshotKeeper:
    """Keeps the snapshot up to date with the database, as long as that is there."""

    def __init__(self, database: Database, log: Log) -> None:
        self.snapshot = Snapshot()
        self._database = database
        self._log = log
        self._updating = asyncio.Lock()
        self._confirmed = -float("inf")
        self._is_current = False
        self._checking: asyncio.Task[NoReturn] | None = None

    @property
    def is_current(self) -> bool:
        """Whether the database was there when it was last asked."""
        return self._is_current and self._database.available

    def age_seconds(self) -> float:
        """The seconds since the snapshot was last known to be current; infinite before the first time."""
        return time.monotonic() - self._confirmed

    async def start(self) -> None:
        """Loads the snapshot, if the database is there, and follows its changes until `close`."""
        await self._database.watch(self.update)
        self._checking = asyncio.create_task(self._check())

    async def update(self) -> None:
        """Takes in what has changed. Raises PlatformError when the database is away."""
        started = time.monotonic()
        try:
            async with self._updating, self._database.read() as connection:
                await self.snapshot.update(connection)
        except Exception:
            self._is_current = False
            raise
        self._confirmed, self._is_current = started, True

    async def close(self) -> None:
        if self._checking:
            self._checking.cancel()
            await asyncio.wait({self._checking})

    async def _check(self) -> NoReturn:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            was_current = self._is_current
            try:
                await self.update()
            except Exception as error:
                # The next time may succeed; the snapshot stays as it is.
                if was_current:
                    self._log.warning("the access database cannot be read; keys stay as they were", error=error)
