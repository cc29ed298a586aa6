import datetime

from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToolChoiceMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_CHOICE_MODE_UNSPECIFIED: _ClassVar[ToolChoiceMode]
    TOOL_CHOICE_MODE_AUTO: _ClassVar[ToolChoiceMode]
    TOOL_CHOICE_MODE_NONE: _ClassVar[ToolChoiceMode]
    TOOL_CHOICE_MODE_REQUIRED: _ClassVar[ToolChoiceMode]

class ParameterPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARAMETER_POLICY_UNSPECIFIED: _ClassVar[ParameterPolicy]
    PARAMETER_POLICY_ADAPT: _ClassVar[ParameterPolicy]
    PARAMETER_POLICY_STRICT: _ClassVar[ParameterPolicy]
    PARAMETER_POLICY_PASSTHROUGH: _ClassVar[ParameterPolicy]

class ModelSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_SOURCE_UNSPECIFIED: _ClassVar[ModelSource]
    MODEL_SOURCE_BUILT_IN: _ClassVar[ModelSource]
    MODEL_SOURCE_DISCOVERED: _ClassVar[ModelSource]
    MODEL_SOURCE_REGISTERED: _ClassVar[ModelSource]

class LifecycleState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIFECYCLE_STATE_UNSPECIFIED: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_ACTIVE: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_DEPRECATED: _ClassVar[LifecycleState]
    LIFECYCLE_STATE_RETIRED: _ClassVar[LifecycleState]
TOOL_CHOICE_MODE_UNSPECIFIED: ToolChoiceMode
TOOL_CHOICE_MODE_AUTO: ToolChoiceMode
TOOL_CHOICE_MODE_NONE: ToolChoiceMode
TOOL_CHOICE_MODE_REQUIRED: ToolChoiceMode
PARAMETER_POLICY_UNSPECIFIED: ParameterPolicy
PARAMETER_POLICY_ADAPT: ParameterPolicy
PARAMETER_POLICY_STRICT: ParameterPolicy
PARAMETER_POLICY_PASSTHROUGH: ParameterPolicy
MODEL_SOURCE_UNSPECIFIED: ModelSource
MODEL_SOURCE_BUILT_IN: ModelSource
MODEL_SOURCE_DISCOVERED: ModelSource
MODEL_SOURCE_REGISTERED: ModelSource
LIFECYCLE_STATE_UNSPECIFIED: LifecycleState
LIFECYCLE_STATE_ACTIVE: LifecycleState
LIFECYCLE_STATE_DEPRECATED: LifecycleState
LIFECYCLE_STATE_RETIRED: LifecycleState
ASKS_PROVIDER_FIELD_NUMBER: _ClassVar[int]
asks_provider: _descriptor.FieldDescriptor
SCOPE_FIELD_NUMBER: _ClassVar[int]
scope: _descriptor.FieldDescriptor

class ChatRequest(_message.Message):
    __slots__ = ("model", "messages", "config", "tools", "response_format", "system_prompt_name", "tool_choice", "reasoning", "prompt", "session_id", "session", "request_id", "fallback_models", "parameter_policy", "provider_options_json", "tags", "end_user_id", "prompt_cache_key", "timeouts", "cache")
    class ProviderOptionsJsonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_PROMPT_NAME_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_MODELS_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_POLICY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_OPTIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    END_USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_KEY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUTS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    model: str
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    config: ChatConfig
    tools: _containers.RepeatedCompositeFieldContainer[ToolDefinition]
    response_format: ResponseFormat
    system_prompt_name: str
    tool_choice: ToolChoice
    reasoning: ReasoningConfig
    prompt: PromptRef
    session_id: str
    session: SessionOptions
    request_id: str
    fallback_models: _containers.RepeatedScalarFieldContainer[str]
    parameter_policy: ParameterPolicy
    provider_options_json: _containers.ScalarMap[str, str]
    tags: _containers.ScalarMap[str, str]
    end_user_id: str
    prompt_cache_key: str
    timeouts: Timeouts
    cache: AnswerCache
    def __init__(self, model: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping]]] = ..., config: _Optional[_Union[ChatConfig, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[ToolDefinition, _Mapping]]] = ..., response_format: _Optional[_Union[ResponseFormat, _Mapping]] = ..., system_prompt_name: _Optional[str] = ..., tool_choice: _Optional[_Union[ToolChoice, _Mapping]] = ..., reasoning: _Optional[_Union[ReasoningConfig, _Mapping]] = ..., prompt: _Optional[_Union[PromptRef, _Mapping]] = ..., session_id: _Optional[str] = ..., session: _Optional[_Union[SessionOptions, _Mapping]] = ..., request_id: _Optional[str] = ..., fallback_models: _Optional[_Iterable[str]] = ..., parameter_policy: _Optional[_Union[ParameterPolicy, str]] = ..., provider_options_json: _Optional[_Mapping[str, str]] = ..., tags: _Optional[_Mapping[str, str]] = ..., end_user_id: _Optional[str] = ..., prompt_cache_key: _Optional[str] = ..., timeouts: _Optional[_Union[Timeouts, _Mapping]] = ..., cache: _Optional[_Union[AnswerCache, _Mapping]] = ...) -> None: ...

class AnswerCache(_message.Message):
    __slots__ = ("max_age",)
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    max_age: _duration_pb2.Duration
    def __init__(self, max_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Timeouts(_message.Message):
    __slots__ = ("connect", "first_output", "silence", "total")
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    FIRST_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SILENCE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    connect: _duration_pb2.Duration
    first_output: _duration_pb2.Duration
    silence: _duration_pb2.Duration
    total: _duration_pb2.Duration
    def __init__(self, connect: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_output: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., silence: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ChatMessage(_message.Message):
    __slots__ = ("role", "content", "tool_call_id", "tool_calls", "parts", "name")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    tool_call_id: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    parts: _containers.RepeatedCompositeFieldContainer[ContentPart]
    name: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[ContentPart, _Mapping]]] = ..., name: _Optional[str] = ...) -> None: ...

class ContentPart(_message.Message):
    __slots__ = ("text", "media", "tool_call", "tool_result", "reasoning", "refusal", "provider_state", "cache", "citations_json")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MEDIA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    TOOL_RESULT_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_STATE_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    text: str
    media: Media
    tool_call: ToolCall
    tool_result: ToolResult
    reasoning: Reasoning
    refusal: str
    provider_state: ProviderState
    cache: PromptCache
    citations_json: str
    def __init__(self, text: _Optional[str] = ..., media: _Optional[_Union[Media, _Mapping]] = ..., tool_call: _Optional[_Union[ToolCall, _Mapping]] = ..., tool_result: _Optional[_Union[ToolResult, _Mapping]] = ..., reasoning: _Optional[_Union[Reasoning, _Mapping]] = ..., refusal: _Optional[str] = ..., provider_state: _Optional[_Union[ProviderState, _Mapping]] = ..., cache: _Optional[_Union[PromptCache, _Mapping]] = ..., citations_json: _Optional[str] = ...) -> None: ...

class Media(_message.Message):
    __slots__ = ("url", "data", "file_id", "mime_type", "filename", "detail", "enable_citations")
    URL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ENABLE_CITATIONS_FIELD_NUMBER: _ClassVar[int]
    url: str
    data: bytes
    file_id: str
    mime_type: str
    filename: str
    detail: str
    enable_citations: bool
    def __init__(self, url: _Optional[str] = ..., data: _Optional[bytes] = ..., file_id: _Optional[str] = ..., mime_type: _Optional[str] = ..., filename: _Optional[str] = ..., detail: _Optional[str] = ..., enable_citations: _Optional[bool] = ...) -> None: ...

class ToolResult(_message.Message):
    __slots__ = ("tool_call_id", "content", "is_error", "name")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    IS_ERROR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    content: _containers.RepeatedCompositeFieldContainer[ContentPart]
    is_error: bool
    name: str
    def __init__(self, tool_call_id: _Optional[str] = ..., content: _Optional[_Iterable[_Union[ContentPart, _Mapping]]] = ..., is_error: _Optional[bool] = ..., name: _Optional[str] = ...) -> None: ...

class Reasoning(_message.Message):
    __slots__ = ("text", "redacted")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REDACTED_FIELD_NUMBER: _ClassVar[int]
    text: str
    redacted: bool
    def __init__(self, text: _Optional[str] = ..., redacted: _Optional[bool] = ...) -> None: ...

class ProviderState(_message.Message):
    __slots__ = ("provider", "model", "data")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    data: bytes
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class PromptCache(_message.Message):
    __slots__ = ("ttl",)
    TTL_FIELD_NUMBER: _ClassVar[int]
    ttl: _duration_pb2.Duration
    def __init__(self, ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ChatConfig(_message.Message):
    __slots__ = ("temperature", "max_tokens", "top_p", "stop_sequences", "seed", "top_k", "frequency_penalty", "presence_penalty", "parallel_tool_calls", "logprobs", "top_logprobs")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    STOP_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_PENALTY_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    PARALLEL_TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    TOP_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    max_tokens: int
    top_p: float
    stop_sequences: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    top_k: int
    frequency_penalty: float
    presence_penalty: float
    parallel_tool_calls: bool
    logprobs: bool
    top_logprobs: int
    def __init__(self, temperature: _Optional[float] = ..., max_tokens: _Optional[int] = ..., top_p: _Optional[float] = ..., stop_sequences: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., top_k: _Optional[int] = ..., frequency_penalty: _Optional[float] = ..., presence_penalty: _Optional[float] = ..., parallel_tool_calls: _Optional[bool] = ..., logprobs: _Optional[bool] = ..., top_logprobs: _Optional[int] = ...) -> None: ...

class ToolDefinition(_message.Message):
    __slots__ = ("name", "description", "parameters_json", "strict", "provider_tool", "cache")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_JSON_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_TOOL_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    parameters_json: str
    strict: bool
    provider_tool: ProviderTool
    cache: PromptCache
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., parameters_json: _Optional[str] = ..., strict: _Optional[bool] = ..., provider_tool: _Optional[_Union[ProviderTool, _Mapping]] = ..., cache: _Optional[_Union[PromptCache, _Mapping]] = ...) -> None: ...

class ProviderTool(_message.Message):
    __slots__ = ("type", "config_json")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    type: str
    config_json: str
    def __init__(self, type: _Optional[str] = ..., config_json: _Optional[str] = ...) -> None: ...

class ToolChoice(_message.Message):
    __slots__ = ("mode", "tool_name")
    MODE_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    mode: ToolChoiceMode
    tool_name: str
    def __init__(self, mode: _Optional[_Union[ToolChoiceMode, str]] = ..., tool_name: _Optional[str] = ...) -> None: ...

class ReasoningConfig(_message.Message):
    __slots__ = ("effort", "budget_tokens", "include_text")
    EFFORT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TEXT_FIELD_NUMBER: _ClassVar[int]
    effort: str
    budget_tokens: int
    include_text: bool
    def __init__(self, effort: _Optional[str] = ..., budget_tokens: _Optional[int] = ..., include_text: _Optional[bool] = ...) -> None: ...

class PromptRef(_message.Message):
    __slots__ = ("name", "version", "label", "variables")
    class VariablesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    label: str
    variables: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ..., variables: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SessionOptions(_message.Message):
    __slots__ = ("window", "skip_append", "expected_next_sequence", "user_id")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SKIP_APPEND_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    window: WindowPolicy
    skip_append: bool
    expected_next_sequence: int
    user_id: str
    def __init__(self, window: _Optional[_Union[WindowPolicy, _Mapping]] = ..., skip_append: _Optional[bool] = ..., expected_next_sequence: _Optional[int] = ..., user_id: _Optional[str] = ...) -> None: ...

class WindowPolicy(_message.Message):
    __slots__ = ("max_messages", "max_tokens")
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_messages: int
    max_tokens: int
    def __init__(self, max_messages: _Optional[int] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class ResponseFormat(_message.Message):
    __slots__ = ("type", "schema_json", "name", "strict")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    type: str
    schema_json: str
    name: str
    strict: bool
    def __init__(self, type: _Optional[str] = ..., schema_json: _Optional[str] = ..., name: _Optional[str] = ..., strict: _Optional[bool] = ...) -> None: ...

class ChatResponse(_message.Message):
    __slots__ = ("text", "model", "provider", "usage", "tool_calls", "finish_reason", "message", "raw_finish_reason", "response_id", "provider_response_id", "warnings", "attempts", "prompt", "session_id", "session_next_sequence", "timing", "stop_sequence", "source", "registered_model", "logprobs")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RAW_FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    STOP_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_MODEL_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    text: str
    model: str
    provider: str
    usage: TokenUsage
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    finish_reason: str
    message: ChatMessage
    raw_finish_reason: str
    response_id: str
    provider_response_id: str
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    prompt: ResolvedPrompt
    session_id: str
    session_next_sequence: int
    timing: Timing
    stop_sequence: str
    source: ModelSource
    registered_model: str
    logprobs: Logprobs
    def __init__(self, text: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., usage: _Optional[_Union[TokenUsage, _Mapping]] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping]]] = ..., finish_reason: _Optional[str] = ..., message: _Optional[_Union[ChatMessage, _Mapping]] = ..., raw_finish_reason: _Optional[str] = ..., response_id: _Optional[str] = ..., provider_response_id: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping]]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., prompt: _Optional[_Union[ResolvedPrompt, _Mapping]] = ..., session_id: _Optional[str] = ..., session_next_sequence: _Optional[int] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., stop_sequence: _Optional[str] = ..., source: _Optional[_Union[ModelSource, str]] = ..., registered_model: _Optional[str] = ..., logprobs: _Optional[_Union[Logprobs, _Mapping]] = ...) -> None: ...

class Logprobs(_message.Message):
    __slots__ = ("content", "refusal")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    content: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    refusal: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    def __init__(self, content: _Optional[_Iterable[_Union[TokenLogprob, _Mapping]]] = ..., refusal: _Optional[_Iterable[_Union[TokenLogprob, _Mapping]]] = ...) -> None: ...

class TokenLogprob(_message.Message):
    __slots__ = ("token", "logprob", "token_bytes", "top_logprobs")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOP_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    token: str
    logprob: float
    token_bytes: bytes
    top_logprobs: _containers.RepeatedCompositeFieldContainer[TopLogprob]
    def __init__(self, token: _Optional[str] = ..., logprob: _Optional[float] = ..., token_bytes: _Optional[bytes] = ..., top_logprobs: _Optional[_Iterable[_Union[TopLogprob, _Mapping]]] = ...) -> None: ...

class TopLogprob(_message.Message):
    __slots__ = ("token", "logprob", "token_bytes")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    token: str
    logprob: float
    token_bytes: bytes
    def __init__(self, token: _Optional[str] = ..., logprob: _Optional[float] = ..., token_bytes: _Optional[bytes] = ...) -> None: ...

class ToolCall(_message.Message):
    __slots__ = ("id", "name", "arguments_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    arguments_json: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class TokenUsage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_prompt_tokens", "cache_write_tokens", "reasoning_tokens", "cost_nano_usd", "estimated", "long_cache_write_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    LONG_CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_prompt_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
    estimated: bool
    long_cache_write_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., total_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., estimated: _Optional[bool] = ..., long_cache_write_tokens: _Optional[int] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("code", "field", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    field: str
    message: str
    def __init__(self, code: _Optional[str] = ..., field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("model", "provider", "outcome", "latency", "http_status", "waited", "usage", "host")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    WAITED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    model: str
    provider: str
    outcome: str
    latency: _duration_pb2.Duration
    http_status: int
    waited: _duration_pb2.Duration
    usage: TokenUsage
    host: str
    def __init__(self, model: _Optional[str] = ..., provider: _Optional[str] = ..., outcome: _Optional[str] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., http_status: _Optional[int] = ..., waited: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., usage: _Optional[_Union[TokenUsage, _Mapping]] = ..., host: _Optional[str] = ...) -> None: ...

class ResolvedPrompt(_message.Message):
    __slots__ = ("name", "version", "label")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    label: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("total", "first_token")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    total: _duration_pb2.Duration
    first_token: _duration_pb2.Duration
    def __init__(self, total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_token: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ChatChunk(_message.Message):
    __slots__ = ("token", "index", "finish_reason", "usage", "reasoning", "tool_call_delta", "completed_part", "response", "logprobs")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_DELTA_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_PART_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    token: str
    index: int
    finish_reason: str
    usage: TokenUsage
    reasoning: str
    tool_call_delta: ToolCallDelta
    completed_part: ContentPart
    response: ChatResponse
    logprobs: Logprobs
    def __init__(self, token: _Optional[str] = ..., index: _Optional[int] = ..., finish_reason: _Optional[str] = ..., usage: _Optional[_Union[TokenUsage, _Mapping]] = ..., reasoning: _Optional[str] = ..., tool_call_delta: _Optional[_Union[ToolCallDelta, _Mapping]] = ..., completed_part: _Optional[_Union[ContentPart, _Mapping]] = ..., response: _Optional[_Union[ChatResponse, _Mapping]] = ..., logprobs: _Optional[_Union[Logprobs, _Mapping]] = ...) -> None: ...

class ToolCallDelta(_message.Message):
    __slots__ = ("index", "id", "name", "arguments_json")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    name: str
    arguments_json: str
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class PreviewChatRequest(_message.Message):
    __slots__ = ("request", "stream")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    request: ChatRequest
    stream: bool
    def __init__(self, request: _Optional[_Union[ChatRequest, _Mapping]] = ..., stream: _Optional[bool] = ...) -> None: ...

class PreviewChatResponse(_message.Message):
    __slots__ = ("method", "path", "body_json", "warnings", "provider", "model", "source", "registered_model", "host")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    BODY_JSON_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_MODEL_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    method: str
    path: str
    body_json: str
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    provider: str
    model: str
    source: ModelSource
    registered_model: str
    host: str
    def __init__(self, method: _Optional[str] = ..., path: _Optional[str] = ..., body_json: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping]]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., source: _Optional[_Union[ModelSource, str]] = ..., registered_model: _Optional[str] = ..., host: _Optional[str] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "provider")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    provider: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., provider: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelInfo]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[ModelInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("name", "provider", "capabilities", "aliases", "source", "configured")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    name: str
    provider: str
    capabilities: ModelCapabilities
    aliases: _containers.RepeatedScalarFieldContainer[str]
    source: ModelSource
    configured: bool
    def __init__(self, name: _Optional[str] = ..., provider: _Optional[str] = ..., capabilities: _Optional[_Union[ModelCapabilities, _Mapping]] = ..., aliases: _Optional[_Iterable[str]] = ..., source: _Optional[_Union[ModelSource, str]] = ..., configured: _Optional[bool] = ...) -> None: ...

class GetCapabilitiesRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ModelCapabilities(_message.Message):
    __slots__ = ("context_window", "supports_vision", "supports_tools", "max_output_tokens", "supports_streaming", "supports_json_schema", "supports_reasoning", "supports_documents", "supports_prompt_caching", "unsupported_parameters", "prices", "lifecycle", "source", "as_of", "served_names", "reasoning_efforts", "supports_audio")
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_VISION_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_TOOLS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_STREAMING_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_REASONING_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_PROMPT_CACHING_FIELD_NUMBER: _ClassVar[int]
    UNSUPPORTED_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    LIFECYCLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    SERVED_NAMES_FIELD_NUMBER: _ClassVar[int]
    REASONING_EFFORTS_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_AUDIO_FIELD_NUMBER: _ClassVar[int]
    context_window: int
    supports_vision: bool
    supports_tools: bool
    max_output_tokens: int
    supports_streaming: bool
    supports_json_schema: bool
    supports_reasoning: bool
    supports_documents: bool
    supports_prompt_caching: bool
    unsupported_parameters: _containers.RepeatedScalarFieldContainer[str]
    prices: ModelPrices
    lifecycle: Lifecycle
    source: str
    as_of: str
    served_names: _containers.RepeatedScalarFieldContainer[str]
    reasoning_efforts: _containers.RepeatedScalarFieldContainer[str]
    supports_audio: bool
    def __init__(self, context_window: _Optional[int] = ..., supports_vision: _Optional[bool] = ..., supports_tools: _Optional[bool] = ..., max_output_tokens: _Optional[int] = ..., supports_streaming: _Optional[bool] = ..., supports_json_schema: _Optional[bool] = ..., supports_reasoning: _Optional[bool] = ..., supports_documents: _Optional[bool] = ..., supports_prompt_caching: _Optional[bool] = ..., unsupported_parameters: _Optional[_Iterable[str]] = ..., prices: _Optional[_Union[ModelPrices, _Mapping]] = ..., lifecycle: _Optional[_Union[Lifecycle, _Mapping]] = ..., source: _Optional[str] = ..., as_of: _Optional[str] = ..., served_names: _Optional[_Iterable[str]] = ..., reasoning_efforts: _Optional[_Iterable[str]] = ..., supports_audio: _Optional[bool] = ...) -> None: ...

class ModelPrices(_message.Message):
    __slots__ = ("prompt_nano_usd", "completion_nano_usd", "cached_prompt_nano_usd", "cache_write_nano_usd", "long_cache_write_nano_usd")
    PROMPT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    LONG_CACHE_WRITE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    prompt_nano_usd: int
    completion_nano_usd: int
    cached_prompt_nano_usd: int
    cache_write_nano_usd: int
    long_cache_write_nano_usd: int
    def __init__(self, prompt_nano_usd: _Optional[int] = ..., completion_nano_usd: _Optional[int] = ..., cached_prompt_nano_usd: _Optional[int] = ..., cache_write_nano_usd: _Optional[int] = ..., long_cache_write_nano_usd: _Optional[int] = ...) -> None: ...

class Lifecycle(_message.Message):
    __slots__ = ("state", "deprecation_date", "shutdown_date", "replacement")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DEPRECATION_DATE_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_DATE_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    state: LifecycleState
    deprecation_date: str
    shutdown_date: str
    replacement: str
    def __init__(self, state: _Optional[_Union[LifecycleState, str]] = ..., deprecation_date: _Optional[str] = ..., shutdown_date: _Optional[str] = ..., replacement: _Optional[str] = ...) -> None: ...

class PromptMetadata(_message.Message):
    __slots__ = ("author", "reviewed_by", "tags")
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_BY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    author: str
    reviewed_by: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, author: _Optional[str] = ..., reviewed_by: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class PromptDefaults(_message.Message):
    __slots__ = ("model", "config", "tools", "response_format")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    model: str
    config: ChatConfig
    tools: _containers.RepeatedCompositeFieldContainer[ToolDefinition]
    response_format: ResponseFormat
    def __init__(self, model: _Optional[str] = ..., config: _Optional[_Union[ChatConfig, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[ToolDefinition, _Mapping]]] = ..., response_format: _Optional[_Union[ResponseFormat, _Mapping]] = ...) -> None: ...

class RegisterPromptRequest(_message.Message):
    __slots__ = ("name", "content", "metadata", "labels", "commit_message", "defaults")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    content: str
    metadata: PromptMetadata
    labels: _containers.RepeatedScalarFieldContainer[str]
    commit_message: str
    defaults: PromptDefaults
    def __init__(self, name: _Optional[str] = ..., content: _Optional[str] = ..., metadata: _Optional[_Union[PromptMetadata, _Mapping]] = ..., labels: _Optional[_Iterable[str]] = ..., commit_message: _Optional[str] = ..., defaults: _Optional[_Union[PromptDefaults, _Mapping]] = ...) -> None: ...

class RegisterPromptResponse(_message.Message):
    __slots__ = ("name", "version", "prompt", "created", "warnings", "created_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    prompt: Prompt
    created: bool
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    created_at: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., prompt: _Optional[_Union[Prompt, _Mapping]] = ..., created: _Optional[bool] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping]]] = ..., created_at: _Optional[str] = ...) -> None: ...

class Prompt(_message.Message):
    __slots__ = ("name", "content", "metadata", "version", "created_at", "labels", "commit_message", "defaults", "variables", "content_hash", "archived_at", "resolved_label")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_AT_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_LABEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    content: str
    metadata: PromptMetadata
    version: int
    created_at: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    commit_message: str
    defaults: PromptDefaults
    variables: _containers.RepeatedScalarFieldContainer[str]
    content_hash: str
    archived_at: _timestamp_pb2.Timestamp
    resolved_label: str
    def __init__(self, name: _Optional[str] = ..., content: _Optional[str] = ..., metadata: _Optional[_Union[PromptMetadata, _Mapping]] = ..., version: _Optional[int] = ..., created_at: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., commit_message: _Optional[str] = ..., defaults: _Optional[_Union[PromptDefaults, _Mapping]] = ..., variables: _Optional[_Iterable[str]] = ..., content_hash: _Optional[str] = ..., archived_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolved_label: _Optional[str] = ...) -> None: ...

class GetPromptRequest(_message.Message):
    __slots__ = ("name", "version", "label")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    label: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class ListPromptsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "query", "label", "tags", "include_archived")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    query: str
    label: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    include_archived: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., query: _Optional[str] = ..., label: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., include_archived: _Optional[bool] = ...) -> None: ...

class ListPromptsResponse(_message.Message):
    __slots__ = ("prompts", "next_page_token")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    next_page_token: str
    def __init__(self, prompts: _Optional[_Iterable[_Union[Prompt, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListPromptVersionsRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token", "include_archived")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    include_archived: bool
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., include_archived: _Optional[bool] = ...) -> None: ...

class ListPromptVersionsResponse(_message.Message):
    __slots__ = ("prompts", "next_page_token")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    next_page_token: str
    def __init__(self, prompts: _Optional[_Iterable[_Union[Prompt, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetPromptLabelRequest(_message.Message):
    __slots__ = ("name", "label", "version", "expected_version", "reason", "actor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    label: str
    version: int
    expected_version: int
    reason: str
    actor: str
    def __init__(self, name: _Optional[str] = ..., label: _Optional[str] = ..., version: _Optional[int] = ..., expected_version: _Optional[int] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class SetPromptLabelResponse(_message.Message):
    __slots__ = ("prompt", "previous_version")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    prompt: Prompt
    previous_version: int
    def __init__(self, prompt: _Optional[_Union[Prompt, _Mapping]] = ..., previous_version: _Optional[int] = ...) -> None: ...

class ArchivePromptRequest(_message.Message):
    __slots__ = ("name", "version", "unarchive", "reason", "actor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UNARCHIVE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    unarchive: bool
    reason: str
    actor: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., unarchive: _Optional[bool] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class ArchivePromptResponse(_message.Message):
    __slots__ = ("prompts",)
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    def __init__(self, prompts: _Optional[_Iterable[_Union[Prompt, _Mapping]]] = ...) -> None: ...

class ListPromptEventsRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPromptEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[PromptEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[PromptEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PromptEvent(_message.Message):
    __slots__ = ("type", "name", "version", "label", "previous_version", "actor", "reason", "time")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    type: str
    name: str
    version: int
    label: str
    previous_version: int
    actor: str
    reason: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, type: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ..., previous_version: _Optional[int] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RenderPromptRequest(_message.Message):
    __slots__ = ("prompt",)
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    prompt: PromptRef
    def __init__(self, prompt: _Optional[_Union[PromptRef, _Mapping]] = ...) -> None: ...

class RenderPromptResponse(_message.Message):
    __slots__ = ("text", "prompt", "warnings")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    text: str
    prompt: Prompt
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    def __init__(self, text: _Optional[str] = ..., prompt: _Optional[_Union[Prompt, _Mapping]] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping]]] = ...) -> None: ...

class Credential(_message.Message):
    __slots__ = ("env_var", "file")
    ENV_VAR_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    env_var: str
    file: str
    def __init__(self, env_var: _Optional[str] = ..., file: _Optional[str] = ...) -> None: ...

class RegisterModelRequest(_message.Message):
    __slots__ = ("name", "endpoint", "capabilities", "health_check", "adapter_type", "provider", "upstream_model", "credential", "aliases", "default_options_json", "validate_only", "endpoints")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    HEALTH_CHECK_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_TYPE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_OPTIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    endpoint: str
    capabilities: ModelCapabilities
    health_check: str
    adapter_type: str
    provider: str
    upstream_model: str
    credential: Credential
    aliases: _containers.RepeatedScalarFieldContainer[str]
    default_options_json: str
    validate_only: bool
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., endpoint: _Optional[str] = ..., capabilities: _Optional[_Union[ModelCapabilities, _Mapping]] = ..., health_check: _Optional[str] = ..., adapter_type: _Optional[str] = ..., provider: _Optional[str] = ..., upstream_model: _Optional[str] = ..., credential: _Optional[_Union[Credential, _Mapping]] = ..., aliases: _Optional[_Iterable[str]] = ..., default_options_json: _Optional[str] = ..., validate_only: _Optional[bool] = ..., endpoints: _Optional[_Iterable[str]] = ...) -> None: ...

class RegisterModelResponse(_message.Message):
    __slots__ = ("model", "created", "warnings", "name", "status", "registered_at")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_FIELD_NUMBER: _ClassVar[int]
    model: RegisteredModel
    created: bool
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    name: str
    status: str
    registered_at: str
    def __init__(self, model: _Optional[_Union[RegisteredModel, _Mapping]] = ..., created: _Optional[bool] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping]]] = ..., name: _Optional[str] = ..., status: _Optional[str] = ..., registered_at: _Optional[str] = ...) -> None: ...

class RegisteredModel(_message.Message):
    __slots__ = ("name", "endpoint", "capabilities", "health_check", "adapter_type", "provider", "upstream_model", "credential", "aliases", "default_options_json", "status", "registered_at", "overrides_builtin", "untrusted", "endpoints")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    HEALTH_CHECK_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_TYPE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_OPTIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_BUILTIN_FIELD_NUMBER: _ClassVar[int]
    UNTRUSTED_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    endpoint: str
    capabilities: ModelCapabilities
    health_check: str
    adapter_type: str
    provider: str
    upstream_model: str
    credential: Credential
    aliases: _containers.RepeatedScalarFieldContainer[str]
    default_options_json: str
    status: str
    registered_at: str
    overrides_builtin: bool
    untrusted: bool
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., endpoint: _Optional[str] = ..., capabilities: _Optional[_Union[ModelCapabilities, _Mapping]] = ..., health_check: _Optional[str] = ..., adapter_type: _Optional[str] = ..., provider: _Optional[str] = ..., upstream_model: _Optional[str] = ..., credential: _Optional[_Union[Credential, _Mapping]] = ..., aliases: _Optional[_Iterable[str]] = ..., default_options_json: _Optional[str] = ..., status: _Optional[str] = ..., registered_at: _Optional[str] = ..., overrides_builtin: _Optional[bool] = ..., untrusted: _Optional[bool] = ..., endpoints: _Optional[_Iterable[str]] = ...) -> None: ...

class ListRegisteredModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRegisteredModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[RegisteredModel]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[RegisteredModel, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetModelStatusRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ModelStatus(_message.Message):
    __slots__ = ("name", "status", "last_checked", "endpoint", "reason", "message", "consecutive_failures", "last_success", "since", "endpoints")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_CHECKED_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CONSECUTIVE_FAILURES_FIELD_NUMBER: _ClassVar[int]
    LAST_SUCCESS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    status: str
    last_checked: str
    endpoint: str
    reason: str
    message: str
    consecutive_failures: int
    last_success: _timestamp_pb2.Timestamp
    since: _timestamp_pb2.Timestamp
    endpoints: _containers.RepeatedCompositeFieldContainer[EndpointStatus]
    def __init__(self, name: _Optional[str] = ..., status: _Optional[str] = ..., last_checked: _Optional[str] = ..., endpoint: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., consecutive_failures: _Optional[int] = ..., last_success: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., endpoints: _Optional[_Iterable[_Union[EndpointStatus, _Mapping]]] = ...) -> None: ...

class EndpointStatus(_message.Message):
    __slots__ = ("endpoint", "status", "reason", "message")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    status: str
    reason: str
    message: str
    def __init__(self, endpoint: _Optional[str] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class DeregisterModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeregisterModelResponse(_message.Message):
    __slots__ = ("builtin_restored",)
    BUILTIN_RESTORED_FIELD_NUMBER: _ClassVar[int]
    builtin_restored: bool
    def __init__(self, builtin_restored: _Optional[bool] = ...) -> None: ...
