import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CallerIdentity(_message.Message):
    __slots__ = ("key_id", "method", "subject", "team_id", "project_id", "user_id", "scopes", "model_globs", "limits", "capture", "tags", "issued_at")
    class Method(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        METHOD_UNSPECIFIED: _ClassVar[CallerIdentity.Method]
        METHOD_API_KEY: _ClassVar[CallerIdentity.Method]
        METHOD_JWT: _ClassVar[CallerIdentity.Method]
        METHOD_MTLS: _ClassVar[CallerIdentity.Method]
    METHOD_UNSPECIFIED: CallerIdentity.Method
    METHOD_API_KEY: CallerIdentity.Method
    METHOD_JWT: CallerIdentity.Method
    METHOD_MTLS: CallerIdentity.Method
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    MODEL_GLOBS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    method: CallerIdentity.Method
    subject: str
    team_id: str
    project_id: str
    user_id: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    model_globs: _containers.RepeatedScalarFieldContainer[str]
    limits: _containers.RepeatedCompositeFieldContainer[LimitRule]
    capture: str
    tags: _containers.ScalarMap[str, str]
    issued_at: _timestamp_pb2.Timestamp
    def __init__(self, key_id: _Optional[str] = ..., method: _Optional[_Union[CallerIdentity.Method, str]] = ..., subject: _Optional[str] = ..., team_id: _Optional[str] = ..., project_id: _Optional[str] = ..., user_id: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., model_globs: _Optional[_Iterable[str]] = ..., limits: _Optional[_Iterable[_Union[LimitRule, _Mapping]]] = ..., capture: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., issued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LimitRule(_message.Message):
    __slots__ = ("id", "scope_kind", "scope_id", "model_glob", "resource", "window", "amount", "burst", "soft_percents", "action")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_KIND_FIELD_NUMBER: _ClassVar[int]
    SCOPE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_GLOB_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    SOFT_PERCENTS_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    scope_kind: str
    scope_id: str
    model_glob: str
    resource: str
    window: str
    amount: int
    burst: int
    soft_percents: _containers.RepeatedScalarFieldContainer[int]
    action: str
    def __init__(self, id: _Optional[str] = ..., scope_kind: _Optional[str] = ..., scope_id: _Optional[str] = ..., model_glob: _Optional[str] = ..., resource: _Optional[str] = ..., window: _Optional[str] = ..., amount: _Optional[int] = ..., burst: _Optional[int] = ..., soft_percents: _Optional[_Iterable[int]] = ..., action: _Optional[str] = ...) -> None: ...
