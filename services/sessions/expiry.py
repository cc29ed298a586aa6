"""Expiry: deletes expired sessions in the background."""

from __future__ import annotations

import asyncio

from services.sessions.store import SessionStore
from services.shared.logs import Log

PURGE_SECONDS = 60.0


async def purge_expired_sessions(sessions: SessionStore, log: Log, interval_seconds: float = PURGE_SECONDS) -> None:
    """Deletes expired sessions at an interval, until cancelled. They have been invisible since they expired."""
    while True:
        try:
            while deleted := await sessions.purge_expired():
                log.info("expired sessions removed", count=deleted)
        except Exception as error:
            # They stay invisible, and the next round tries again; the service continues.
            log.error("expired sessions not removed", error=error)
        await asyncio.sleep(interval_seconds)
