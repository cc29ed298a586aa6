from typing import Any as _Any
import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from genai_platform.v1 import models_pb2 as _models_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetContentRequest(_message.Message):
    """A request for the content of a call."""
    __slots__ = ("call_id",)
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    """The id of the call, as in the ledger and the log."""
    def __init__(self, call_id: _Optional[str] = ...) -> None: ...

class GetContentResponse(_message.Message):
    """The content of a call."""
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedCompositeFieldContainer[CapturedText]
    """The request, and the answer if there was a whole one."""
    def __init__(self, texts: _Optional[_Iterable[_Union[CapturedText, _Mapping[str, _Any]]]] = ...) -> None: ...

class CapturedText(_message.Message):
    """The text of one side of a call."""
    __slots__ = ("direction", "model", "captured_at", "text", "characters", "redactions")
    class RedactionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    REDACTIONS_FIELD_NUMBER: _ClassVar[int]
    direction: str
    """`request` or `answer`."""
    model: str
    """The model that was asked."""
    captured_at: _timestamp_pb2.Timestamp
    """The time at which it was captured."""
    text: str
    """The text; of a long conversation the end, of a long answer the beginning."""
    characters: int
    """The characters of the whole text; more than `text` has if it was cut."""
    redactions: _containers.ScalarMap[str, int]
    """How much of each kind was taken out: `secrets`, `card`, `email`, `phone`."""
    def __init__(self, direction: _Optional[str] = ..., model: _Optional[str] = ..., captured_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., text: _Optional[str] = ..., characters: _Optional[int] = ..., redactions: _Optional[_Mapping[str, int]] = ...) -> None: ...
