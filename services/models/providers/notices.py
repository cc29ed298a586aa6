"""Notices: warnings to the caller of a request that could not be sent as given."""

from __future__ import annotations

from proto import models_pb2

Notices = list[models_pb2.Notice]


def notice(code: str, field: str, message: str) -> models_pb2.Notice:
    """A notice about `field`, the path in the caller's request."""
    return models_pb2.Notice(code=code, field=field, message=message)


def dropped(field: str, message: str) -> models_pb2.Notice:
    """A notice that `field` was not sent. STRICT refuses it; see `requests.policy`."""
    return notice("PARAMETER_DROPPED", field, message)


def changed(field: str, message: str) -> models_pb2.Notice:
    """A notice that `field` was sent in another form. STRICT refuses it."""
    return notice("PARAMETER_CHANGED", field, message)


def schema_changed(field: str, message: str) -> models_pb2.Notice:
    """A notice that the schema in `field` was sent in another form. STRICT refuses it."""
    return notice("SCHEMA_CHANGED", field, message)
