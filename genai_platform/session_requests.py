"""The requests of conversation calls, and the lines of exported files; the same for both clients."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.json_format import MessageToJson, Parse, ParseError

from genai_platform.building import build
from genai_platform.errors import InvalidRequest
from genai_platform.files import open_atomically
from genai_platform.requests import CONFIG_FIELDS, Messages, TurnFields, build_chat_request
from genai_platform.v1.models_pb2 import ChatMessage, ChatRequest
from genai_platform.v1.sessions_pb2 import CreateSessionRequest, Session, SessionMessage
from genai_platform.wrong_values import check_names

BATCH_MESSAGES = 200
BATCH_BYTES = 16 * 1024 * 1024


class TextWriter(Protocol):
    """A file opened for text."""

    def write(self, text: str, /) -> object: ...


class TextReader(Protocol):
    """A file opened for text."""

    def __iter__(self) -> Iterator[str]: ...


def build_creation(
    session_id: str | None,
    user_id: str | None,
    title: str | None,
    metadata: Mapping[str, str] | None,
    ttl: timedelta | float | None,
) -> CreateSessionRequest:
    """Builds a CreateSessionRequest; `ttl` is a timedelta or seconds."""
    return build(CreateSessionRequest, session_id=session_id, user_id=user_id, title=title, metadata=metadata, ttl=ttl)


def build_turn(
    session: Session,
    defaults: TurnFields,
    messages: Messages,
    system: str | None,
    request_id: str | None,
    fields: TurnFields,
) -> ChatRequest:
    """Builds the request of one turn; its own fields override the conversation's defaults."""
    if isinstance(messages, ChatRequest):
        raise TypeError("a turn is a text or a list of messages; send a ChatRequest with models.chat and session_id")
    given = {name: value for name, value in check_fields(fields).items() if value is not None}
    turn = {"session_id": session.session_id, "request_id": request_id, "system": system}
    request = build_chat_request(messages, {**_defaults_under(defaults, given), **given, **turn})
    if session.user_id and not request.session.user_id:
        request.session.user_id = session.user_id
    return request


def check_fields(fields: TurnFields) -> TurnFields:
    """The fields, checked. Raises TypeError for unknown keywords."""
    check_names("", fields, "a turn", tuple(TurnFields.__annotations__))
    return fields


def _defaults_under(defaults: TurnFields, given: Mapping[str, Any]) -> Mapping[str, Any]:
    # Keywords of ChatConfig override `config`, but a default must not override the turn's own `config`.
    return {name: value for name, value in defaults.items() if "config" not in given or name not in CONFIG_FIELDS}


# ------------------------------------------------------------------------------------------- exported files


def format_message(message: SessionMessage) -> str:
    """One line of JSON, in ASCII, so that no reader mistakes a character such as U+2028 for a line end."""
    return MessageToJson(message, preserving_proto_field_name=True, indent=None) + "\n"


@contextmanager
def open_target(target: str | os.PathLike[str] | TextWriter) -> Iterator[TextWriter]:
    """The file to write to. A path is replaced when the block ends without an error."""
    if not isinstance(target, str | os.PathLike):
        yield target
        return
    with open_atomically(Path(target)) as file:
        yield _Encoder(file)


class _Encoder:
    """A text writer over a binary file; it leaves line ends unchanged."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: str, /) -> object:
        return self._file.write(text.encode())


def read_batches(source: str | os.PathLike[str] | TextReader) -> list[list[ChatMessage]]:
    """The messages of an exported file, in batches that one call can append.

    Raises InvalidRequest EXPORT_INVALID naming the first line that is not the next message.
    """
    if isinstance(source, str | os.PathLike):
        with Path(source).open(encoding="utf-8", newline="\n") as file:
            return _batch(_read_messages(file))
    return _batch(_read_messages(source))


def _read_messages(lines: TextReader) -> Iterator[ChatMessage]:
    for number, line in enumerate(lines, start=1):
        message = SessionMessage()
        try:
            Parse(line, message)
        except (ParseError, UnicodeError):
            raise _invalid(number, "is no message in the form of an export") from None
        if message.sequence != number:
            raise _invalid(number, f"holds the message with sequence {message.sequence}: lines are missing or moved")
        yield message.message


def _invalid(number: int, problem: str) -> InvalidRequest:
    return InvalidRequest(f"nothing was restored: line {number} {problem}", reason="EXPORT_INVALID")


def _batch(messages: Iterator[ChatMessage]) -> list[list[ChatMessage]]:
    batches: list[list[ChatMessage]] = []
    room = 0
    for message in messages:
        room -= message.ByteSize()
        if not batches or room < 0 or len(batches[-1]) == BATCH_MESSAGES:
            batches.append([])
            room = BATCH_BYTES - message.ByteSize()
        batches[-1].append(message)
    return batches


def to_json(value: Any) -> str:
    """The JSON of a Python value. Raises TypeError or ValueError for a value that JSON cannot hold, such as NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
