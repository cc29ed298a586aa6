"""Adoption of sessions and memories that belong to no project."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.sessions.tables import memories, sessions
from services.shared.adoption import give_rows, refuse_conflicts


async def give_sessions(connection: AsyncConnection, project_id: str) -> str:
    """Gives the sessions and memories of no project to one; for `adopt`."""
    await refuse_conflicts(connection, sessions, ["session_id", "user_id"], project_id)
    await refuse_conflicts(connection, memories, ["key", "user_id"], project_id)
    given = await give_rows(connection, sessions, project_id)
    return f"{given} sessions and {await give_rows(connection, memories, project_id)} memories more"
