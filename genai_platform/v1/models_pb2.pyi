import os as _os
from typing import Any as _Any
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
    """A general rule for calling tools."""
    __slots__ = ()
    TOOL_CHOICE_MODE_UNSPECIFIED: _ClassVar[ToolChoiceMode]
    """The provider's default."""
    TOOL_CHOICE_MODE_AUTO: _ClassVar[ToolChoiceMode]
    """The model decides."""
    TOOL_CHOICE_MODE_NONE: _ClassVar[ToolChoiceMode]
    """No tool is called."""
    TOOL_CHOICE_MODE_REQUIRED: _ClassVar[ToolChoiceMode]
    """At least one tool is called."""

class ParameterPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The policy for parameters that a model does not support."""
    __slots__ = ()
    PARAMETER_POLICY_UNSPECIFIED: _ClassVar[ParameterPolicy]
    """The same as ADAPT."""
    PARAMETER_POLICY_ADAPT: _ClassVar[ParameterPolicy]
    """They are changed or left out, and named in `warnings`."""
    PARAMETER_POLICY_STRICT: _ClassVar[ParameterPolicy]
    """The call is refused with INVALID_ARGUMENT, which names all of them."""
    PARAMETER_POLICY_PASSTHROUGH: _ClassVar[ParameterPolicy]
    """They are sent unchanged; the provider decides."""

class ModelSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The source from which the platform knows a model."""
    __slots__ = ()
    MODEL_SOURCE_UNSPECIFIED: _ClassVar[ModelSource]
    """Not known."""
    MODEL_SOURCE_BUILT_IN: _ClassVar[ModelSource]
    """It is built in."""
    MODEL_SOURCE_DISCOVERED: _ClassVar[ModelSource]
    """It is in a provider's own list."""
    MODEL_SOURCE_REGISTERED: _ClassVar[ModelSource]
    """It was registered with RegisterModel."""

class LifecycleState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The state of a model's lifecycle."""
    __slots__ = ()
    LIFECYCLE_STATE_UNSPECIFIED: _ClassVar[LifecycleState]
    """Not known."""
    LIFECYCLE_STATE_ACTIVE: _ClassVar[LifecycleState]
    """Served, without an announced shutdown."""
    LIFECYCLE_STATE_DEPRECATED: _ClassVar[LifecycleState]
    """Served, with an announced shutdown."""
    LIFECYCLE_STATE_RETIRED: _ClassVar[LifecycleState]
    """No longer served: calls go to its replacement."""
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
ASKS_PROVIDER_FIELD_NUMBER: int
asks_provider: _descriptor.FieldDescriptor
SCOPE_FIELD_NUMBER: int
scope: _descriptor.FieldDescriptor
AUDITED_FIELD_NUMBER: int
audited: _descriptor.FieldDescriptor
OF_ONE_REPLICA_FIELD_NUMBER: int
of_one_replica: _descriptor.FieldDescriptor
OF_ALL_REPLICAS_FIELD_NUMBER: int
of_all_replicas: _descriptor.FieldDescriptor

class ChatRequest(_message.Message):
    """A chat with one model."""
    __slots__ = ("model", "messages", "config", "tools", "response_format", "system_prompt_name", "tool_choice", "reasoning", "prompt", "session_id", "session", "request_id", "fallback_models", "parameter_policy", "provider_options_json", "tags", "end_user_id", "prompt_cache_key", "timeouts", "cache", "provider_headers")
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
    class ProviderHeadersEntry(_message.Message):
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
    PROVIDER_HEADERS_FIELD_NUMBER: _ClassVar[int]
    model: str
    """The model's name: a registered model, a built-in one, an id of a configured provider (`gpt-…`, `o…`, `claude-…`),
    or `provider/id`. Required, at most 256 characters without blanks. If the caller's key has patterns of models, one
    must match the name, or the `provider/id` that it leads to; of a retired model, a name of the one that answers.
    Otherwise PERMISSION_DENIED MODEL_NOT_ALLOWED, with up to 10 of the patterns."""
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    """The conversation so far, oldest first. Required, at most 10,000 messages (with a `session_id` 999), with at most
    20,000 parts and tool calls together, including the contents of tool results."""
    config: ChatConfig
    """Sampling and length. Unset: the provider's defaults."""
    tools: _containers.RepeatedCompositeFieldContainer[ToolDefinition]
    """The tools that the model may call. At most 1024; OpenAI accepts 128."""
    response_format: ResponseFormat
    """The format of the answer. Unset: text."""
    system_prompt_name: str
    """A registered prompt whose content is inserted before `messages` as the system message: the version in force."""
    tool_choice: ToolChoice
    """Whether and which tool is called. Unset: the provider's default, which is `auto` when tools are given."""
    reasoning: ReasoningConfig
    """How much the model reasons before it answers. Unset: the provider's default."""
    prompt: PromptRef
    """A registered prompt by version or label, with its variables. Excludes `system_prompt_name`."""
    session_id: str
    """The session whose history is inserted before `messages`. When the answer is complete, `messages` and the answer
    are appended to it, for which a key needs the scope `sessions`, too. A session has one turn at a time: a second one
    is refused at once with ABORTED SESSION_BUSY, also for up to 10 s after the process of the first one was killed."""
    session: SessionOptions
    """Options for reading and writing the session. Needs `session_id`."""
    request_id: str
    """Makes the call idempotent: for a day, the same request with the same id by the same key, or from the same host
    where nobody is asked who calls, gets the first call's answer, with a warning ANSWER_REPEATED, also if its model or
    prompt is gone. The ids of others do not matter. While that call runs it is waited for, also for up to 10 s after
    its process was killed. Another request with the id is refused with INVALID_ARGUMENT REQUEST_ID_REUSED. A call that
    fails frees its id. Where only the session has the answer, it comes without usage, and with `other` as its finish
    reason if it calls no tools. A caller's newest 100,000 answers of 1 GiB are kept, in total 400,000 of 4 GiB. At most
    64 characters."""
    fallback_models: _containers.RepeatedScalarFieldContainer[str]
    """Models that are tried in this order if `model` cannot answer, before the first output only. At most 8, each named
    once. A warning FALLBACK_SERVED says that one of them answered. One that the caller's key may not call is refused as
    `model` is; of the operator's own fallbacks such models are left out."""
    parameter_policy: ParameterPolicy
    """The policy for parameters that the model does not support. Unset: ADAPT."""
    provider_options_json: _containers.ScalarMap[str, str]
    """Adapter type of the provider, such as `openai` (README.md has a table of them), to a JSON object that is merged,
    key by key, into the body of the request: objects are merged, lists joined, other values replaced. It is not sent to
    providers of other types. At most 16 entries of at most 256 KiB, nested at most 64 levels deep."""
    tags: _containers.ScalarMap[str, str]
    """The caller's own labels for accounting; never sent to a provider. At most 16, of at most 256 characters."""
    end_user_id: str
    """An opaque id of the end user, sent to providers that use one for abuse detection. Not an email address or a name.
    At most 1024 characters; a provider that accepts fewer gets a hash of it."""
    prompt_cache_key: str
    """A key that requests with a common prefix share, for providers that look up cached prompts by it (OpenAI). At most
    64 characters."""
    timeouts: Timeouts
    """Timeouts of each attempt, beside the deadline of the call. Unset: those of the operator, or of the platform."""
    cache: AnswerCache
    """Shares the answer with equal requests of the same key, or host where nobody is asked who calls, from the memory
    of the process that serves them. Unset: each request is answered anew. Not in a session."""
    provider_headers: _containers.ScalarMap[str, str]
    """Header fields for the provider, each sent only to servers of its vendor's dialects: `anthropic-beta` and `openai-
    beta`, which turn on what a vendor tries out. No others: a key would be one of them, and another `anthropic-version`
    would be that of another body. At most 4096 printable characters of ASCII."""
    def __init__(self, model: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping[str, _Any]]]] = ..., config: _Optional[_Union[ChatConfig, _Mapping[str, _Any]]] = ..., tools: _Optional[_Iterable[_Union[ToolDefinition, _Mapping[str, _Any]]]] = ..., response_format: _Optional[_Union[ResponseFormat, _Mapping[str, _Any]]] = ..., system_prompt_name: _Optional[str] = ..., tool_choice: _Optional[_Union[ToolChoice, _Mapping[str, _Any]]] = ..., reasoning: _Optional[_Union[ReasoningConfig, _Mapping[str, _Any]]] = ..., prompt: _Optional[_Union[PromptRef, _Mapping[str, _Any]]] = ..., session_id: _Optional[str] = ..., session: _Optional[_Union[SessionOptions, _Mapping[str, _Any]]] = ..., request_id: _Optional[str] = ..., fallback_models: _Optional[_Iterable[str]] = ..., parameter_policy: _Optional[_Union[ParameterPolicy, str]] = ..., provider_options_json: _Optional[_Mapping[str, str]] = ..., tags: _Optional[_Mapping[str, str]] = ..., end_user_id: _Optional[str] = ..., prompt_cache_key: _Optional[str] = ..., timeouts: _Optional[_Union[Timeouts, _Mapping[str, _Any]]] = ..., cache: _Optional[_Union[AnswerCache, _Mapping[str, _Any]]] = ..., provider_headers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AnswerCache(_message.Message):
    """The sharing of an answer. A request that finds an equal one running waits for its answer; one that gets the
    answer of another has a warning ANSWER_FROM_MEMORY, and all with the same `timeouts` have its error if it fails. It
    is not waited for while its caller does not read. Requests are equal if all fields are but `request_id`, `tags`,
    `timeouts` and this one, their models are registered as they were, and their prompt has the same text."""
    __slots__ = ("max_age",)
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    max_age: _duration_pb2.Duration
    """The greatest age of the answer, at most 24 hours. Unset or 0: only the answer of a request that runs is
    shared."""
    def __init__(self, max_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ...) -> None: ...

class Timeouts(_message.Message):
    """Timeouts of one attempt, each above 0 and at most 24 hours. Pings and heartbeats of a provider end none of them.
    A timeout that passes before the first output lets another attempt follow."""
    __slots__ = ("connect", "first_output", "silence", "total")
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    FIRST_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SILENCE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    connect: _duration_pb2.Duration
    """The time to open a connection. Unset: 5 s."""
    first_output: _duration_pb2.Duration
    """The time from the request to the first output. Streams only. Unset: 300 s."""
    silence: _duration_pb2.Duration
    """The time between two outputs. Streams only. Unset: 300 s."""
    total: _duration_pb2.Duration
    """The time from the request to the end of the answer. Unset: only the deadline of the call ends it."""
    def __init__(self, connect: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ..., first_output: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ..., silence: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ...) -> None: ...

class ChatMessage(_message.Message):
    """One message of a conversation. `content`, `tool_calls` and `tool_call_id` are the short form of `parts`; a
    message uses the short form, or `parts`, or both if they are equivalent (as in ChatResponse.message, which can be
    sent back unchanged)."""
    __slots__ = ("role", "content", "tool_call_id", "tool_calls", "parts", "name")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    role: str
    """`system`, `developer`, `user`, `assistant` or `tool`. Required."""
    content: str
    """The text. With `parts` set: the joined text parts, or empty."""
    tool_call_id: str
    """For role `tool`: the id of the tool call that this message answers. Required there unless `parts` contain the
    result."""
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    """For role `assistant`: its tool calls. At most 2000."""
    parts: _containers.RepeatedCompositeFieldContainer[ContentPart]
    """The message as an ordered list. If set, it takes precedence over the short form. At most 2000."""
    name: str
    """A name for the speaker, sent to providers that accept one."""
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping[str, _Any]]]] = ..., parts: _Optional[_Iterable[_Union[ContentPart, _Mapping[str, _Any]]]] = ..., name: _Optional[str] = ...) -> None: ...

class ContentPart(_message.Message):
    """A part of a message."""
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
    """Plain text."""
    media: Media
    """An image, document, audio or video."""
    tool_call: ToolCall
    """A tool call. Role `assistant` only."""
    tool_result: ToolResult
    """The result of a tool. Role `tool` only."""
    reasoning: Reasoning
    """The model's reasoning, as far as the provider returns it. Role `assistant` only."""
    refusal: str
    """The model's refusal, in its own words. Role `assistant` only."""
    provider_state: ProviderState
    """State that must go back to the provider unchanged with this part: signatures, encrypted reasoning."""
    cache: PromptCache
    """A cache breakpoint: ends a prompt-cache prefix after this part, for providers with explicit breakpoints."""
    citations_json: str
    """The sources that the provider names for this text: a JSON array as the provider wrote it. In answers only."""
    def __init__(self, text: _Optional[str] = ..., media: _Optional[_Union[Media, _Mapping[str, _Any]]] = ..., tool_call: _Optional[_Union[ToolCall, _Mapping[str, _Any]]] = ..., tool_result: _Optional[_Union[ToolResult, _Mapping[str, _Any]]] = ..., reasoning: _Optional[_Union[Reasoning, _Mapping[str, _Any]]] = ..., refusal: _Optional[str] = ..., provider_state: _Optional[_Union[ProviderState, _Mapping[str, _Any]]] = ..., cache: _Optional[_Union[PromptCache, _Mapping[str, _Any]]] = ..., citations_json: _Optional[str] = ...) -> None: ...

class Media(_message.Message):
    """Media, by value or by reference."""
    __slots__ = ("url", "data", "file_id", "mime_type", "filename", "detail", "enable_citations")
    URL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ENABLE_CITATIONS_FIELD_NUMBER: _ClassVar[int]
    url: str
    """An http(s) URL that the provider fetches. At most 8192 characters."""
    data: bytes
    """The bytes."""
    file_id: str
    """The id of a file that is stored at the provider. At most 256 characters."""
    mime_type: str
    """The media type, such as `image/png` or `application/pdf`. Required with `data`."""
    filename: str
    """The file name, for providers that show it to the model. At most 256 characters."""
    detail: str
    """`low`, `high` or `auto`: the resolution at which an image is read. Unset: the provider's default."""
    enable_citations: bool
    """Whether the answer cites passages of this document, in `citations_json` (Anthropic, which requires the same value
    for all documents of a request). Unset: the provider's default."""
    def __init__(self, url: _Optional[str] = ..., data: _Optional[bytes] = ..., file_id: _Optional[str] = ..., mime_type: _Optional[str] = ..., filename: _Optional[str] = ..., detail: _Optional[str] = ..., enable_citations: _Optional[bool] = ...) -> None: ...
    @classmethod
    def from_file(
        cls,
        path: str | _os.PathLike[str],
        *,
        mime_type: str | None = ...,
        detail: str = ...,
        enable_citations: bool | None = ...,
    ) -> Media:
        """Media with the content and the name of a file. Added by genai_platform."""

class ToolResult(_message.Message):
    """The result of a tool call."""
    __slots__ = ("tool_call_id", "content", "is_error", "name")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    IS_ERROR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    """The id of the tool call. Required."""
    content: _containers.RepeatedCompositeFieldContainer[ContentPart]
    """The result, in order: text and media. At most 2000 parts."""
    is_error: bool
    """True if the tool failed; `content` describes the failure."""
    name: str
    """The tool's name, for providers that require it."""
    def __init__(self, tool_call_id: _Optional[str] = ..., content: _Optional[_Iterable[_Union[ContentPart, _Mapping[str, _Any]]]] = ..., is_error: _Optional[bool] = ..., name: _Optional[str] = ...) -> None: ...

class Reasoning(_message.Message):
    """Reasoning in an answer."""
    __slots__ = ("text", "redacted")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REDACTED_FIELD_NUMBER: _ClassVar[int]
    text: str
    """The reasoning, or its summary, as far as the provider returns it; else empty."""
    redacted: bool
    """True if the provider does not return the text, and sent only opaque state."""
    def __init__(self, text: _Optional[str] = ..., redacted: _Optional[bool] = ...) -> None: ...

class ProviderState(_message.Message):
    """Opaque state of one provider, kept byte for byte, in its position and order."""
    __slots__ = ("provider", "model", "data")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    provider: str
    """The provider that created it. It is left out for other providers, with a warning."""
    model: str
    """The model that created it."""
    data: bytes
    """The provider's bytes: a JSON object, which is sent back unchanged. At most 16 MiB. Never logged. State that an
    answer of the model could not contain, such as a message of another role or the result of a call, is refused; in the
    history of a session it is left out, with a warning."""
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class PromptCache(_message.Message):
    """A cache breakpoint."""
    __slots__ = ("ttl",)
    TTL_FIELD_NUMBER: _ClassVar[int]
    ttl: _duration_pb2.Duration
    """The time to keep the prefix: above 0, at most 24 hours. Unset: the provider's default."""
    def __init__(self, ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ...) -> None: ...

class ChatConfig(_message.Message):
    """Sampling and length. Unset fields are not sent."""
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
    """Randomness, 0 to 2 (for providers with a lower maximum, a warning has the value that was sent)."""
    max_tokens: int
    """The maximum of generated tokens, including reasoning; at least 1."""
    top_p: float
    """Nucleus sampling, above 0 to 1."""
    stop_sequences: _containers.RepeatedScalarFieldContainer[str]
    """Texts that end the answer when generated; at most 16, none empty."""
    seed: int
    """A seed for reproducible answers, as far as the provider supports it."""
    top_k: int
    """Samples from the k likeliest tokens only; at least 1."""
    frequency_penalty: float
    """The penalty for frequent tokens, -2 to 2."""
    presence_penalty: float
    """The penalty for tokens that are already present, -2 to 2."""
    parallel_tool_calls: bool
    """Whether the model may call several tools at once. Unset: the provider's default."""
    logprobs: bool
    """Whether the answer contains the log probability of each token, in `logprobs` (OpenAI and servers with its
    dialects; not its reasoning models)."""
    top_logprobs: int
    """The number of the likeliest tokens to return for each position, 0 to 20. Needs `logprobs`."""
    def __init__(self, temperature: _Optional[float] = ..., max_tokens: _Optional[int] = ..., top_p: _Optional[float] = ..., stop_sequences: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., top_k: _Optional[int] = ..., frequency_penalty: _Optional[float] = ..., presence_penalty: _Optional[float] = ..., parallel_tool_calls: _Optional[bool] = ..., logprobs: _Optional[bool] = ..., top_logprobs: _Optional[int] = ...) -> None: ...

class ToolDefinition(_message.Message):
    """A tool that the model may call. The platform never runs it: the call is returned."""
    __slots__ = ("name", "description", "parameters_json", "strict", "provider_tool", "cache", "provider_options_json")
    class ProviderOptionsJsonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_JSON_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_TOOL_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_OPTIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    name: str
    """Letters, digits, `_`, `.`, `:` and `-`, at most 128. Required for a function; unique in the request. For a
    provider with other rules, another name is derived from it; answers contain this one. It is also the name of a tool
    that the provider runs, if the provider has a name or a label for its type."""
    description: str
    """A description for the model: the purpose of the tool, and when to use it."""
    parameters_json: str
    """The JSON Schema of its arguments: a JSON object, at most 256 KiB, nested at most 64 levels deep. Empty: no
    arguments."""
    strict: bool
    """Whether arguments must follow the schema exactly. Unset: the provider's default."""
    provider_tool: ProviderTool
    """A tool that the provider runs, instead of a function of the caller."""
    cache: PromptCache
    """A cache breakpoint: ends a prompt-cache prefix after this tool, for providers with explicit breakpoints."""
    provider_options_json: _containers.ScalarMap[str, str]
    """Adapter type of the provider to a JSON object with members that it takes in a function beyond these fields, such
    as Anthropic's `input_examples`. It is not sent to providers of other types. At most 16 entries of at most 256 KiB,
    nested at most 64 levels deep; none for a tool that the provider runs, which has `config_json`."""
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., parameters_json: _Optional[str] = ..., strict: _Optional[bool] = ..., provider_tool: _Optional[_Union[ProviderTool, _Mapping[str, _Any]]] = ..., cache: _Optional[_Union[PromptCache, _Mapping[str, _Any]]] = ..., provider_options_json: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ProviderTool(_message.Message):
    """A provider's own built-in tool."""
    __slots__ = ("type", "config_json")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    type: str
    """The provider's name for it, such as `web_search`. At most 128 characters."""
    config_json: str
    """Its settings: a JSON object, sent unchanged. At most 256 KiB, nested at most 64 levels deep."""
    def __init__(self, type: _Optional[str] = ..., config_json: _Optional[str] = ...) -> None: ...

class ToolChoice(_message.Message):
    """Whether and which tool is called."""
    __slots__ = ("mode", "tool_name")
    MODE_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    mode: ToolChoiceMode
    """A general rule."""
    tool_name: str
    """The name of the one tool that must be called."""
    def __init__(self, mode: _Optional[_Union[ToolChoiceMode, str]] = ..., tool_name: _Optional[str] = ...) -> None: ...

class ReasoningConfig(_message.Message):
    """The reasoning of the model."""
    __slots__ = ("effort", "budget_tokens", "include_text")
    EFFORT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TEXT_FIELD_NUMBER: _ClassVar[int]
    effort: str
    """The effort in the provider's terms, such as `none`, `low`, `medium`, `high`. At most 32 lower-case letters, `_`
    and `-`."""
    budget_tokens: int
    """The maximum of reasoning tokens; at least 1024 for providers that support a budget."""
    include_text: bool
    """Whether the answer contains the reasoning's text. Unset: the provider's default."""
    def __init__(self, effort: _Optional[str] = ..., budget_tokens: _Optional[int] = ..., include_text: _Optional[bool] = ...) -> None: ...

class PromptRef(_message.Message):
    """A reference to a registered prompt."""
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
    """The prompt's name. Required."""
    version: int
    """This version."""
    label: str
    """The version that this label points at."""
    variables: _containers.ScalarMap[str, str]
    """The values of its `{{name}}` variables. At most 1000; the text with all values has at most 16 MiB."""
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ..., variables: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SessionOptions(_message.Message):
    """Options of a chat in a session."""
    __slots__ = ("window", "skip_append", "expected_next_sequence", "user_id")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SKIP_APPEND_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    window: WindowPolicy
    """The window of the history that is sent to the model. Unset: as much as the request and the longest answer leave
    free in the model's context window, less a tenth for the error of the estimate; everything if that window is not
    known."""
    skip_append: bool
    """True to read the history without appending the turn."""
    expected_next_sequence: int
    """Fails the call with ABORTED unless the session's next sequence is this one."""
    user_id: str
    """The user that the session must belong to. Empty: not checked. At most 256 characters. It is a filter and no
    access control: see sessions.proto."""
    def __init__(self, window: _Optional[_Union[WindowPolicy, _Mapping[str, _Any]]] = ..., skip_append: _Optional[bool] = ..., expected_next_sequence: _Optional[int] = ..., user_id: _Optional[str] = ...) -> None: ...

class WindowPolicy(_message.Message):
    """The part of a conversation that is sent. Windows consist of whole turns, and never separate a tool call from its
    result."""
    __slots__ = ("max_messages", "max_tokens")
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_messages: int
    """The maximum of messages."""
    max_tokens: int
    """The maximum of tokens, which are estimated."""
    def __init__(self, max_messages: _Optional[int] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class ResponseFormat(_message.Message):
    """The format of the answer."""
    __slots__ = ("type", "schema_json", "name", "strict")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    type: str
    """`text`, `json_object` or `json_schema`. Required."""
    schema_json: str
    """The JSON Schema of the answer: a JSON object, at most 256 KiB, nested at most 64 levels deep. Required for
    `json_schema`."""
    name: str
    """A name for the schema: letters, digits, `_` and `-`, at most 64. Empty: `response`."""
    strict: bool
    """Whether the answer must follow the schema exactly. Unset: the provider's default. A schema that loses its content
    when the provider enforces it, such as one with a map, is sent complete and not enforced, with a warning."""
    def __init__(self, type: _Optional[str] = ..., schema_json: _Optional[str] = ..., name: _Optional[str] = ..., strict: _Optional[bool] = ...) -> None: ...

class ChatResponse(_message.Message):
    """A model's complete answer."""
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
    """The answer's text; empty if it consists of tool calls only."""
    model: str
    """The model that answered, as the provider names it."""
    provider: str
    """The provider that answered: `openai`, `anthropic`, or a registered model's `provider`."""
    usage: TokenUsage
    """The token usage."""
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    """The tool calls, in the model's order."""
    finish_reason: str
    """The reason why the answer ended: `stop`, `length`, `tool_calls`, `content_filter`, `refusal`, `pause` or
    `other`."""
    message: ChatMessage
    """The answer as a message, which can be sent back unchanged in the next turn."""
    raw_finish_reason: str
    """The provider's own value for `finish_reason`."""
    response_id: str
    """The platform's id of the answer, which is also in the logs."""
    provider_response_id: str
    """The provider's id of the answer, if there is one."""
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    """Warnings of a successful call."""
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    """All upstream attempts, in order; the last one succeeded."""
    prompt: ResolvedPrompt
    """The prompt in use, if any."""
    session_id: str
    """The session whose history was read, and to which the turn was appended (unless a warning says otherwise)."""
    session_next_sequence: int
    """The session's next sequence after the call; 0 if the turn was not appended, as a warning then says."""
    timing: Timing
    """The times of the call."""
    stop_sequence: str
    """The stop sequence that ended the answer, if the provider returns it."""
    source: ModelSource
    """The source of the model that answered; unset for a vendor's id that is in no list."""
    registered_model: str
    """The name of the registered model that answered; empty if it was another model. There is also a warning
    REGISTERED_MODEL_SERVED if the name would otherwise lead to a vendor's model or to one of the operator's aliases."""
    logprobs: Logprobs
    """The log probabilities of all tokens, if requested and if the provider returns them."""
    def __init__(self, text: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., usage: _Optional[_Union[TokenUsage, _Mapping[str, _Any]]] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping[str, _Any]]]] = ..., finish_reason: _Optional[str] = ..., message: _Optional[_Union[ChatMessage, _Mapping[str, _Any]]] = ..., raw_finish_reason: _Optional[str] = ..., response_id: _Optional[str] = ..., provider_response_id: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping[str, _Any]]]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping[str, _Any]]]] = ..., prompt: _Optional[_Union[ResolvedPrompt, _Mapping[str, _Any]]] = ..., session_id: _Optional[str] = ..., session_next_sequence: _Optional[int] = ..., timing: _Optional[_Union[Timing, _Mapping[str, _Any]]] = ..., stop_sequence: _Optional[str] = ..., source: _Optional[_Union[ModelSource, str]] = ..., registered_model: _Optional[str] = ..., logprobs: _Optional[_Union[Logprobs, _Mapping[str, _Any]]] = ...) -> None: ...
    def _repr_markdown_(self) -> str: ...

class Logprobs(_message.Message):
    """Log probabilities of tokens, in order, as the provider returns them. Some providers include tokens that are not
    part of the answer's text, such as those of reasoning and of tool calls."""
    __slots__ = ("content", "refusal")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    content: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    """Those of the answer's text."""
    refusal: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    """Those of its refusal."""
    def __init__(self, content: _Optional[_Iterable[_Union[TokenLogprob, _Mapping[str, _Any]]]] = ..., refusal: _Optional[_Iterable[_Union[TokenLogprob, _Mapping[str, _Any]]]] = ...) -> None: ...

class TokenLogprob(_message.Message):
    """The log probability of a token."""
    __slots__ = ("token", "logprob", "token_bytes", "top_logprobs")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOP_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    token: str
    """The token's text; it may contain U+FFFD if the token is part of a character."""
    logprob: float
    """The natural logarithm of its probability. Unset: not known."""
    token_bytes: bytes
    """The token's bytes; several tokens together are valid UTF-8. Unset: not known."""
    top_logprobs: _containers.RepeatedCompositeFieldContainer[TopLogprob]
    """The likeliest tokens in its position, the likeliest first, as many as requested."""
    def __init__(self, token: _Optional[str] = ..., logprob: _Optional[float] = ..., token_bytes: _Optional[bytes] = ..., top_logprobs: _Optional[_Iterable[_Union[TopLogprob, _Mapping[str, _Any]]]] = ...) -> None: ...

class TopLogprob(_message.Message):
    """The log probability of an alternative token."""
    __slots__ = ("token", "logprob", "token_bytes")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    token: str
    """As in TokenLogprob."""
    logprob: float
    """As in TokenLogprob."""
    token_bytes: bytes
    """As in TokenLogprob."""
    def __init__(self, token: _Optional[str] = ..., logprob: _Optional[float] = ..., token_bytes: _Optional[bytes] = ...) -> None: ...

class ToolCall(_message.Message):
    """A tool call of a model."""
    __slots__ = ("id", "name", "arguments_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The id, never empty, and unique in the answer."""
    name: str
    """The tool's name."""
    arguments_json: str
    """The arguments as the model wrote them. Models make mistakes: they may not be a JSON object."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class TokenUsage(_message.Message):
    """The token usage of a call. For every provider, `prompt_tokens` includes cached tokens and `completion_tokens`
    includes reasoning."""
    __slots__ = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_prompt_tokens", "cache_write_tokens", "reasoning_tokens", "cost_nano_usd", "estimated", "long_cache_write_tokens", "not_at_list_price")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    LONG_CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NOT_AT_LIST_PRICE_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    """The input tokens."""
    completion_tokens: int
    """The output tokens."""
    total_tokens: int
    """The sum of both."""
    cached_prompt_tokens: int
    """The part of `prompt_tokens` that was read from the provider's cache. Unset: not known."""
    cache_write_tokens: int
    """The part of `prompt_tokens` that was written to the provider's cache. Unset: not known."""
    reasoning_tokens: int
    """The part of `completion_tokens` that was used for reasoning. Unset: not known."""
    cost_nano_usd: int
    """The cost of the tokens in nano-USD, without fees for tools that the provider runs. Unset: not known, because the
    price is not known, as for a service tier with other rates, or because the counts contradict each other."""
    estimated: bool
    """True if the provider returned no counts, and these are estimates."""
    long_cache_write_tokens: int
    """The part of `cache_write_tokens` that is cached for an hour, at a higher price. Unset: not known."""
    not_at_list_price: bool
    """True if no price list gives the cost of these counts: the provider reports other rates, such as those of another
    service tier, or the counts contradict each other."""
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., total_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., estimated: _Optional[bool] = ..., long_cache_write_tokens: _Optional[int] = ..., not_at_list_price: _Optional[bool] = ...) -> None: ...
    @property
    def cost_usd(self) -> float | None:
        """The cost of the tokens in US dollars; None if it is not known. Added by genai_platform."""

class Notice(_message.Message):
    """A notice: information about a successful call."""
    __slots__ = ("code", "field", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    """A stable code, such as `MODEL_RETIRED` or `PARAMETER_DROPPED`."""
    field: str
    """The request field that it concerns, if any."""
    message: str
    """A sentence for people."""
    def __init__(self, code: _Optional[str] = ..., field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    """An upstream attempt, or a model that could not be tried."""
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
    """The model, as the provider names it; of a model that could not be tried, its name in the request."""
    provider: str
    """The provider. Empty for a model that could not be tried before its provider was known."""
    outcome: str
    """`ok`, or the reason of its error. `CIRCUIT_OPEN` and reasons of models that are not set up mean that nothing was
    sent."""
    latency: _duration_pb2.Duration
    """Its duration. Unset if nothing was sent."""
    http_status: int
    """The HTTP status of a failure. Unset: there was none."""
    waited: _duration_pb2.Duration
    """The pause before it."""
    usage: TokenUsage
    """The usage of a failed attempt whose answer had begun; that of the successful one is the response's `usage`."""
    host: str
    """The server's host, with its port if its URL names one. Empty if nothing was sent, and where the caller may not
    know it: strangers (see RegisterModel) learn the hosts of vendors only."""
    def __init__(self, model: _Optional[str] = ..., provider: _Optional[str] = ..., outcome: _Optional[str] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ..., http_status: _Optional[int] = ..., waited: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ..., usage: _Optional[_Union[TokenUsage, _Mapping[str, _Any]]] = ..., host: _Optional[str] = ...) -> None: ...

class ResolvedPrompt(_message.Message):
    """The prompt version that a reference was resolved to."""
    __slots__ = ("name", "version", "label")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The prompt's name."""
    version: int
    """The version."""
    label: str
    """The label by which the version was found; empty if it was found without one."""
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class Timing(_message.Message):
    """The times of a call."""
    __slots__ = ("total", "first_token")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    total: _duration_pb2.Duration
    """From the request's arrival to its answer."""
    first_token: _duration_pb2.Duration
    """From the request's arrival to the first output. Streams only."""
    def __init__(self, total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ..., first_token: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, _Any]]] = ...) -> None: ...

class ChatChunk(_message.Message):
    """A chunk of a streamed answer. At most one of `token`, `reasoning`, `tool_call_delta`, `completed_part` and
    `response` is set."""
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
    """The next piece of the answer's text; empty in all other chunks."""
    index: int
    """The chunk's position in the stream, from 0."""
    finish_reason: str
    """As in ChatResponse; in the last chunk only."""
    usage: TokenUsage
    """The token usage; in the last chunk only."""
    reasoning: str
    """The next piece of the reasoning's text."""
    tool_call_delta: ToolCallDelta
    """The next piece of a tool call."""
    completed_part: ContentPart
    """A complete part that is not streamed in pieces: a refusal, or one with opaque provider state."""
    response: ChatResponse
    """The complete answer, equal to that of Chat; in the last chunk only."""
    logprobs: Logprobs
    """The log probabilities of this chunk's tokens, with its piece or in a chunk of their own. OpenAI's Responses API
    returns the bytes of tokens at the end only, in `response`."""
    def __init__(self, token: _Optional[str] = ..., index: _Optional[int] = ..., finish_reason: _Optional[str] = ..., usage: _Optional[_Union[TokenUsage, _Mapping[str, _Any]]] = ..., reasoning: _Optional[str] = ..., tool_call_delta: _Optional[_Union[ToolCallDelta, _Mapping[str, _Any]]] = ..., completed_part: _Optional[_Union[ContentPart, _Mapping[str, _Any]]] = ..., response: _Optional[_Union[ChatResponse, _Mapping[str, _Any]]] = ..., logprobs: _Optional[_Union[Logprobs, _Mapping[str, _Any]]] = ...) -> None: ...

class ToolCallDelta(_message.Message):
    """A piece of a tool call."""
    __slots__ = ("index", "id", "name", "arguments_json")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    index: int
    """The call's position among the answer's tool calls, from 0, without gaps."""
    id: str
    """The call's id; in its first piece only."""
    name: str
    """The tool's name; in its first piece only."""
    arguments_json: str
    """The next piece of `arguments_json`."""
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class PreviewChatRequest(_message.Message):
    """Requests a preview of a chat."""
    __slots__ = ("request", "stream")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    request: ChatRequest
    """The request for Chat. Required."""
    stream: bool
    """True for the request of ChatStream."""
    def __init__(self, request: _Optional[_Union[ChatRequest, _Mapping[str, _Any]]] = ..., stream: _Optional[bool] = ...) -> None: ...

class PreviewChatResponse(_message.Message):
    """The upstream request of a chat, without credentials."""
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
    """The HTTP method."""
    path: str
    """The path below the provider's base URL."""
    body_json: str
    """The exact body."""
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    """The part of ChatResponse.warnings that is known before the call."""
    provider: str
    """The provider."""
    model: str
    """The model, as the provider names it."""
    source: ModelSource
    """As in ChatResponse."""
    registered_model: str
    """As in ChatResponse."""
    host: str
    """The server, as in Attempt. If the model has several endpoints: the first of those that can be used."""
    def __init__(self, method: _Optional[str] = ..., path: _Optional[str] = ..., body_json: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping[str, _Any]]]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., source: _Optional[_Union[ModelSource, str]] = ..., registered_model: _Optional[str] = ..., host: _Optional[str] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    """Requests a page of models."""
    __slots__ = ("page_size", "page_token", "provider")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The page size."""
    page_token: str
    """The page token."""
    provider: str
    """Only models of this provider. Empty: all."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., provider: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    """A page of models."""
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelInfo]
    """The models, in the order of their names."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    def __init__(self, models: _Optional[_Iterable[_Union[ModelInfo, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ModelInfo(_message.Message):
    """A model that can be called."""
    __slots__ = ("name", "provider", "capabilities", "aliases", "source", "configured")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The name for ChatRequest.model."""
    provider: str
    """The provider."""
    capabilities: ModelCapabilities
    """Its capabilities."""
    aliases: _containers.RepeatedScalarFieldContainer[str]
    """Its other names."""
    source: ModelSource
    """The source from which the platform knows it."""
    configured: bool
    """False if a call would fail because the provider's key is missing."""
    def __init__(self, name: _Optional[str] = ..., provider: _Optional[str] = ..., capabilities: _Optional[_Union[ModelCapabilities, _Mapping[str, _Any]]] = ..., aliases: _Optional[_Iterable[str]] = ..., source: _Optional[_Union[ModelSource, str]] = ..., configured: _Optional[bool] = ...) -> None: ...

class GetCapabilitiesRequest(_message.Message):
    """Requests the capabilities of a model."""
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    """The model's name or an alias. Required."""
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ModelCapabilities(_message.Message):
    """The capabilities of a model. Unset fields are not known."""
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
    """The maximum of tokens of prompt and answer together."""
    supports_vision: bool
    """Whether it reads images."""
    supports_tools: bool
    """Whether it calls tools."""
    max_output_tokens: int
    """The maximum of tokens of one answer."""
    supports_streaming: bool
    """Whether it streams."""
    supports_json_schema: bool
    """Whether it follows a JSON Schema."""
    supports_reasoning: bool
    """Whether it reasons before it answers."""
    supports_documents: bool
    """Whether it reads PDFs and other documents."""
    supports_prompt_caching: bool
    """Whether its provider caches prompts."""
    unsupported_parameters: _containers.RepeatedScalarFieldContainer[str]
    """The names of ChatConfig fields that it does not support; at most as many as there are."""
    prices: ModelPrices
    """Its prices."""
    lifecycle: Lifecycle
    """Its lifecycle."""
    source: str
    """The source of these facts, such as `catalogue`, `registration`, `provider`."""
    as_of: str
    """The day on which they were checked, YYYY-MM-DD."""
    served_names: _containers.RepeatedScalarFieldContainer[str]
    """The names of the models that its server lists, including its own, at most 32."""
    reasoning_efforts: _containers.RepeatedScalarFieldContainer[str]
    """The values that it accepts for ReasoningConfig.effort, the weakest first, at most 32."""
    supports_audio: bool
    """Whether it accepts audio."""
    def __init__(self, context_window: _Optional[int] = ..., supports_vision: _Optional[bool] = ..., supports_tools: _Optional[bool] = ..., max_output_tokens: _Optional[int] = ..., supports_streaming: _Optional[bool] = ..., supports_json_schema: _Optional[bool] = ..., supports_reasoning: _Optional[bool] = ..., supports_documents: _Optional[bool] = ..., supports_prompt_caching: _Optional[bool] = ..., unsupported_parameters: _Optional[_Iterable[str]] = ..., prices: _Optional[_Union[ModelPrices, _Mapping[str, _Any]]] = ..., lifecycle: _Optional[_Union[Lifecycle, _Mapping[str, _Any]]] = ..., source: _Optional[str] = ..., as_of: _Optional[str] = ..., served_names: _Optional[_Iterable[str]] = ..., reasoning_efforts: _Optional[_Iterable[str]] = ..., supports_audio: _Optional[bool] = ...) -> None: ...

class ModelPrices(_message.Message):
    """Prices in nano-USD for a million tokens, never negative. Unset: not known."""
    __slots__ = ("prompt_nano_usd", "completion_nano_usd", "cached_prompt_nano_usd", "cache_write_nano_usd", "long_cache_write_nano_usd")
    PROMPT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    LONG_CACHE_WRITE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    prompt_nano_usd: int
    """Input tokens."""
    completion_nano_usd: int
    """Output tokens."""
    cached_prompt_nano_usd: int
    """Tokens read from the provider's cache."""
    cache_write_nano_usd: int
    """Tokens written to the provider's cache."""
    long_cache_write_nano_usd: int
    """Tokens written to the provider's cache for an hour. Unset: the same as `cache_write_nano_usd`."""
    def __init__(self, prompt_nano_usd: _Optional[int] = ..., completion_nano_usd: _Optional[int] = ..., cached_prompt_nano_usd: _Optional[int] = ..., cache_write_nano_usd: _Optional[int] = ..., long_cache_write_nano_usd: _Optional[int] = ...) -> None: ...

class Lifecycle(_message.Message):
    """A model's lifecycle at its vendor."""
    __slots__ = ("state", "deprecation_date", "shutdown_date", "replacement")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DEPRECATION_DATE_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_DATE_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    state: LifecycleState
    """The state."""
    deprecation_date: str
    """The day on which the vendor announced its shutdown, YYYY-MM-DD; empty if it has not."""
    shutdown_date: str
    """The day from which the vendor no longer serves it, YYYY-MM-DD; empty if none is known."""
    replacement: str
    """The model to use instead."""
    def __init__(self, state: _Optional[_Union[LifecycleState, str]] = ..., deprecation_date: _Optional[str] = ..., shutdown_date: _Optional[str] = ..., replacement: _Optional[str] = ...) -> None: ...

class PromptMetadata(_message.Message):
    """The authorship and tags of a prompt."""
    __slots__ = ("author", "reviewed_by", "tags")
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_BY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    author: str
    """The author. At most 256 characters."""
    reviewed_by: str
    """The reviewer. At most 256 characters."""
    tags: _containers.RepeatedScalarFieldContainer[str]
    """Tags for searches. At most 64, of at most 128 characters."""
    def __init__(self, author: _Optional[str] = ..., reviewed_by: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class PromptDefaults(_message.Message):
    """The defaults of a prompt, for fields that a chat's request does not set. At most 256 KiB, within the limits of a
    chat."""
    __slots__ = ("model", "config", "tools", "response_format")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    model: str
    """The model."""
    config: ChatConfig
    """Sampling and length, field by field."""
    tools: _containers.RepeatedCompositeFieldContainer[ToolDefinition]
    """The tools."""
    response_format: ResponseFormat
    """The format of the answer."""
    def __init__(self, model: _Optional[str] = ..., config: _Optional[_Union[ChatConfig, _Mapping[str, _Any]]] = ..., tools: _Optional[_Iterable[_Union[ToolDefinition, _Mapping[str, _Any]]]] = ..., response_format: _Optional[_Union[ResponseFormat, _Mapping[str, _Any]]] = ...) -> None: ...

class RegisterPromptRequest(_message.Message):
    """Registers a prompt. There can be 10,000 prompts in all projects, including archived ones; one more is refused
    with RESOURCE_EXHAUSTED PROMPTS_LIMIT."""
    __slots__ = ("name", "content", "metadata", "labels", "commit_message", "defaults")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    """Lower-case letters, digits, `.`, `_`, `-` and `/`, at most 128, beginning with a letter or digit. Required."""
    content: str
    """The text, with `{{name}}` for each variable. Required, at most 1 MiB with 1000 variables."""
    metadata: PromptMetadata
    """Its authorship and tags."""
    labels: _containers.RepeatedScalarFieldContainer[str]
    """Labels to point at the version, whether it is new or not. At most 64."""
    commit_message: str
    """The change and its reason. At most 4096 characters."""
    defaults: PromptDefaults
    """The defaults of chats with it."""
    def __init__(self, name: _Optional[str] = ..., content: _Optional[str] = ..., metadata: _Optional[_Union[PromptMetadata, _Mapping[str, _Any]]] = ..., labels: _Optional[_Iterable[str]] = ..., commit_message: _Optional[str] = ..., defaults: _Optional[_Union[PromptDefaults, _Mapping[str, _Any]]] = ...) -> None: ...

class RegisterPromptResponse(_message.Message):
    """The version that has the content."""
    __slots__ = ("name", "version", "prompt", "created", "warnings", "created_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The prompt's name."""
    version: int
    """The version."""
    prompt: Prompt
    """The version, whole."""
    created: bool
    """False if the newest unarchived version already had this content and these defaults."""
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    """Warnings of a successful call."""
    created_at: str
    """When the version was stored, as in `prompt`: RFC 3339, UTC."""
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., prompt: _Optional[_Union[Prompt, _Mapping[str, _Any]]] = ..., created: _Optional[bool] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping[str, _Any]]]] = ..., created_at: _Optional[str] = ...) -> None: ...

class Prompt(_message.Message):
    """An immutable version of a prompt."""
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
    """The prompt's name."""
    content: str
    """The text."""
    metadata: PromptMetadata
    """Its authorship and tags."""
    version: int
    """The number of the version, from 1, without gaps."""
    created_at: str
    """The time at which it was stored: RFC 3339, UTC."""
    labels: _containers.RepeatedScalarFieldContainer[str]
    """The labels that point at this version now."""
    commit_message: str
    """The change and its reason."""
    defaults: PromptDefaults
    """The defaults of chats with it."""
    variables: _containers.RepeatedScalarFieldContainer[str]
    """The names of its variables, in the order of their first use."""
    content_hash: str
    """The SHA-256, in hex, of the version's identity: its content and defaults."""
    archived_at: _timestamp_pb2.Timestamp
    """The time at which it was archived; unset if it is not archived."""
    resolved_label: str
    """The label by which GetPrompt found this version; empty if it was requested by number or is the newest."""
    def __init__(self, name: _Optional[str] = ..., content: _Optional[str] = ..., metadata: _Optional[_Union[PromptMetadata, _Mapping[str, _Any]]] = ..., version: _Optional[int] = ..., created_at: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., commit_message: _Optional[str] = ..., defaults: _Optional[_Union[PromptDefaults, _Mapping[str, _Any]]] = ..., variables: _Optional[_Iterable[str]] = ..., content_hash: _Optional[str] = ..., archived_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., resolved_label: _Optional[str] = ...) -> None: ...

class GetPromptRequest(_message.Message):
    """Requests one version. With neither `version` nor `label`: label `production` if there is one, else the newest."""
    __slots__ = ("name", "version", "label")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The prompt's name. Required."""
    version: int
    """This version; 0: not by number."""
    label: str
    """The version that this label points at. Excludes `version`."""
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class ListPromptsRequest(_message.Message):
    """Requests a page of prompts."""
    __slots__ = ("page_size", "page_token", "query", "label", "tags", "include_archived")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The page size."""
    page_token: str
    """The page token."""
    query: str
    """Only names that contain this text. Empty: all. At most 128 characters."""
    label: str
    """Only prompts with this label. Empty: all. At most 128 characters."""
    tags: _containers.RepeatedScalarFieldContainer[str]
    """Only prompts that have all of these tags. At most 64."""
    include_archived: bool
    """True to list archived prompts, too: as their newest version, without texts if these are too large for one
    message."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., query: _Optional[str] = ..., label: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., include_archived: _Optional[bool] = ...) -> None: ...

class ListPromptsResponse(_message.Message):
    """A page of prompts."""
    __slots__ = ("prompts", "next_page_token")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    """One entry for each name, in the order of names."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    def __init__(self, prompts: _Optional[_Iterable[_Union[Prompt, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListPromptVersionsRequest(_message.Message):
    """Requests a page of versions."""
    __slots__ = ("name", "page_size", "page_token", "include_archived")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The prompt's name. Required."""
    page_size: int
    """The page size."""
    page_token: str
    """The page token."""
    include_archived: bool
    """True to list archived versions, too."""
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., include_archived: _Optional[bool] = ...) -> None: ...

class ListPromptVersionsResponse(_message.Message):
    """A page of versions."""
    __slots__ = ("prompts", "next_page_token")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    """The versions, newest first."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    def __init__(self, prompts: _Optional[_Iterable[_Union[Prompt, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetPromptLabelRequest(_message.Message):
    """Moves a label."""
    __slots__ = ("name", "label", "version", "expected_version", "reason", "actor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The prompt's name. Required."""
    label: str
    """The label. Required."""
    version: int
    """The version to point at; 0 removes the label."""
    expected_version: int
    """Fails the call with ABORTED unless the label points at this version now (0: at none)."""
    reason: str
    """The reason, for the prompt's events. At most 1024 characters."""
    actor: str
    """The actor, for the prompt's events. At most 256 characters."""
    def __init__(self, name: _Optional[str] = ..., label: _Optional[str] = ..., version: _Optional[int] = ..., expected_version: _Optional[int] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class SetPromptLabelResponse(_message.Message):
    """The result of moving a label."""
    __slots__ = ("prompt", "previous_version")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    prompt: Prompt
    """The version that the label points at now; unset if it was removed."""
    previous_version: int
    """The version that it pointed at before; 0 if none."""
    def __init__(self, prompt: _Optional[_Union[Prompt, _Mapping[str, _Any]]] = ..., previous_version: _Optional[int] = ...) -> None: ...

class ArchivePromptRequest(_message.Message):
    """Archives or unarchives a prompt. An archived version is never in force and cannot get a label, but it can be
    requested by its number. Refused with FAILED_PRECONDITION PROMPT_LABELED while a label points at it."""
    __slots__ = ("name", "version", "unarchive", "reason", "actor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UNARCHIVE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The prompt's name. Required."""
    version: int
    """The version; 0 for all present versions."""
    unarchive: bool
    """True to unarchive."""
    reason: str
    """The reason, for the prompt's events. At most 1024 characters."""
    actor: str
    """The actor, for the prompt's events. At most 256 characters."""
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., unarchive: _Optional[bool] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class ArchivePromptResponse(_message.Message):
    """The archived or unarchived versions."""
    __slots__ = ("prompts",)
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    """The versions that changed, newest first; without their texts if these are too large for one message."""
    def __init__(self, prompts: _Optional[_Iterable[_Union[Prompt, _Mapping[str, _Any]]]] = ...) -> None: ...

class ListPromptEventsRequest(_message.Message):
    """Requests a page of a prompt's events."""
    __slots__ = ("name", "page_size", "page_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The prompt's name. Required."""
    page_size: int
    """The page size."""
    page_token: str
    """The page token."""
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPromptEventsResponse(_message.Message):
    """A page of events."""
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[PromptEvent]
    """The events, newest first."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    def __init__(self, events: _Optional[_Iterable[_Union[PromptEvent, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PromptEvent(_message.Message):
    """A change of a prompt."""
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
    """`registered`, `label_set`, `label_removed`, `archived` or `unarchived`."""
    name: str
    """The prompt's name."""
    version: int
    """The version; 0 for the whole prompt. For a removed label: the version that it pointed at."""
    label: str
    """The label that was moved; else empty."""
    previous_version: int
    """The version that the label pointed at before; 0 if none."""
    actor: str
    """The actor, as given in the request."""
    reason: str
    """The reason, as given in the request."""
    time: _timestamp_pb2.Timestamp
    """The time."""
    def __init__(self, type: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ..., previous_version: _Optional[int] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ...) -> None: ...

class RenderPromptRequest(_message.Message):
    """Requests a prompt with its variables filled in."""
    __slots__ = ("prompt",)
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    prompt: PromptRef
    """The prompt and the values. Required."""
    def __init__(self, prompt: _Optional[_Union[PromptRef, _Mapping[str, _Any]]] = ...) -> None: ...

class RenderPromptResponse(_message.Message):
    """A prompt with its variables filled in."""
    __slots__ = ("text", "prompt", "warnings")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    text: str
    """The text."""
    prompt: Prompt
    """The version."""
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    """Warnings for values that the text does not use."""
    def __init__(self, text: _Optional[str] = ..., prompt: _Optional[_Union[Prompt, _Mapping[str, _Any]]] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping[str, _Any]]]] = ...) -> None: ...

class Credential(_message.Message):
    """A reference to a secret, never the secret itself. A credential that the operator has mapped to endpoints
    (MODELS_CREDENTIALS) is sent to these only, and a vendor's key to the vendor only: else the call fails with
    FAILED_PRECONDITION CREDENTIAL_NOT_ALLOWED."""
    __slots__ = ("env_var", "file")
    ENV_VAR_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    env_var: str
    """The name of an environment variable of the Model Service."""
    file: str
    """The path of a file on the Model Service's machine, in the directory MODELS_CREDENTIALS_DIR or below it. It is
    read at each use."""
    def __init__(self, env_var: _Optional[str] = ..., file: _Optional[str] = ...) -> None: ...

class RegisterModelRequest(_message.Message):
    """Registers a custom or self-hosted model. There can be 10,000 models, with 10,000 endpoints and 32 MiB together;
    more are refused with RESOURCE_EXHAUSTED REGISTERED_MODELS_LIMIT."""
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
    """The name for ChatRequest.model: letters, digits and `._:/@-`, at most 128. Required."""
    endpoint: str
    """The server's base URL, http or https, with or without its version path, such as `http://localhost:8000/v1`; the
    path of a call, such as `/v1/chat/completions`, is removed from its end. If the server does not have the path of a
    call, the URL is also tried with `/v1` appended, or with a final `/v1` removed, if the key may be sent there.
    Required unless `endpoints` are given, at most 2048 characters."""
    capabilities: ModelCapabilities
    """Its capabilities, as far as known."""
    health_check: str
    """The path of the health probe, such as `/health`, from the server's root. Empty: the adapter's default. At most
    512 characters. A credential that the operator has mapped to endpoints is sent with it only below these."""
    adapter_type: str
    """The adapter type: the server's dialect and how it authenticates. README.md has a table of them, such as `openai-
    compatible`. Required."""
    provider: str
    """A display name for the provider. Empty: the adapter's name. At most 64 characters."""
    upstream_model: str
    """The server's own name for the model. Empty: `name`. At most 256 characters."""
    credential: Credential
    """The server's key. Unset: it needs none."""
    aliases: _containers.RepeatedScalarFieldContainer[str]
    """Other names, with the same rules as `name`. At most 32."""
    default_options_json: str
    """A JSON object with defaults for members of every request body; a null removes a member, such as `stream_options`
    for a server that refuses it. At most 64 KiB."""
    validate_only: bool
    """True to check and probe the model without registering it."""
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    """The base URLs of several servers that all serve this model, each as `endpoint`, which is then left out or the
    first of them. At most 16, no two of which lead to the same server. A request goes to the one with the fewest
    requests in flight from this process, of those that work; if it fails there before the first output, it goes on to
    another. All share the model's key and its provider state."""
    def __init__(self, name: _Optional[str] = ..., endpoint: _Optional[str] = ..., capabilities: _Optional[_Union[ModelCapabilities, _Mapping[str, _Any]]] = ..., health_check: _Optional[str] = ..., adapter_type: _Optional[str] = ..., provider: _Optional[str] = ..., upstream_model: _Optional[str] = ..., credential: _Optional[_Union[Credential, _Mapping[str, _Any]]] = ..., aliases: _Optional[_Iterable[str]] = ..., default_options_json: _Optional[str] = ..., validate_only: _Optional[bool] = ..., endpoints: _Optional[_Iterable[str]] = ...) -> None: ...

class RegisterModelResponse(_message.Message):
    """The registered model."""
    __slots__ = ("model", "created", "warnings", "name", "status", "registered_at")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_FIELD_NUMBER: _ClassVar[int]
    model: RegisteredModel
    """The model, with the status of a first probe."""
    created: bool
    """False if the same registration already existed."""
    warnings: _containers.RepeatedCompositeFieldContainer[Notice]
    """Warnings of a successful call."""
    name: str
    """The model's name, as in `model`."""
    status: str
    """The status of the first probe, as in `model`."""
    registered_at: str
    """When it was registered, as in `model`: RFC 3339, UTC. Empty when nothing was registered."""
    def __init__(self, model: _Optional[_Union[RegisteredModel, _Mapping[str, _Any]]] = ..., created: _Optional[bool] = ..., warnings: _Optional[_Iterable[_Union[Notice, _Mapping[str, _Any]]]] = ..., name: _Optional[str] = ..., status: _Optional[str] = ..., registered_at: _Optional[str] = ...) -> None: ...

class RegisteredModel(_message.Message):
    """A registered model."""
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
    """Its name."""
    endpoint: str
    """The server's base URL; of several, the first."""
    capabilities: ModelCapabilities
    """Its capabilities, as far as known."""
    health_check: str
    """The path of the health probe."""
    adapter_type: str
    """The adapter for its dialect."""
    provider: str
    """The display name of the provider."""
    upstream_model: str
    """The server's own name for the model."""
    credential: Credential
    """The server's key."""
    aliases: _containers.RepeatedScalarFieldContainer[str]
    """Its other names."""
    default_options_json: str
    """The defaults for every request body."""
    status: str
    """`healthy`, `degraded`, `unhealthy` or `unknown`, as in ModelStatus."""
    registered_at: str
    """The time at which it was registered: RFC 3339, UTC."""
    overrides_builtin: bool
    """True while it overrides a built-in model of the same name."""
    untrusted: bool
    """True if it was registered by a stranger (see RegisterModel). The rules for strangers then apply to all its calls,
    of any caller."""
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    """The base URLs of all its servers, also if it has only one."""
    def __init__(self, name: _Optional[str] = ..., endpoint: _Optional[str] = ..., capabilities: _Optional[_Union[ModelCapabilities, _Mapping[str, _Any]]] = ..., health_check: _Optional[str] = ..., adapter_type: _Optional[str] = ..., provider: _Optional[str] = ..., upstream_model: _Optional[str] = ..., credential: _Optional[_Union[Credential, _Mapping[str, _Any]]] = ..., aliases: _Optional[_Iterable[str]] = ..., default_options_json: _Optional[str] = ..., status: _Optional[str] = ..., registered_at: _Optional[str] = ..., overrides_builtin: _Optional[bool] = ..., untrusted: _Optional[bool] = ..., endpoints: _Optional[_Iterable[str]] = ...) -> None: ...

class ListRegisteredModelsRequest(_message.Message):
    """Requests a page of registered models."""
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The page size."""
    page_token: str
    """The page token."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRegisteredModelsResponse(_message.Message):
    """A page of registered models."""
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[RegisteredModel]
    """The models, in the order of their names."""
    next_page_token: str
    """The token of the next page; empty at the end."""
    def __init__(self, models: _Optional[_Iterable[_Union[RegisteredModel, _Mapping[str, _Any]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetModelStatusRequest(_message.Message):
    """Requests a model's status."""
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The model's name or an alias. Required."""
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ModelStatus(_message.Message):
    """The health of a model."""
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
    """The model's name."""
    status: str
    """`healthy`: the newest probe succeeded. `degraded`: the server answers, but not as it should. `unhealthy`: it
    cannot be used. `unconfigured`: its provider has no key. `unknown`: not probed yet. Of a model with several
    endpoints: `healthy` if all are, `degraded` if some can be used, `unhealthy` if none can."""
    last_checked: str
    """The time of the last probe: RFC 3339, UTC; empty if there was none."""
    endpoint: str
    """The URL of the probe. Of a model with several endpoints this, `reason` and `message` are about the first one that
    is not healthy."""
    reason: str
    """The reason, as a stable word, such as `OK`, `CONNECT_FAILED`, `AUTH_FAILED`, `HTTP_STATUS`, `MODEL_NOT_SERVED`,
    or `PATH_NOT_FOUND` if the server does not have the requested path."""
    message: str
    """The reason, as a sentence for people."""
    consecutive_failures: int
    """The number of failed probes in a row; of several endpoints, the lowest."""
    last_success: _timestamp_pb2.Timestamp
    """The time of the last successful probe; unset if there was none."""
    since: _timestamp_pb2.Timestamp
    """The time since which the status is the present one."""
    endpoints: _containers.RepeatedCompositeFieldContainer[EndpointStatus]
    """The state of each endpoint of a registered model, in the order of its registration."""
    def __init__(self, name: _Optional[str] = ..., status: _Optional[str] = ..., last_checked: _Optional[str] = ..., endpoint: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., consecutive_failures: _Optional[int] = ..., last_success: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., endpoints: _Optional[_Iterable[_Union[EndpointStatus, _Mapping[str, _Any]]]] = ...) -> None: ...

class EndpointStatus(_message.Message):
    """The health of one endpoint of a registered model."""
    __slots__ = ("endpoint", "status", "reason", "message")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    """Its base URL, as in RegisteredModel."""
    status: str
    """As in ModelStatus."""
    reason: str
    """As in ModelStatus."""
    message: str
    """As in ModelStatus."""
    def __init__(self, endpoint: _Optional[str] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class DeregisterModelRequest(_message.Message):
    """Removes a registered model."""
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The model's name. Required."""
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeregisterModelResponse(_message.Message):
    """The result of removing a registered model."""
    __slots__ = ("builtin_restored",)
    BUILTIN_RESTORED_FIELD_NUMBER: _ClassVar[int]
    builtin_restored: bool
    """True if a built-in model of the same name is served again."""
    def __init__(self, builtin_restored: _Optional[bool] = ...) -> None: ...
