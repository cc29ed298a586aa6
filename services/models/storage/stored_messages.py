"""Stored messages: their JSON form, and the time as the contract writes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

Stored = TypeVar("Stored", bound=Message)


def to_json(message: Message) -> str:
    """The JSON in which a message is stored."""
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)


def from_json(text: str, message: Stored) -> Stored:
    """Fills `message` from stored JSON, without the fields that this program does not know."""
    return json_format.Parse(text, message, ignore_unknown_fields=True)


def now() -> str:
    """The current time as the contract writes times in strings: RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
