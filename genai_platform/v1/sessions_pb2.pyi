from typing import Any as _Any
import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from genai_platform.v1 import models_pb2 as _models_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Session(_message.Message):
    """A session, which is a conversation."""
    __slots__ = ("session_id", "user_id", "title", "metadata", "create_time", "update_time", "expire_time", "message_count", "next_sequence")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session's id."""
    user_id: str
    """The user that it belongs to; empty if it was created without one."""
    title: str
    """A title for people."""
    metadata: _containers.ScalarMap[str, str]
    """The caller's own labels."""
    create_time: _timestamp_pb2.Timestamp
    """The time at which it was created."""
    update_time: _timestamp_pb2.Timestamp
    """The time of the last write."""
    expire_time: _timestamp_pb2.Timestamp
    """The time at which it expires; unset if it does not."""
    message_count: int
    """The number of its messages."""
    next_sequence: int
    """The sequence that the next message will get."""
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., title: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., message_count: _Optional[int] = ..., next_sequence: _Optional[int] = ...) -> None: ...

class SessionMessage(_message.Message):
    """A message of a session."""
    __slots__ = ("sequence", "message", "create_time")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    """Its position in the session, from 1, without gaps."""
    message: _models_pb2.ChatMessage
    """The message."""
    create_time: _timestamp_pb2.Timestamp
    """The time at which it was appended."""
    def __init__(self, sequence: _Optional[int] = ..., message: _Optional[_Union[_models_pb2.ChatMessage, _Mapping[str, _Any]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    """Creates a session."""
    __slots__ = ("session_id", "user_id", "title", "metadata", "ttl")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """An id of the caller's choice, unique for the user: letters, digits and `._:-`, at most 128. Empty: an id is
    generated."""
    user_id: str
    """The user that it belongs to. At most 256 characters."""
    title: str
    """A title for people. At most 512 characters."""
    metadata: _containers.ScalarMap[str, str]
    """The caller's own labels. At most 64, keys of at most 64 and values of at most 1024 characters."""
    ttl: _duration_pb2.Duration
    """The time to live after the last write. Unset: unlimited."""
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., title: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    """Requests a session."""
    __slots__ = ("session_id", "user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session's id. Required."""
    user_id: str
    """The user that it must belong to. Empty, here and in every request that names a session: not checked. If several
    users have a session of this id, it is then the one without a user; if there is none, INVALID_ARGUMENT
    SESSION_AMBIGUOUS."""
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    """Requests a page of sessions."""
    __slots__ = ("page_size", "page_token", "user_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The page size."""
    page_token: str
    """The page token."""
    user_id: str
    """Only sessions of this user. Empty: all of the project."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    """A page of sessions."""
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    """The sessions, the most recently used first."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    """Deletes a session."""
    __slots__ = ("session_id", "user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session's id. Required."""
    user_id: str
    """The user that it must belong to. Empty: not checked."""
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    """The result of deleting a session."""
    __slots__ = ()
    def __init__(self) -> None: ...

class AppendMessagesRequest(_message.Message):
    """Appends messages."""
    __slots__ = ("session_id", "user_id", "messages", "request_id", "expected_next_sequence", "turn_id", "omit_messages")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    OMIT_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session's id. Required."""
    user_id: str
    """The user that it must belong to. Empty: not checked."""
    messages: _containers.RepeatedCompositeFieldContainer[_models_pb2.ChatMessage]
    """The messages, in order. Required, at most 1000, with at most 30 MiB and 22,000 parts and tool calls together; at
    most 2000 of each in one message, and 2000 parts in a tool result."""
    request_id: str
    """Makes the call idempotent: a repeated id appends nothing, and returns the first result. At most 64 characters. A
    session remembers at least the newest 1000."""
    expected_next_sequence: int
    """Fails the call with ABORTED unless the session's next sequence is this one."""
    turn_id: str
    """The turn to which these messages belong, and which they end; see turns.proto. Fails the call with ABORTED unless
    it is still the session's turn. Empty: they belong to no turn."""
    omit_messages: bool
    """True to leave the messages out of the response, because the caller has them."""
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_models_pb2.ChatMessage, _Mapping[str, _Any]]]] = ..., request_id: _Optional[str] = ..., expected_next_sequence: _Optional[int] = ..., turn_id: _Optional[str] = ..., omit_messages: _Optional[bool] = ...) -> None: ...

class AppendMessagesResponse(_message.Message):
    """The result of an append."""
    __slots__ = ("messages", "next_sequence", "duplicate")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[SessionMessage]
    """The messages with their sequences, unless `omit_messages`."""
    next_sequence: int
    """The sequence that the next message will get."""
    duplicate: bool
    """True if `request_id` was used before, and nothing was appended this time."""
    def __init__(self, messages: _Optional[_Iterable[_Union[SessionMessage, _Mapping[str, _Any]]]] = ..., next_sequence: _Optional[int] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    """Requests a page of messages."""
    __slots__ = ("session_id", "user_id", "page_size", "page_token", "descending")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session's id. Required."""
    user_id: str
    """The user that it must belong to. Empty: not checked."""
    page_size: int
    """The page size."""
    page_token: str
    """The page token."""
    descending: bool
    """True to list the newest first."""
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., descending: _Optional[bool] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    """A page of messages."""
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[SessionMessage]
    """The messages."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    def __init__(self, messages: _Optional[_Iterable[_Union[SessionMessage, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetContextRequest(_message.Message):
    """Requests the window of the history that is sent to a model."""
    __slots__ = ("session_id", "user_id", "window", "expected_next_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session's id. Required."""
    user_id: str
    """The user that it must belong to. Empty: not checked."""
    window: _models_pb2.WindowPolicy
    """The window. Unset: the whole history."""
    expected_next_sequence: int
    """Fails the call with ABORTED unless the session's next sequence is this one."""
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., window: _Optional[_Union[_models_pb2.WindowPolicy, _Mapping[str, _Any]]] = ..., expected_next_sequence: _Optional[int] = ...) -> None: ...

class GetContextResponse(_message.Message):
    """A window of the history."""
    __slots__ = ("messages", "next_sequence", "dropped_messages", "estimated_tokens")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DROPPED_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[SessionMessage]
    """The messages, oldest first."""
    next_sequence: int
    """The sequence that the next message will get."""
    dropped_messages: int
    """The number of older messages that were left out."""
    estimated_tokens: int
    """The estimated tokens of the window."""
    def __init__(self, messages: _Optional[_Iterable[_Union[SessionMessage, _Mapping[str, _Any]]]] = ..., next_sequence: _Optional[int] = ..., dropped_messages: _Optional[int] = ..., estimated_tokens: _Optional[int] = ...) -> None: ...

class TruncateMessagesRequest(_message.Message):
    """Deletes the end of a conversation."""
    __slots__ = ("session_id", "user_id", "from_sequence")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session's id. Required."""
    user_id: str
    """The user that it must belong to. Empty: not checked."""
    from_sequence: int
    """The first sequence to delete; at least 1."""
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., from_sequence: _Optional[int] = ...) -> None: ...

class TruncateMessagesResponse(_message.Message):
    """The result of deleting messages."""
    __slots__ = ("removed_count", "next_sequence")
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    removed_count: int
    """The number of deleted messages."""
    next_sequence: int
    """The sequence that the next message will get."""
    def __init__(self, removed_count: _Optional[int] = ..., next_sequence: _Optional[int] = ...) -> None: ...

class Memory(_message.Message):
    """A stored value of a user."""
    __slots__ = ("user_id", "key", "value_json", "update_time")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user that it belongs to."""
    key: str
    """The key."""
    value_json: str
    """The value: JSON."""
    update_time: _timestamp_pb2.Timestamp
    """The time at which it was last stored."""
    def __init__(self, user_id: _Optional[str] = ..., key: _Optional[str] = ..., value_json: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ...) -> None: ...

class PutMemoryRequest(_message.Message):
    """Stores a value."""
    __slots__ = ("user_id", "key", "value_json")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user that it belongs to. Required, unless the key belongs to a user."""
    key: str
    """The key. Required, at most 256 characters."""
    value_json: str
    """The value: JSON, at most 256 KiB. Required."""
    def __init__(self, user_id: _Optional[str] = ..., key: _Optional[str] = ..., value_json: _Optional[str] = ...) -> None: ...

class ListMemoriesRequest(_message.Message):
    """Requests a page of a user's values."""
    __slots__ = ("user_id", "page_size", "page_token", "key_prefix")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    KEY_PREFIX_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user. Required, unless the key belongs to a user."""
    page_size: int
    """The page size."""
    page_token: str
    """The page token."""
    key_prefix: str
    """Only keys that begin with this text. Empty: all."""
    def __init__(self, user_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., key_prefix: _Optional[str] = ...) -> None: ...

class ListMemoriesResponse(_message.Message):
    """A page of values."""
    __slots__ = ("memories", "next_page_token")
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    memories: _containers.RepeatedCompositeFieldContainer[Memory]
    """The values, in the order of their keys."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    def __init__(self, memories: _Optional[_Iterable[_Union[Memory, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteMemoryRequest(_message.Message):
    """Deletes a value."""
    __slots__ = ("user_id", "key")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user that it belongs to. Required, unless the key belongs to a user."""
    key: str
    """The key. Required."""
    def __init__(self, user_id: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class DeleteMemoryResponse(_message.Message):
    """The result of deleting a value."""
    __slots__ = ()
    def __init__(self) -> None: ...

class DeleteUserDataRequest(_message.Message):
    """Deletes all data of a user in the caller's project."""
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user. Required, unless the key belongs to a user."""
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class DeleteUserDataResponse(_message.Message):
    """The result of deleting a user's data."""
    __slots__ = ("deleted_sessions", "deleted_memories")
    DELETED_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    DELETED_MEMORIES_FIELD_NUMBER: _ClassVar[int]
    deleted_sessions: int
    """The number of deleted sessions."""
    deleted_memories: int
    """The number of deleted values."""
    def __init__(self, deleted_sessions: _Optional[int] = ..., deleted_memories: _Optional[int] = ...) -> None: ...
