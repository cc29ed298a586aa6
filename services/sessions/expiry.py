"""Removes, for good, the sessions that have expired."""

from __future__ import annotations

import asyncio

from services.sessions.store import SessionStore
from services.shared.logs import Log

PURGE_SECONDS = 60.0


async def purge_expired_sessions(sessions: SessionStore, log: Log, every_seconds: float = PURGE_SECONDS) -> None:
    """Removes them now and then, until it is cancelled. They have been invisible since they expired."""
    while True:
        try:
            while removed := await sessions.purge_expired():
                log.info("expired sessions removed", count=removed)
        except Exception as error:
            # They stay invisible, and the next round tries again; a service must not stop for that.
            log.error("expired sessions not removed", error=error)
        await asyncio.sleep(every_seconds)
