"""Validation of requests. Every function raises InvalidRequest, which names the field."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec
from google.protobuf.duration_pb2 import Duration

from proto.models_pb2 import ChatMessage, ContentPart, WindowPolicy
from services.shared.characters import INVISIBLE
from services.shared.durations import nanoseconds_of
from services.shared.errors import InvalidRequest
from services.shared.session_ids import session_id_problem

ROLES = ("system", "developer", "user", "assistant", "tool")

MAX_USER_ID = 256
MAX_TITLE = 512
MAX_METADATA = 64
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 1024
MAX_MESSAGES = 1000
MAX_PARTS = 2000
"""Limit for the parts of a message or of a tool result, and for the tool calls of a message; the same as in a chat."""
MAX_PARTS_IN_ALL = 22_000
"""Limit for the parts, calls and contents of results of one append: those of a chat and its answer."""
MAX_APPEND_BYTES = 30 * 1024 * 1024
"""Limit that is the same as for a context: more could be stored, but not sent to a model."""
MAX_REQUEST_ID = 64
MAX_TURN_ID = 64
MAX_KEY = 256
MAX_VALUE_BYTES = 256 * 1024
MAX_TTL_SECONDS = 100 * 366 * 24 * 3600


class ExpectingRequest(Protocol):
    """A request with an optional expected sequence."""

    expected_next_sequence: int

    def HasField(self, field_name: Literal["expected_next_sequence"], /) -> bool: ...


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def check_session_id(session_id: str) -> str:
    if not session_id:
        raise InvalidRequest.field("session_id", "is required")
    if problem := session_id_problem(session_id):
        raise InvalidRequest.field("session_id", problem)
    return session_id


def choose_session_id(session_id: str) -> str:
    """The caller's id, or a new one that cannot be guessed."""
    return check_session_id(session_id) if session_id else uuid.uuid4().hex


def check_user_id(user_id: str, required: bool = False) -> str:
    return check_text("user_id", user_id, MAX_USER_ID, required)


def check_text(field: str, text: str, limit: int, required: bool = False) -> str:
    if required and not text:
        raise InvalidRequest.field(field, "is required")
    if len(text) > limit:
        raise InvalidRequest.field(field, f"has {len(text)} characters; at most {limit} are allowed")
    if "\0" in text:
        raise InvalidRequest.field(field, "must not contain the character U+0000")
    return text


def check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    if len(metadata) > MAX_METADATA:
        raise InvalidRequest.field("metadata", f"has {len(metadata)} entries; at most {MAX_METADATA} are allowed")
    for key, value in metadata.items():
        check_text("metadata", key, MAX_METADATA_KEY, required=True)
        check_text(f"metadata[{INVISIBLE.sub('?', key)}]", value, MAX_METADATA_VALUE)
    return dict(metadata)


def read_lifetime(ttl: Duration) -> int:
    """The duration in microseconds, rounded up."""
    nanoseconds = nanoseconds_of(ttl)
    if nanoseconds is None:
        raise InvalidRequest.field("ttl", "is not a valid duration")
    if nanoseconds <= 0:
        raise InvalidRequest.field("ttl", "must be more than 0; leave it out for a session that never expires")
    if ttl.seconds > MAX_TTL_SECONDS:
        raise InvalidRequest.field("ttl", f"is at most {MAX_TTL_SECONDS} s; leave it out for one that never expires")
    return -(-nanoseconds // 1000)


def check_count(messages: Sequence[ChatMessage]) -> None:
    if not messages:
        raise InvalidRequest.field("messages", "is required")
    if len(messages) > MAX_MESSAGES:
        raise _too_many("messages", len(messages), MAX_MESSAGES)


def check_message(field: str, message: ChatMessage, allowed: int) -> int:
    """Checks a message with at most `allowed` parts and tool calls. Returns the number allowed after it."""
    if not message.role:
        raise InvalidRequest.field(f"{field}.role", "is required")
    if message.role not in ROLES:
        raise InvalidRequest.field(f"{field}.role", f"must be one of {', '.join(ROLES)}")
    if not message.parts and not message.tool_calls:
        return allowed
    if len(message.tool_calls) > MAX_PARTS:
        raise _too_many(f"{field}.tool_calls", len(message.tool_calls), MAX_PARTS)
    return _check_parts(f"{field}.parts", message.parts, allowed - len(message.tool_calls))


def _check_parts(field: str, parts: Sequence[ContentPart], allowed: int) -> int:
    if len(parts) > MAX_PARTS:
        raise _too_many(field, len(parts), MAX_PARTS)
    allowed -= len(parts)
    if allowed < 0:
        raise InvalidRequest.field("messages", f"have more than {MAX_PARTS_IN_ALL} parts and tool calls in all")
    for index, part in enumerate(parts):
        if part.HasField("tool_result"):
            allowed = _check_parts(f"{field}[{index}].tool_result.content", part.tool_result.content, allowed)
    return allowed


def check_append_size(size: int) -> None:
    """Checks the size of an append's messages, as far as they have been read."""
    if size > MAX_APPEND_BYTES:
        raise InvalidRequest.field("messages", f"have more than {MAX_APPEND_BYTES} bytes in all")


def _too_many(field: str, count: int, limit: int) -> InvalidRequest:
    return InvalidRequest.field(field, f"has {count} entries; at most {limit} are allowed")


def check_append_plan(messages: int, size: int) -> None:
    """Checks the append that a turn plans."""
    if messages < 0:
        raise InvalidRequest.field("append_messages", "must be 0 or more")
    if size < 0:
        raise InvalidRequest.field("append_bytes", "must be 0 or more")
    if messages > MAX_MESSAGES:
        raise _too_many("messages", messages, MAX_MESSAGES)
    check_append_size(size)


def check_sequence(field: str, sequence: int) -> int:
    if sequence < 1:
        raise InvalidRequest.field(field, "must be 1 or more: sequences begin with 1")
    return sequence


def read_expected_sequence(request: ExpectingRequest) -> int | None:
    """The next sequence that the request expects; None: any."""
    if not request.HasField("expected_next_sequence"):
        return None
    return check_sequence("expected_next_sequence", request.expected_next_sequence)


def check_window(window: WindowPolicy) -> None:
    if window.max_messages < 0:
        raise InvalidRequest.field("window.max_messages", "must be 0 or more")
    if window.max_tokens < 0:
        raise InvalidRequest.field("window.max_tokens", "must be 0 or more")


def check_json(field: str, text: str, limit: int) -> bytes:
    """Checks that a text is JSON, and returns its bytes."""
    if not text:
        raise InvalidRequest.field(field, "is required")
    data = text.encode()
    if len(data) > limit:
        raise InvalidRequest.field(field, f"has {len(data)} bytes; at most {limit} are allowed")
    try:
        # The value is stored unchanged, and so it is checked without decoding. Lone surrogates are valid JSON.
        msgspec.json.decode(_SURROGATE.sub(r"\\u0000", text), type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidRequest.field(field, "is not JSON") from None
    return data
