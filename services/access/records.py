"""Records: teams, projects, users, keys, limits and bindings as rows, and the statements that read and change them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Generic, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from sqlalchemy import Row, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from proto.access_pb2 import ApiKey, Binding, Project, Team, User
from proto.identity_pb2 import LimitRule
from services.access import tables
from services.access.validation import check_filters
from services.shared.errors import InvalidRequest, NotFound
from services.shared.page_tokens import PagedRequest, Text, read_page_size, read_page_token
from services.shared.paging import Page, cut_page

Record = TypeVar("Record", bound=Message)

USED = "last_used_at"
"""The column of keys that is written without their records."""

ROWS_AT_ONCE = 200
"""Rows that are read before other tasks can run."""


class Records(Generic[Record]):
    """The rows of one kind, by their ids."""

    def __init__(self, kind: str, table: Table, message: type[Record]) -> None:
        self.kind = kind
        self._table = table
        self._message = message
        # Columns that repeat a field of the record.
        self._fields = [name for name in message.DESCRIPTOR.fields_by_name if name in table.columns and name != USED]

    async def find(self, connection: AsyncConnection, record_id: str) -> Record | None:
        """The record with an id, if there is one."""
        if "\0" in record_id:
            # PostgreSQL refuses it.
            return None
        row = (await connection.execute(select(self._table).where(self._table.c.id == record_id))).first()
        return self._from_row(row) if row else None

    async def get(self, connection: AsyncConnection, record_id: str) -> Record:
        """The record with an id. Raises NotFound."""
        record = await self.find(connection, record_id)
        if record is None:
            raise NotFound(f"there is no {self.kind} {record_id!r}", reason=f"{self.kind.upper()}_NOT_FOUND")
        return record

    async def require(self, connection: AsyncConnection, record_id: str, field: str) -> Record:
        """The record that a field of a request names. Raises InvalidRequest for one that does not exist."""
        record = await self.find(connection, record_id)
        if record is None:
            raise InvalidRequest.field(field, f"there is no {self.kind} {record_id!r}; create it first")
        return record

    async def put(self, connection: AsyncConnection, record: Record, columns: Mapping[str, Any] | None = None) -> None:
        """Stores a record in the place of the one with its id, with these columns beside it."""
        values = {name: getattr(record, name) for name in self._fields}
        values |= {"record_json": to_json(record), **(columns or {})}
        changed = await connection.execute(update(self._table).where(self._table.c.id == values["id"]).values(values))
        if not changed.rowcount:
            await connection.execute(insert(self._table).values(values))

    async def delete(self, connection: AsyncConnection, record_id: str) -> None:
        await connection.execute(delete(self._table).where(self._table.c.id == record_id))

    async def value(self, connection: AsyncConnection, record_id: str, column: str) -> Any:
        """The value of a column beside a record."""
        return await connection.scalar(select(self._table.c[column]).where(self._table.c.id == record_id))

    async def page(
        self, connection: AsyncConnection, request: PagedRequest, filters: Mapping[str, str]
    ) -> Page[Record]:
        """A page of the records whose columns have these values; an empty value is no condition."""
        start = read_page_token(request, Text)
        check_filters(filters)
        conditions = [self._table.c[name] == value for name, value in filters.items() if value]
        if start is not None:
            conditions.append(self._table.c.id > start)
        query = select(self._table).where(*conditions).order_by(self._table.c.id).limit(read_page_size(request) + 1)
        rows = await connection.execute(query)
        return cut_page(((row.id, self._from_row(row)) for row in rows), request)

    async def all(
        self, connection: AsyncConnection, ids: Collection[str] | None = None
    ) -> AsyncIterator[tuple[Row[Any], Record]]:
        """The rows with these ids, or all, with the record of each."""
        query = select(self._table) if ids is None else select(self._table).where(self._table.c.id.in_(ids))
        for count, row in enumerate(await connection.execute(query), 1):
            yield row, self._from_row(row)
            if count % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _from_row(self, row: Row[Any]) -> Record:
        record = json_format.Parse(row.record_json, self._message(), ignore_unknown_fields=True)
        if isinstance(record, ApiKey) and row.last_used_at is not None:
            record.last_used_at.FromMicroseconds(row.last_used_at)
        return record


TEAMS = Records("team", tables.teams, Team)
PROJECTS = Records("project", tables.projects, Project)
USERS = Records("user", tables.users, User)
KEYS = Records("key", tables.api_keys, ApiKey)
LIMITS = Records("limit", tables.limit_rules, LimitRule)
BINDINGS = Records("binding", tables.bindings, Binding)


def to_json(record: Message | None) -> str:
    """A record as JSON in one line, empty for None."""
    if record is None:
        return ""
    return json_format.MessageToJson(record, indent=None, preserving_proto_field_name=True)
