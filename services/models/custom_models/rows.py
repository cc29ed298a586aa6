"""The rows of registered models: how the database holds them, and the statements that read and change them."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto.models_pb2 import RegisteredModel
from services.models.storage.stored_messages import from_json, now, to_json
from services.models.storage.tables import registered_model_names, registered_models
from services.shared.database import Database
from services.shared.errors import AlreadyExists

ROWS_AT_ONCE = 1000
"""Rows that are read before other tasks can run."""


class Row(NamedTuple):
    """A registration as the database holds it."""

    name: str
    definition_json: str
    registered_at: str
    untrusted: bool

    @classmethod
    def of(cls, model: RegisteredModel) -> Row:
        """A new row, registered now."""
        return cls(model.name, to_json(model), now(), model.untrusted)

    def model(self) -> RegisteredModel:
        model = from_json(self.definition_json, RegisteredModel())
        if not model.endpoints:
            # Stored before a model could have several.
            model.endpoints.append(model.endpoint)
        model.registered_at = self.registered_at
        model.untrusted = self.untrusted
        return model

    def equals(self, definition: RegisteredModel) -> bool:
        """Whether a registration equals this row. One by the operator differs from a stranger's, and replaces it."""
        if self.untrusted and not definition.untrusted:
            return False
        before, after = self.model(), RegisteredModel()
        after.CopyFrom(definition)
        for model in (before, after):
            model.ClearField("registered_at")
            model.ClearField("untrusted")
        return before == after


_SELECT = select(*(registered_models.c[field] for field in Row._fields))


async def read_rows(database: Database) -> dict[str, Row]:
    """All rows, by their names."""
    async with database.read() as connection:
        found = await connection.execute(_SELECT)
    rows: dict[str, Row] = {}
    for count, row in enumerate(found, 1):
        rows[row.name] = Row(*row)
        if count % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return rows


async def read_row(connection: AsyncConnection, name: str) -> Row | None:
    row = (await connection.execute(_SELECT.where(registered_models.c.name == name))).first()
    return Row(*row) if row else None


async def replace_row(connection: AsyncConnection, row: Row, model: RegisteredModel) -> None:
    """Replaces the row of a model, and its names."""
    names = [{"name": name, "model": row.name} for name in (row.name, *model.aliases)]
    await delete_row(connection, row.name)
    await connection.execute(insert(registered_models).values(row._asdict()))
    await connection.execute(insert(registered_model_names), names)


async def delete_row(connection: AsyncConnection, name: str) -> bool:
    """Deletes the row of a model. Returns whether there was one."""
    result = await connection.execute(delete(registered_models).where(registered_models.c.name == name))
    return result.rowcount > 0


async def refuse_taken_names(connection: AsyncConnection, model: RegisteredModel) -> None:
    """Raises AlreadyExists when the name or an alias of `model` leads to another one."""
    names = registered_model_names
    query = select(names).where(names.c.name.in_([model.name, *model.aliases]), names.c.model != model.name)
    taken = (await connection.execute(query.order_by(names.c.name))).first()
    if taken:
        raise AlreadyExists(
            f"{taken.name} already leads to the registered model {taken.model}; choose another name, or deregister it",
            reason="ALIAS_TAKEN",
            metadata={"alias": taken.name, "model": taken.model},
        )
