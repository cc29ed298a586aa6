"""Owners: the project, and the user in it, that a session or a memory belongs to."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Table

from services.sessions.validation import check_user_id
from services.shared.call import Call
from services.shared.errors import NotFound


class Owner(NamedTuple):
    """An owner of sessions and memories. What another project has does not exist for it."""

    project_id: str
    """Empty for all callers where nobody is asked who calls."""
    user_id: str
    """Empty for sessions without a user. Where sessions are looked for: those of all users."""

    def owns(self, table: Table) -> ColumnElement[bool]:
        """The condition for rows that belong to exactly this owner."""
        return (table.c.project_id == self.project_id) & (table.c.user_id == self.user_id)

    def scope(self, kind: str, name: str) -> str:
        """The scope of writes to one of its entries."""
        return "/".join(filter(None, (kind, self.project_id, name)))


def read_owner(user_id: str, call: Call, *, required: bool = False) -> Owner:
    """The owner that a request means by its `user_id`. A key that belongs to a user means that one if it is empty.

    Raises InvalidRequest, and NotFound USER_NOT_FOUND for a user that is not the key's, whether or not that one exists.
    """
    own = call.identity.user_id if call.identity else ""
    user_id = check_user_id(user_id or own, required=required)
    if own and user_id != own:
        raise NotFound(
            "the key belongs to a user, and this is another one; leave user_id empty for its own",
            reason="USER_NOT_FOUND",
        )
    return Owner(call.project_id, user_id)
