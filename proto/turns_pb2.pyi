from typing import Any as _Any
import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from genai_platform.v1 import models_pb2 as _models_pb2
from genai_platform.v1 import sessions_pb2 as _sessions_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BeginTurnRequest(_message.Message):
    """Begins a turn."""
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
    """The session's id. Required."""
    user_id: str
    """The user that it must belong to. Empty: not checked."""
    turn_id: str
    """An unguessable id of the caller's choice. Required, at most 64 characters."""
    window: _models_pb2.WindowPolicy
    """The window of the history. Unset: all."""
    expected_next_sequence: int
    """Fails the call with ABORTED unless the session's next sequence is this one."""
    append_messages: int
    """The number of messages that the turn will append, with the answer."""
    append_bytes: int
    """The size of these messages in bytes, without the answer."""
    append_id: str
    """The `request_id` of that append, if a repetition of the turn will have the same. If the session has its messages
    already, because the process that appended them was killed before it could answer, no turn begins, and the response
    has nothing but `appended`. At most 64 characters."""
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., turn_id: _Optional[str] = ..., window: _Optional[_Union[_models_pb2.WindowPolicy, _Mapping[str, _Any]]] = ..., expected_next_sequence: _Optional[int] = ..., append_messages: _Optional[int] = ..., append_bytes: _Optional[int] = ..., append_id: _Optional[str] = ...) -> None: ...

class BeginTurnResponse(_message.Message):
    """A turn that has begun."""
    __slots__ = ("context", "lease", "user_id", "appended")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    APPENDED_FIELD_NUMBER: _ClassVar[int]
    context: _sessions_pb2.GetContextResponse
    """The history that it answers."""
    lease: _duration_pb2.Duration
    """The duration of the lease."""
    user_id: str
    """The session's user, which the turn's further calls must name to stay in this session."""
    appended: AppendedTurn
    """The earlier append with the same `append_id`. Unset: there is none, and the turn has begun."""
    def __init__(self, context: _Optional[_Union[_sessions_pb2.GetContextResponse, _Mapping[str, _Any]]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ..., user_id: _Optional[str] = ..., appended: _Optional[_Union[AppendedTurn, _Mapping[str, _Any]]] = ...) -> None: ...

class AppendedTurn(_message.Message):
    """A turn that was appended before."""
    __slots__ = ("answer", "next_sequence")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    answer: _models_pb2.ChatMessage
    """Its answer: the last message of the append."""
    next_sequence: int
    """The sequence that follows the answer's."""
    def __init__(self, answer: _Optional[_Union[_models_pb2.ChatMessage, _Mapping[str, _Any]]] = ..., next_sequence: _Optional[int] = ...) -> None: ...

class ExtendTurnRequest(_message.Message):
    """Extends a turn."""
    __slots__ = ("session_id", "turn_id", "user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session's id. Required."""
    turn_id: str
    """The turn's id. Required."""
    user_id: str
    """The user that the session must belong to. Empty: not checked."""
    def __init__(self, session_id: _Optional[str] = ..., turn_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class ExtendTurnResponse(_message.Message):
    """An extended turn."""
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: _duration_pb2.Duration
    """The duration of the new lease."""
    def __init__(self, lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ...) -> None: ...

class EndTurnRequest(_message.Message):
    """Ends a turn."""
    __slots__ = ("session_id", "turn_id", "user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session's id. Required."""
    turn_id: str
    """The turn's id. Required."""
    user_id: str
    """The user that the session must belong to. Empty: not checked."""
    def __init__(self, session_id: _Optional[str] = ..., turn_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class EndTurnResponse(_message.Message):
    """A turn that has ended."""
    __slots__ = ()
    def __init__(self) -> None: ...
