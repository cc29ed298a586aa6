import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from proto import models_pb2 as _models_pb2
from proto import sessions_pb2 as _sessions_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BeginTurnRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "turn_id", "window", "expected_next_sequence", "append_messages", "append_bytes", "append_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    APPEND_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    APPEND_BYTES_FIELD_NUMBER: _ClassVar[int]
    APPEND_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    turn_id: str
    window: _models_pb2.WindowPolicy
    expected_next_sequence: int
    append_messages: int
    append_bytes: int
    append_id: str
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., turn_id: _Optional[str] = ..., window: _Optional[_Union[_models_pb2.WindowPolicy, _Mapping]] = ..., expected_next_sequence: _Optional[int] = ..., append_messages: _Optional[int] = ..., append_bytes: _Optional[int] = ..., append_id: _Optional[str] = ...) -> None: ...

class BeginTurnResponse(_message.Message):
    __slots__ = ("context", "lease", "user_id", "appended")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    APPENDED_FIELD_NUMBER: _ClassVar[int]
    context: _sessions_pb2.GetContextResponse
    lease: _duration_pb2.Duration
    user_id: str
    appended: AppendedTurn
    def __init__(self, context: _Optional[_Union[_sessions_pb2.GetContextResponse, _Mapping]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., user_id: _Optional[str] = ..., appended: _Optional[_Union[AppendedTurn, _Mapping]] = ...) -> None: ...

class AppendedTurn(_message.Message):
    __slots__ = ("answer", "next_sequence")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    answer: _models_pb2.ChatMessage
    next_sequence: int
    def __init__(self, answer: _Optional[_Union[_models_pb2.ChatMessage, _Mapping]] = ..., next_sequence: _Optional[int] = ...) -> None: ...

class ExtendTurnRequest(_message.Message):
    __slots__ = ("session_id", "turn_id", "user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    turn_id: str
    user_id: str
    def __init__(self, session_id: _Optional[str] = ..., turn_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class ExtendTurnResponse(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: _duration_pb2.Duration
    def __init__(self, lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class EndTurnRequest(_message.Message):
    __slots__ = ("session_id", "turn_id", "user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    turn_id: str
    user_id: str
    def __init__(self, session_id: _Optional[str] = ..., turn_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class EndTurnResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
