"""The audit of forwarded calls: those that change what all see, or read what others have said, are in the audit log.

An event is written before its call is sent on, because what cannot be recorded must not be done. It says that the call
was made; whether it succeeded is in the log, under the same request id.
"""

from __future__ import annotations

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError

from services.access.actors import actor_of
from services.access.audit import add_event
from services.shared.call import Call
from services.shared.database import Database
from services.shared.errors import PlatformError, Unavailable
from services.shared.intake import SMALL_BYTES

MAX_ID = 256

_ID_FIELDS = ("name", "call_id", "user_id", "session_id")
"""The fields of requests that say what a call is about, the most precise one first."""


class ForwardedAudit:
    """Writes the events of forwarded calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, method: MethodDescriptor, request: bytes, call: Call) -> None:
        """Writes the event of a call. Raises Unavailable AUDIT_UNAVAILABLE when it cannot."""
        kind, object_id = method.containing_service.name, _object_id(method, request)
        try:
            async with self._database.write() as connection:
                await add_event(connection, method.name, kind, object_id, None, None, actor_of(call))
        except PlatformError:
            raise Unavailable(
                "the call must be recorded in the audit log, which cannot be written now; try again",
                reason="AUDIT_UNAVAILABLE",
                retry_after=1.0,
            ) from None


def _object_id(method: MethodDescriptor, request: bytes) -> str:
    """The id of what a call is about; empty where it has none, or cannot be read, which its service refuses."""
    if len(request) > SMALL_BYTES:
        return ""
    try:
        message = message_factory.GetMessageClass(method.input_type).FromString(request)
    except DecodeError:
        return ""
    ids = (str(getattr(message, name)) for name in _ID_FIELDS if name in method.input_type.fields_by_name)
    return next((found for found in ids if found), "")[:MAX_ID]
