"""The surplus of kept answers: those that have expired, and the oldest ones beyond the bounds.

The oldest give way, because a repetition comes within minutes of its call nearly always; to refuse new calls instead
would be an outage. A caller beyond its own bounds loses its own answers only.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from services.models.calls.tables import kept_answers

CALLER_ANSWERS = 100_000
CALLER_BYTES = 1024**3
"""Bounds for the answers of one caller, from all replicas."""

ALL_ANSWERS = 400_000
ALL_BYTES = 4 * 1024**3
"""Bounds for the answers of all callers."""


def surplus(clock: ColumnElement[float]) -> Select[tuple[str, str, float]]:
    """A query for the keys of the surplus, and the times that they expire at."""
    c = kept_answers.c
    newest_first = c.expires_at.desc()
    places = select(
        c.scope,
        c.request_id,
        c.expires_at,
        c.size,
        func.row_number().over(partition_by=c.scope, order_by=newest_first).label("caller_answers"),
        func.sum(c.size).over(partition_by=c.scope, order_by=newest_first, rows=(None, 0)).label("caller_bytes"),
        func.row_number().over(order_by=newest_first).label("all_answers"),
        func.sum(c.size).over(order_by=newest_first, rows=(None, 0)).label("all_bytes"),
    ).subquery()
    p = places.c
    is_kept_beyond = and_(
        p.size > 0,
        or_(
            p.caller_answers > CALLER_ANSWERS,
            p.caller_bytes > CALLER_BYTES,
            p.all_answers > ALL_ANSWERS,
            p.all_bytes > ALL_BYTES,
        ),
    )
    return select(p.scope, p.request_id, p.expires_at).where(or_(p.expires_at <= clock, is_kept_beyond))
