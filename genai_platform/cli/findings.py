"""Findings of `genai doctor`."""

from __future__ import annotations

from typing import Literal, NamedTuple

from google.protobuf.struct_pb2 import Struct

Status = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """The result of one check, in a line."""

    check: str
    status: Status
    found: str
    advice: str = ""
    """The next thing to do; empty where there is none."""

    def record(self) -> Struct:
        """The finding as a record of the output."""
        record = Struct()
        record.update(self._asdict())
        return record


def shown(value: str) -> str:
    """A value without what may be a secret: a URL with a user or a query is not repeated."""
    return "set" if "@" in value or ("://" in value and "?" in value) else value
