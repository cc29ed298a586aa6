"""Adoption of prompts that belong to no project."""

from __future__ import annotations

from sqlalchemy import delete, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.models.storage.tables import prompt_events, prompt_labels, prompt_versions
from services.shared.adoption import give_rows, refuse_conflicts


async def give_prompts(connection: AsyncConnection, project_id: str) -> str:
    """Gives the prompts of no project to one; for `adopt`. Services that run know of it after their next start."""
    await refuse_conflicts(connection, prompt_versions, ["name"], project_id)
    c = prompt_versions.c
    others = [column for column in c if column is not c.project_id]
    # Labels refer to versions: those of the project must be there before the labels, and the old ones until then.
    copies = select(literal(project_id), *others).where(c.project_id == "")
    await connection.execute(insert(prompt_versions).from_select([c.project_id, *others], copies))
    await give_rows(connection, prompt_labels, project_id)
    await give_rows(connection, prompt_events, project_id)
    given = await connection.execute(delete(prompt_versions).where(c.project_id == ""))
    return f"{given.rowcount} versions of prompts more"
