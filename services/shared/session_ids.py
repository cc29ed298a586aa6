"""Ids of sessions, as both services accept them."""

from __future__ import annotations

import re

_SESSION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def session_id_problem(session_id: str) -> str | None:
    """The reason why a text is not a session's id, or None if it is one."""
    if _SESSION_ID.fullmatch(session_id):
        return None
    return "must be letters, digits and ._:- only, at most 128 of them"
