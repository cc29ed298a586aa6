from typing import Any as _Any
import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from genai_platform.v1 import identity_pb2 as _identity_pb2
from genai_platform.v1 import models_pb2 as _models_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetMyUsageRequest(_message.Message):
    """A request for the caller's own usage."""
    __slots__ = ()
    def __init__(self) -> None: ...

class GetMyUsageResponse(_message.Message):
    """The caller's own usage: that of its key, or all usage where no keys are asked for."""
    __slots__ = ("key_id", "project_id", "team_id", "today", "this_month", "limits")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    TODAY_FIELD_NUMBER: _ClassVar[int]
    THIS_MONTH_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    """The public id of the key."""
    project_id: str
    """Its project."""
    team_id: str
    """Its team."""
    today: UsageSums
    """The usage of this day."""
    this_month: UsageSums
    """The usage of this calendar month."""
    limits: _containers.RepeatedCompositeFieldContainer[LimitUse]
    """The caller's limits, of all levels."""
    def __init__(self, key_id: _Optional[str] = ..., project_id: _Optional[str] = ..., team_id: _Optional[str] = ..., today: _Optional[_Union[UsageSums, _Mapping[str, _Any]]] = ..., this_month: _Optional[_Union[UsageSums, _Mapping[str, _Any]]] = ..., limits: _Optional[_Iterable[_Union[LimitUse, _Mapping[str, _Any]]]] = ...) -> None: ...

class LimitUse(_message.Message):
    """A limit of a caller, and how much of it is used."""
    __slots__ = ("limit", "used", "window_end", "remaining", "resets_at")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESETS_AT_FIELD_NUMBER: _ClassVar[int]
    limit: _identity_pb2.LimitRule
    """The limit. Of one that others share, such as the organisation's, the numbers are those of all together."""
    used: int
    """The part of its amount that was used in the current window, by the ledger. Unset: it is not known there, as for
    calls that run and for end users."""
    window_end: _timestamp_pb2.Timestamp
    """The end of the current window. Unset: it has none."""
    remaining: int
    """The part of its amount, or of the burst of a rate, that the next call finds, over all replicas and without what
    running calls have reserved. Unset: it is not known, as for end users, for budgets that no call has asked for in
    this window, and while the store of the limits is away."""
    resets_at: _timestamp_pb2.Timestamp
    """The time at which all of it is free again, if nothing more is used: the end of a budget's window, and of a rate
    the time at which it has recovered. Unset: it is not known, or it is a limit of calls at once or in total."""
    def __init__(self, limit: _Optional[_Union[_identity_pb2.LimitRule, _Mapping[str, _Any]]] = ..., used: _Optional[int] = ..., window_end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., remaining: _Optional[int] = ..., resets_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ...) -> None: ...

class UsageSums(_message.Message):
    """Sums of calls."""
    __slots__ = ("calls", "failed_calls", "prompt_tokens", "completion_tokens", "cached_prompt_tokens", "reasoning_tokens", "cost_nano_usd", "unpriced_calls")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    FAILED_CALLS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: int
    """The calls."""
    failed_calls: int
    """Those of them that have no complete answer."""
    prompt_tokens: int
    """The input tokens, including cached ones."""
    completion_tokens: int
    """The output tokens, including reasoning."""
    cached_prompt_tokens: int
    """The input tokens that were read from a provider's cache."""
    reasoning_tokens: int
    """The output tokens of reasoning."""
    cost_nano_usd: int
    """The known costs, in nano-USD."""
    unpriced_calls: int
    """The calls whose cost is not known, and not in the sum."""
    def __init__(self, calls: _Optional[int] = ..., failed_calls: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., unpriced_calls: _Optional[int] = ...) -> None: ...

class UsageFilter(_message.Message):
    """A choice of usage. Empty fields choose everything."""
    __slots__ = ("team_id", "project_id", "key_id", "user_id", "provider", "model")
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    team_id: str
    """The team."""
    project_id: str
    """The project. NOT_FOUND PROJECT_NOT_FOUND for another one than the caller's own."""
    key_id: str
    """The public id of the key."""
    user_id: str
    """The user that the key belongs to."""
    provider: str
    """The provider."""
    model: str
    """The model that has served: the name of a registered model, or the provider's own."""
    def __init__(self, team_id: _Optional[str] = ..., project_id: _Optional[str] = ..., key_id: _Optional[str] = ..., user_id: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class ListUsageRequest(_message.Message):
    """A request for sums of usage."""
    __slots__ = ("from_day", "to_day", "group_by", "tag_key", "filter", "page_size", "page_token")
    FROM_DAY_FIELD_NUMBER: _ClassVar[int]
    TO_DAY_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    TAG_KEY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    from_day: str
    """The first day, as `2026-11-30`. Empty: the first of the month of `to_day`."""
    to_day: str
    """The last day. Empty: today."""
    group_by: _containers.RepeatedScalarFieldContainer[str]
    """The groups of the sums, in this order: `day`, `team`, `project`, `key`, `user`, `provider`, `model`, `tag`, each
    at most once. None: one sum of all."""
    tag_key: str
    """The tag that `tag` groups by, and needs: one of the operator's USAGE_TAG_KEYS. Calls without the tag are left
    out."""
    filter: UsageFilter
    """The usage to sum up. Unset: all that the caller may see."""
    page_size: int
    """The maximum of rows in the response."""
    page_token: str
    """The `next_page_token` of the page before."""
    def __init__(self, from_day: _Optional[str] = ..., to_day: _Optional[str] = ..., group_by: _Optional[_Iterable[str]] = ..., tag_key: _Optional[str] = ..., filter: _Optional[_Union[UsageFilter, _Mapping[str, _Any]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListUsageResponse(_message.Message):
    """Sums of usage."""
    __slots__ = ("rows", "next_page_token")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    """The sums."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UsageRow(_message.Message):
    """One sum, with the values of the groups that were asked for; other fields are empty."""
    __slots__ = ("day", "team_id", "project_id", "key_id", "user_id", "provider", "model", "tag_value", "sums")
    DAY_FIELD_NUMBER: _ClassVar[int]
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TAG_VALUE_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    day: str
    """The day, as `2026-11-30`."""
    team_id: str
    """The team."""
    project_id: str
    """The project."""
    key_id: str
    """The public id of the key."""
    user_id: str
    """The user that the key belongs to."""
    provider: str
    """The provider."""
    model: str
    """The model that has served."""
    tag_value: str
    """The value of the tag. `_OTHER` has all values beyond the first 1,000."""
    sums: UsageSums
    """The sums."""
    def __init__(self, day: _Optional[str] = ..., team_id: _Optional[str] = ..., project_id: _Optional[str] = ..., key_id: _Optional[str] = ..., user_id: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., tag_value: _Optional[str] = ..., sums: _Optional[_Union[UsageSums, _Mapping[str, _Any]]] = ...) -> None: ...

class ExportUsageRequest(_message.Message):
    """A request for sums of usage as text."""
    __slots__ = ("from_day", "to_day", "group_by", "tag_key", "filter", "format")
    FROM_DAY_FIELD_NUMBER: _ClassVar[int]
    TO_DAY_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    TAG_KEY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    from_day: str
    """As in ListUsageRequest."""
    to_day: str
    """As in ListUsageRequest."""
    group_by: _containers.RepeatedScalarFieldContainer[str]
    """As in ListUsageRequest."""
    tag_key: str
    """As in ListUsageRequest."""
    filter: UsageFilter
    """As in ListUsageRequest."""
    format: str
    """`csv` or `jsonl`. Empty: `csv`. Columns and members have the names of the fields of UsageRow and UsageSums."""
    def __init__(self, from_day: _Optional[str] = ..., to_day: _Optional[str] = ..., group_by: _Optional[_Iterable[str]] = ..., tag_key: _Optional[str] = ..., filter: _Optional[_Union[UsageFilter, _Mapping[str, _Any]]] = ..., format: _Optional[str] = ...) -> None: ...

class ExportUsageResponse(_message.Message):
    """A piece of an export."""
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    """Whole lines, in UTF-8."""
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class RepriceUsageRequest(_message.Message):
    """A request to price calls that have no cost."""
    __slots__ = ("from_day", "to_day", "model_glob", "apply")
    FROM_DAY_FIELD_NUMBER: _ClassVar[int]
    TO_DAY_FIELD_NUMBER: _ClassVar[int]
    MODEL_GLOB_FIELD_NUMBER: _ClassVar[int]
    APPLY_FIELD_NUMBER: _ClassVar[int]
    from_day: str
    """The first day on which calls ended, as `2026-11-30`. Required."""
    to_day: str
    """The last day. Empty: today."""
    model_glob: str
    """The models, by their names or as `provider/name`, with `*` for any characters. Empty: all."""
    apply: bool
    """Whether the costs are stored. Otherwise the response says what they would be."""
    def __init__(self, from_day: _Optional[str] = ..., to_day: _Optional[str] = ..., model_glob: _Optional[str] = ..., apply: _Optional[bool] = ...) -> None: ...

class RepriceUsageResponse(_message.Message):
    """The calls that had no cost."""
    __slots__ = ("models", "priced_calls", "cost_nano_usd", "unpriced_calls", "price_list", "applied")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    PRICED_CALLS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_CALLS_FIELD_NUMBER: _ClassVar[int]
    PRICE_LIST_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[RepricedModel]
    """The calls of each model, in the order of providers and models."""
    priced_calls: int
    """The calls that have a cost now, or would have one, of all models."""
    cost_nano_usd: int
    """Their cost, in nano-USD."""
    unpriced_calls: int
    """The calls that stay without one."""
    price_list: str
    """The price list that was used for the vendors' models."""
    applied: bool
    """Whether the costs are stored."""
    def __init__(self, models: _Optional[_Iterable[_Union[RepricedModel, _Mapping[str, _Any]]]] = ..., priced_calls: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., unpriced_calls: _Optional[int] = ..., price_list: _Optional[str] = ..., applied: _Optional[bool] = ...) -> None: ...

class RepricedModel(_message.Message):
    """The calls of a model that had no cost."""
    __slots__ = ("provider", "model", "priced_calls", "cost_nano_usd", "unpriced")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PRICED_CALLS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_FIELD_NUMBER: _ClassVar[int]
    provider: str
    """The provider."""
    model: str
    """The model that has served: the name of a registered model, or the provider's own."""
    priced_calls: int
    """The calls that have a cost now, or would have one."""
    cost_nano_usd: int
    """Their cost, in nano-USD."""
    unpriced: _containers.RepeatedCompositeFieldContainer[UnpricedCalls]
    """The calls that stay without one, by reason."""
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., priced_calls: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., unpriced: _Optional[_Iterable[_Union[UnpricedCalls, _Mapping[str, _Any]]]] = ...) -> None: ...

class UnpricedCalls(_message.Message):
    """Calls that stay without a cost."""
    __slots__ = ("reason", "calls")
    REASON_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    """Why: PRICE_NOT_LISTED or PRICE_NOT_REGISTERED (no rates for what was used), USAGE_UNKNOWN (its process was lost
    before its usage was known), USAGE_INCOMPLETE (its cost depends on what is not stored: a service tier, tokens that
    are cached for an hour, several attempts, counts that contradict each other), CAUSE_NOT_RECORDED (recorded before
    causes were)."""
    calls: int
    """The calls."""
    def __init__(self, reason: _Optional[str] = ..., calls: _Optional[int] = ...) -> None: ...

class ListCallsRequest(_message.Message):
    """A request for the chats that run."""
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The maximum of calls in the response."""
    page_token: str
    """The `next_page_token` of the page before."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCallsResponse(_message.Message):
    """The chats that run."""
    __slots__ = ("calls", "next_page_token", "unreached_replicas")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNREACHED_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[RunningCall]
    """The calls."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    unreached_replicas: int
    """The replicas that could not be asked, or did not answer in time. Their calls are missing here."""
    def __init__(self, calls: _Optional[_Iterable[_Union[RunningCall, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ..., unreached_replicas: _Optional[int] = ...) -> None: ...

class RunningCall(_message.Message):
    """A chat that runs."""
    __slots__ = ("call_id", "request_id", "method", "model", "provider", "age", "chunks", "key_id", "project_id")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    """The platform's id of the call, as in the ledger and at the end of ChatResponse.response_id."""
    request_id: str
    """The caller's `x-request-id`."""
    method: str
    """The method: `ModelService/ChatStream`."""
    model: str
    """The model in the request. Empty while the request is being read."""
    provider: str
    """The provider that is asked. Empty until one is."""
    age: _duration_pb2.Duration
    """The time since the call came."""
    chunks: int
    """The chunks that were sent."""
    key_id: str
    """The public id of the caller's key."""
    project_id: str
    """Its project."""
    def __init__(self, call_id: _Optional[str] = ..., request_id: _Optional[str] = ..., method: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ..., chunks: _Optional[int] = ..., key_id: _Optional[str] = ..., project_id: _Optional[str] = ...) -> None: ...

class CancelCallRequest(_message.Message):
    """A request to end a chat."""
    __slots__ = ("call_id",)
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    """The call. Required, at most 128 characters."""
    def __init__(self, call_id: _Optional[str] = ...) -> None: ...

class CancelCallResponse(_message.Message):
    """The chat is being ended."""
    __slots__ = ()
    def __init__(self) -> None: ...
