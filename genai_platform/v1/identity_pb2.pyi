from typing import Any as _Any
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
    """An authenticated caller. At most 16 limits and 64 models, in some 10 KiB."""
    __slots__ = ("key_id", "method", "subject", "team_id", "project_id", "user_id", "scopes", "model_globs", "limits", "capture", "tags", "issued_at", "required_tags")
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
    REQUIRED_TAGS_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    """The public id of the key; for other methods, the issuer (`mtls` of a certificate) and subject."""
    method: CallerIdentity.Method
    """How the caller was authenticated."""
    subject: str
    """The subject of a token or certificate."""
    team_id: str
    """The team of the project."""
    project_id: str
    """The project that the call belongs to, with all that it creates."""
    user_id: str
    """The user that the key belongs to, if it belongs to one."""
    scopes: _containers.RepeatedScalarFieldContainer[str]
    """What the caller may do."""
    model_globs: _containers.RepeatedScalarFieldContainer[str]
    """The models that the caller may ask: names with `*` for any characters. None means all."""
    limits: _containers.RepeatedCompositeFieldContainer[LimitRule]
    """The limits that apply to the caller, of all levels."""
    capture: str
    """Whether the project has its content captured."""
    tags: _containers.ScalarMap[str, str]
    """The tags that every call of the key has in the ledger."""
    issued_at: _timestamp_pb2.Timestamp
    """The time at which the gateway has signed this; it is valid for 60 s."""
    required_tags: _containers.RepeatedScalarFieldContainer[str]
    """The tags that a chat must have, from the request or from `tags`."""
    def __init__(self, key_id: _Optional[str] = ..., method: _Optional[_Union[CallerIdentity.Method, str]] = ..., subject: _Optional[str] = ..., team_id: _Optional[str] = ..., project_id: _Optional[str] = ..., user_id: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., model_globs: _Optional[_Iterable[str]] = ..., limits: _Optional[_Iterable[_Union[LimitRule, _Mapping[str, _Any]]]] = ..., capture: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., issued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., required_tags: _Optional[_Iterable[str]] = ...) -> None: ...

class LimitRule(_message.Message):
    """A limit on what callers use."""
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
    """Its id."""
    scope_kind: str
    """The level that it counts at: `org`, `team`, `project`, `key`, `user` or `end_user`."""
    scope_id: str
    """The one of that level; `*` counts each of them by itself."""
    model_glob: str
    """The models that it counts: a name with `*` for any characters. Empty means all."""
    resource: str
    """What it counts: `requests`, `tokens`, `concurrent` or `nano_usd`."""
    window: str
    """The time that the amount is for: `min`, `hour`, `day`, `week`, `month` or `total`; empty for `concurrent`."""
    amount: int
    """The amount, in units of the resource."""
    burst: int
    """The requests or tokens that may come at once; 0 means the amount."""
    soft_percents: _containers.RepeatedScalarFieldContainer[int]
    """The shares of the amount, in percent, at which a warning is given once in each window."""
    action: str
    """`refuse`, or `warn` to count and refuse nothing."""
    def __init__(self, id: _Optional[str] = ..., scope_kind: _Optional[str] = ..., scope_id: _Optional[str] = ..., model_glob: _Optional[str] = ..., resource: _Optional[str] = ..., window: _Optional[str] = ..., amount: _Optional[int] = ..., burst: _Optional[int] = ..., soft_percents: _Optional[_Iterable[int]] = ..., action: _Optional[str] = ...) -> None: ...
