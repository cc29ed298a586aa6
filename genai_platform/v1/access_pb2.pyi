from typing import Any as _Any
import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from genai_platform.v1 import identity_pb2 as _identity_pb2
from genai_platform.v1 import models_pb2 as _models_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Team(_message.Message):
    """A team: projects that are paid for together."""
    __slots__ = ("id", "name", "disabled", "created_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    """Its id."""
    name: str
    """A name for people, by default the id. At most 128 characters."""
    disabled: bool
    """Whether its keys are refused."""
    created_at: _timestamp_pb2.Timestamp
    """The time at which it was created. Set by the platform."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., disabled: _Optional[bool] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ...) -> None: ...

class Project(_message.Message):
    """A project: what its keys create belongs to it, and is seen by its keys only."""
    __slots__ = ("id", "team_id", "name", "model_globs", "capture", "disabled", "created_at", "required_tags")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_GLOBS_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_TAGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    """Its id."""
    team_id: str
    """Its team. It never changes."""
    name: str
    """A name for people, by default the id. At most 128 characters."""
    model_globs: _containers.RepeatedScalarFieldContainer[str]
    """The models that its keys may ask: names with `*` for any characters. At most 64, of at most 256 characters each
    and 2,048 bytes together. None means all."""
    capture: str
    """Whether its content is captured: `off`, `errors`, `all`, or `sample:` with a share above 0 and at most 1. Empty:
    as the services are set."""
    disabled: bool
    """Whether its keys are refused."""
    created_at: _timestamp_pb2.Timestamp
    """The time at which it was created. Set by the platform."""
    required_tags: _containers.RepeatedScalarFieldContainer[str]
    """The tags that each chat of its callers must have, such as `cost_center`, with a value; without them it is refused
    with INVALID_ARGUMENT TAG_REQUIRED. At most 8, of at most 256 characters each and 512 bytes together."""
    def __init__(self, id: _Optional[str] = ..., team_id: _Optional[str] = ..., name: _Optional[str] = ..., model_globs: _Optional[_Iterable[str]] = ..., capture: _Optional[str] = ..., disabled: _Optional[bool] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., required_tags: _Optional[_Iterable[str]] = ...) -> None: ...

class User(_message.Message):
    """A user: a person or program that keys belong to."""
    __slots__ = ("id", "team_id", "issuer", "subject", "email", "role", "disabled", "created_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    """Its id."""
    team_id: str
    """Its team, or empty. It never changes."""
    issuer: str
    """The issuer of its tokens, `mtls` for its client certificates, or empty. At most 256 characters."""
    subject: str
    """Its subject in these tokens; of a certificate the first URI, else the first DNS name, else the common name. At
    most 256 characters."""
    email: str
    """Its address, or empty. At most 256 characters."""
    role: str
    """`admin`, `auditor` or `member`; by default `member`. It is for people, and grants nothing: scopes do."""
    disabled: bool
    """Whether its keys are refused."""
    created_at: _timestamp_pb2.Timestamp
    """The time at which it was created. Set by the platform."""
    def __init__(self, id: _Optional[str] = ..., team_id: _Optional[str] = ..., issuer: _Optional[str] = ..., subject: _Optional[str] = ..., email: _Optional[str] = ..., role: _Optional[str] = ..., disabled: _Optional[bool] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ...) -> None: ...

class ApiKey(_message.Message):
    """An API key, without its secret: `gk_<id>_<secret>`."""
    __slots__ = ("id", "name", "project_id", "user_id", "scopes", "model_globs", "fixed_tags", "capture", "cidrs", "state", "expires_at", "issued_at", "previous_until", "created_by", "created_at", "last_used_at", "required_tags")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ApiKey.State]
        STATE_ACTIVE: _ClassVar[ApiKey.State]
        STATE_DISABLED: _ClassVar[ApiKey.State]
        STATE_REVOKED: _ClassVar[ApiKey.State]
    STATE_UNSPECIFIED: ApiKey.State
    STATE_ACTIVE: ApiKey.State
    STATE_DISABLED: ApiKey.State
    STATE_REVOKED: ApiKey.State
    class FixedTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    MODEL_GLOBS_FIELD_NUMBER: _ClassVar[int]
    FIXED_TAGS_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_FIELD_NUMBER: _ClassVar[int]
    CIDRS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_UNTIL_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_AT_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_TAGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    """Its public id, 12 letters and digits. Set by the platform."""
    name: str
    """A name for people. Required, at most 128 characters."""
    project_id: str
    """Its project. Required; it never changes."""
    user_id: str
    """The user that it belongs to, or empty. It never changes."""
    scopes: _containers.RepeatedScalarFieldContainer[str]
    """What it may do: `generate`, `models.read`, `models.write`, `prompts.read`, `prompts.write`, `sessions`,
    `usage.read`, `content.read` and `admin`. By default `generate`, `models.read`, `prompts.read`, `sessions` and
    `usage.read`."""
    model_globs: _containers.RepeatedScalarFieldContainer[str]
    """The models that it may ask, among those of its project, as there. None means all of these."""
    fixed_tags: _containers.ScalarMap[str, str]
    """Tags that each of its calls has in the ledger, over those of the request. At most 16, of at most 256 characters
    each and 2,048 bytes together."""
    capture: str
    """Whether its content is captured, instead of what its project says."""
    cidrs: _containers.RepeatedScalarFieldContainer[str]
    """The networks that it is accepted from, such as `10.1.0.0/16`, by the address that connects to the gateway: behind
    a proxy that is the proxy's. At most 16. None means all."""
    state: ApiKey.State
    """Its state. Set by the platform."""
    expires_at: _timestamp_pb2.Timestamp
    """The time at which it expires: by default 90 days from now; at most ACCESS_MAX_KEY_DAYS from now."""
    issued_at: _timestamp_pb2.Timestamp
    """The time at which it got its secret. Set by the platform."""
    previous_until: _timestamp_pb2.Timestamp
    """The time until which the secret before that is accepted, if there is one. Set by the platform."""
    created_by: str
    """The id of the key that created it, or `cli` and the name of the operator. Set by the platform."""
    created_at: _timestamp_pb2.Timestamp
    """The time at which it was created. Set by the platform."""
    last_used_at: _timestamp_pb2.Timestamp
    """The time of a call with it, not more than a few minutes before the last one. Unset: it was never used."""
    required_tags: _containers.RepeatedScalarFieldContainer[str]
    """The tags that each of its chats must have beside those of its project, as there; `fixed_tags` count."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., project_id: _Optional[str] = ..., user_id: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., model_globs: _Optional[_Iterable[str]] = ..., fixed_tags: _Optional[_Mapping[str, str]] = ..., capture: _Optional[str] = ..., cidrs: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[ApiKey.State, str]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., issued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., previous_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., created_by: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., last_used_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., required_tags: _Optional[_Iterable[str]] = ...) -> None: ...

class Binding(_message.Message):
    """A binding: callers with a claim in their token or client certificate act for a project. If one fulfils several,
    the first by its id says which project; the scopes are those of all its bindings to that project."""
    __slots__ = ("id", "issuer", "claim", "value", "project_id", "scopes")
    ID_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    id: str
    """Its id. Set by the platform if it is empty."""
    issuer: str
    """The issuer of the tokens, or `mtls` for client certificates. Required, at most 256 characters."""
    claim: str
    """The claim, with dots for nested ones, such as `groups` or `realm_access.roles`; of a certificate `uri` or `dns`,
    for the names of its subjectAltName, or `cn`. Required, at most 256 characters."""
    value: str
    """The value that the claim has, or that is among its values. Required, at most 256 characters."""
    project_id: str
    """The project. Required."""
    scopes: _containers.RepeatedScalarFieldContainer[str]
    """The scopes, as of a key."""
    def __init__(self, id: _Optional[str] = ..., issuer: _Optional[str] = ..., claim: _Optional[str] = ..., value: _Optional[str] = ..., project_id: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ...) -> None: ...

class AuditEvent(_message.Message):
    """An event of the audit log: one change. Secrets and their hashes are in none."""
    __slots__ = ("seq", "time", "actor_kind", "actor_id", "source_ip", "request_id", "action", "object_kind", "object_id", "before_json", "after_json", "reason", "previous_hash", "hash")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ACTOR_KIND_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_IP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_JSON_FIELD_NUMBER: _ClassVar[int]
    AFTER_JSON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_HASH_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    seq: int
    """Its number; each is one more than the last."""
    time: _timestamp_pb2.Timestamp
    """The time of the change."""
    actor_kind: str
    """`key`, `jwt`, `mtls`, `cli` for a change on the machine of the database, or `gateway` for what it does by
    itself."""
    actor_id: str
    """The id of the key, the subject, or the name of the operator."""
    source_ip: str
    """The address of the caller."""
    request_id: str
    """The request id of the call."""
    action: str
    """The kind of the object and what was done: `key.rotate`."""
    object_kind: str
    """The kind of the object: `team`, `project`, `user`, `key`, `limit` or `binding`; `audit` where old events were
    deleted; of a call that was sent on, its service."""
    object_id: str
    """The id of the object."""
    before_json: str
    """The object before the change, as JSON; empty if there was none."""
    after_json: str
    """The object after the change, as JSON; empty if it was deleted."""
    reason: str
    """The reason that the caller gave."""
    previous_hash: str
    """The hash of the event before it, 64 hexadecimal digits."""
    hash: str
    """The SHA-256 of `previous_hash` and all the fields above."""
    def __init__(self, seq: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., actor_kind: _Optional[str] = ..., actor_id: _Optional[str] = ..., source_ip: _Optional[str] = ..., request_id: _Optional[str] = ..., action: _Optional[str] = ..., object_kind: _Optional[str] = ..., object_id: _Optional[str] = ..., before_json: _Optional[str] = ..., after_json: _Optional[str] = ..., reason: _Optional[str] = ..., previous_hash: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...

class AuditPurge(_message.Message):
    """The deletion of the oldest events of the audit log: what `after_json` of an event `audit.purge` holds."""
    __slots__ = ("last_seq", "last_hash", "events")
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_HASH_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    last_seq: int
    """The number of the last event that was deleted."""
    last_hash: str
    """The hash of that event, which is the `previous_hash` of the first one that is left."""
    events: int
    """The number of events that were deleted."""
    def __init__(self, last_seq: _Optional[int] = ..., last_hash: _Optional[str] = ..., events: _Optional[int] = ...) -> None: ...

class WhoAmIRequest(_message.Message):
    """Asks who calls."""
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoAmIResponse(_message.Message):
    """Who calls."""
    __slots__ = ("identity", "expires_at")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    identity: _identity_pb2.CallerIdentity
    """The identity of the caller, as the services see it."""
    expires_at: _timestamp_pb2.Timestamp
    """The time at which its key expires. Unset for callers without a key."""
    def __init__(self, identity: _Optional[_Union[_identity_pb2.CallerIdentity, _Mapping[str, _Any]]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ...) -> None: ...

class CreateTeamRequest(_message.Message):
    """A team to create."""
    __slots__ = ("team", "reason")
    TEAM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    team: Team
    """The team. Its `id` is required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, team: _Optional[_Union[Team, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class UpdateTeamRequest(_message.Message):
    """Changes of a team."""
    __slots__ = ("team", "update_mask", "reason")
    TEAM_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    team: Team
    """The team, by its `id`, with the new values."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, team: _Optional[_Union[Team, _Mapping[str, _Any]]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListTeamsRequest(_message.Message):
    """Asks for teams."""
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """See models.proto."""
    page_token: str
    """See models.proto."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTeamsResponse(_message.Message):
    """Some teams."""
    __slots__ = ("teams", "next_page_token")
    TEAMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    teams: _containers.RepeatedCompositeFieldContainer[Team]
    """The teams."""
    next_page_token: str
    """See models.proto."""
    def __init__(self, teams: _Optional[_Iterable[_Union[Team, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CreateProjectRequest(_message.Message):
    """A project to create."""
    __slots__ = ("project", "reason")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    project: Project
    """The project. Its `id` and `team_id` are required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, project: _Optional[_Union[Project, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class UpdateProjectRequest(_message.Message):
    """Changes of a project."""
    __slots__ = ("project", "update_mask", "reason")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    project: Project
    """The project, by its `id`, with the new values."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, project: _Optional[_Union[Project, _Mapping[str, _Any]]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListProjectsRequest(_message.Message):
    """Asks for projects."""
    __slots__ = ("page_size", "page_token", "team_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """See models.proto."""
    page_token: str
    """See models.proto."""
    team_id: str
    """Only those of this team."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., team_id: _Optional[str] = ...) -> None: ...

class ListProjectsResponse(_message.Message):
    """Some projects."""
    __slots__ = ("projects", "next_page_token")
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    projects: _containers.RepeatedCompositeFieldContainer[Project]
    """The projects."""
    next_page_token: str
    """See models.proto."""
    def __init__(self, projects: _Optional[_Iterable[_Union[Project, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CreateUserRequest(_message.Message):
    """A user to create."""
    __slots__ = ("user", "reason")
    USER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    user: User
    """The user. Its `id` is required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, user: _Optional[_Union[User, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class UpdateUserRequest(_message.Message):
    """Changes of a user."""
    __slots__ = ("user", "update_mask", "reason")
    USER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    user: User
    """The user, by its `id`, with the new values."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, user: _Optional[_Union[User, _Mapping[str, _Any]]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListUsersRequest(_message.Message):
    """Asks for users."""
    __slots__ = ("page_size", "page_token", "team_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """See models.proto."""
    page_token: str
    """See models.proto."""
    team_id: str
    """Only those of this team."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., team_id: _Optional[str] = ...) -> None: ...

class ListUsersResponse(_message.Message):
    """Some users."""
    __slots__ = ("users", "next_page_token")
    USERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[User]
    """The users."""
    next_page_token: str
    """See models.proto."""
    def __init__(self, users: _Optional[_Iterable[_Union[User, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CreateKeyRequest(_message.Message):
    """A key to create."""
    __slots__ = ("key", "reason")
    KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    key: ApiKey
    """The key. Its `name` and `project_id` are required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, key: _Optional[_Union[ApiKey, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class CreateKeyResponse(_message.Message):
    """A new key."""
    __slots__ = ("key", "secret")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    key: ApiKey
    """The key."""
    secret: str
    """The key itself, as callers send it. It cannot be had again."""
    def __init__(self, key: _Optional[_Union[ApiKey, _Mapping[str, _Any]]] = ..., secret: _Optional[str] = ...) -> None: ...

class GetKeyRequest(_message.Message):
    """Asks for a key."""
    __slots__ = ("key_id",)
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    """The id of the key. Required."""
    def __init__(self, key_id: _Optional[str] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    """Asks for keys."""
    __slots__ = ("page_size", "page_token", "project_id", "user_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """See models.proto."""
    page_token: str
    """See models.proto."""
    project_id: str
    """Only those of this project."""
    user_id: str
    """Only those of this user."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., project_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class ListKeysResponse(_message.Message):
    """Some keys."""
    __slots__ = ("keys", "next_page_token")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[ApiKey]
    """The keys."""
    next_page_token: str
    """See models.proto."""
    def __init__(self, keys: _Optional[_Iterable[_Union[ApiKey, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateKeyRequest(_message.Message):
    """Changes of a key."""
    __slots__ = ("key", "update_mask", "reason")
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    key: ApiKey
    """The key, by its `id`, with the new values."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, key: _Optional[_Union[ApiKey, _Mapping[str, _Any]]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class DisableKeyRequest(_message.Message):
    """A key to disable."""
    __slots__ = ("key_id", "reason")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    """The id of the key. Required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, key_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class EnableKeyRequest(_message.Message):
    """A key to enable."""
    __slots__ = ("key_id", "reason")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    """The id of the key. Required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, key_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeKeyRequest(_message.Message):
    """A key to revoke."""
    __slots__ = ("key_id", "reason")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    """The id of the key. Required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, key_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RotateKeyRequest(_message.Message):
    """A key to rotate."""
    __slots__ = ("key_id", "grace", "reason")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    """The id of the key. Required."""
    grace: _duration_pb2.Duration
    """The time for which the old secret is valid, up to 30 days. Unset: 24 hours; 0: it is refused at once."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, key_id: _Optional[str] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class RotateKeyResponse(_message.Message):
    """A rotated key."""
    __slots__ = ("key", "secret")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    key: ApiKey
    """The key."""
    secret: str
    """The key itself with its new secret, as callers send it. It cannot be had again."""
    def __init__(self, key: _Optional[_Union[ApiKey, _Mapping[str, _Any]]] = ..., secret: _Optional[str] = ...) -> None: ...

class SetLimitRequest(_message.Message):
    """A limit to set."""
    __slots__ = ("limit", "reason")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    limit: _identity_pb2.LimitRule
    """The limit. An empty `id` is set by the platform; others have at most 32 letters, digits and `._-`. `scope_id`
    must be that of something that exists, or `*`; it and `model_glob` have at most 128 bytes."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, limit: _Optional[_Union[_identity_pb2.LimitRule, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListLimitsRequest(_message.Message):
    """Asks for limits."""
    __slots__ = ("page_size", "page_token", "scope_kind", "scope_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_KIND_FIELD_NUMBER: _ClassVar[int]
    SCOPE_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """See models.proto."""
    page_token: str
    """See models.proto."""
    scope_kind: str
    """Only those of this level."""
    scope_id: str
    """Only those of this one of the level."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., scope_kind: _Optional[str] = ..., scope_id: _Optional[str] = ...) -> None: ...

class ListLimitsResponse(_message.Message):
    """Some limits."""
    __slots__ = ("limits", "next_page_token")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[_identity_pb2.LimitRule]
    """The limits."""
    next_page_token: str
    """See models.proto."""
    def __init__(self, limits: _Optional[_Iterable[_Union[_identity_pb2.LimitRule, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteLimitRequest(_message.Message):
    """A limit to delete."""
    __slots__ = ("limit_id", "reason")
    LIMIT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    limit_id: str
    """The id of the limit. Required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, limit_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DeleteLimitResponse(_message.Message):
    """A limit was deleted."""
    __slots__ = ()
    def __init__(self) -> None: ...

class SetBindingRequest(_message.Message):
    """A binding to set."""
    __slots__ = ("binding", "reason")
    BINDING_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    binding: Binding
    """The binding."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, binding: _Optional[_Union[Binding, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListBindingsRequest(_message.Message):
    """Asks for bindings."""
    __slots__ = ("page_size", "page_token", "project_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """See models.proto."""
    page_token: str
    """See models.proto."""
    project_id: str
    """Only those of this project."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., project_id: _Optional[str] = ...) -> None: ...

class ListBindingsResponse(_message.Message):
    """Some bindings."""
    __slots__ = ("bindings", "next_page_token")
    BINDINGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    bindings: _containers.RepeatedCompositeFieldContainer[Binding]
    """The bindings."""
    next_page_token: str
    """See models.proto."""
    def __init__(self, bindings: _Optional[_Iterable[_Union[Binding, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteBindingRequest(_message.Message):
    """A binding to delete."""
    __slots__ = ("binding_id", "reason")
    BINDING_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    binding_id: str
    """The id of the binding. Required."""
    reason: str
    """A reason for the audit log. At most 1024 characters."""
    def __init__(self, binding_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DeleteBindingResponse(_message.Message):
    """A binding was deleted."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAuditEventsRequest(_message.Message):
    """Asks for events of the audit log."""
    __slots__ = ("page_size", "page_token", "object_kind", "object_id", "actor_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """See models.proto."""
    page_token: str
    """See models.proto."""
    object_kind: str
    """Only those of this kind of objects."""
    object_id: str
    """Only those of this object."""
    actor_id: str
    """Only those of this actor."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., object_kind: _Optional[str] = ..., object_id: _Optional[str] = ..., actor_id: _Optional[str] = ...) -> None: ...

class ListAuditEventsResponse(_message.Message):
    """Some events."""
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AuditEvent]
    """The events."""
    next_page_token: str
    """See models.proto."""
    def __init__(self, events: _Optional[_Iterable[_Union[AuditEvent, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class VerifyAuditEventsRequest(_message.Message):
    """Asks whether the audit log is as it was written."""
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyAuditEventsResponse(_message.Message):
    """The state of the audit log."""
    __slots__ = ("events", "broken_seq", "head_hash", "first_seq")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    BROKEN_SEQ_FIELD_NUMBER: _ClassVar[int]
    HEAD_HASH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    events: int
    """The number of events that were read."""
    broken_seq: int
    """The number of the first event that is missing or is not as it was written; 0 if there is none."""
    head_hash: str
    """The hash of the last event."""
    first_seq: int
    """The number of the oldest event that is kept; 1 if none was deleted."""
    def __init__(self, events: _Optional[int] = ..., broken_seq: _Optional[int] = ..., head_hash: _Optional[str] = ..., first_seq: _Optional[int] = ...) -> None: ...
