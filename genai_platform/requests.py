"""Requests built from Python values: chats from a text or a list of messages, and fields as keywords."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict, TypeVar, cast

from google.protobuf.message import Message

from genai_platform.building import build, build_value
from genai_platform.calls import CallOptions
from genai_platform.conversion import field_names
from genai_platform.environment import read_variable
from genai_platform.schemas import Schema
from genai_platform.v1.models_pb2 import (
    AnswerCache,
    ChatConfig,
    ChatMessage,
    ChatRequest,
    ParameterPolicy,
    PreviewChatRequest,
    PromptRef,
    ReasoningConfig,
    ResponseFormat,
    SessionOptions,
    Timeouts,
    ToolChoice,
    ToolDefinition,
)
from genai_platform.wrong_values import check_names, check_text, describe, with_article

Request = TypeVar("Request", bound=Message)

Fields = Mapping[str, Any]
Messages = str | Sequence[ChatMessage | Fields]


class TurnFields(TypedDict, total=False):
    """The fields that the turns of a conversation may share: those of ChatRequest and of its `config`, as keywords."""

    model: str | None
    """The model's name; by default the environment's GENAI_MODEL."""
    temperature: float | None
    """From 0 on; 0 for the likeliest tokens."""
    top_p: float | None
    """Only the likeliest tokens, which together have this probability."""
    top_k: int | None
    """Only so many of the likeliest tokens."""
    seed: int | None
    """The same answer for the same seed, as far as the provider can."""
    frequency_penalty: float | None
    """Above 0 against tokens that have come often."""
    presence_penalty: float | None
    """Above 0 against tokens that have come at all."""
    max_tokens: int | None
    """The most tokens of the answer."""
    stop_sequences: Sequence[str] | None
    """Texts that end the answer."""
    tools: Sequence[ToolDefinition | Fields | Callable[..., Any]] | None
    """Functions; or dicts with `name`, `description` and `parameters`, a JSON Schema as a dict."""
    tool_choice: ToolChoice | Fields | str | None
    """`auto`, `none` or `required`; or `{"tool_name": "…"}` for one tool."""
    parallel_tool_calls: bool | None
    """Whether several tools may be called at once."""
    response_format: ResponseFormat | Schema | str | None
    """`json_object`, a class such as a Pydantic model, or a dict such as `{"schema": {…}}`."""
    reasoning: ReasoningConfig | Fields | str | None
    """An effort, such as `low`, by itself, or a dict with `effort` and `budget_tokens`."""
    logprobs: bool | None
    """The log probability of each token of the answer."""
    top_logprobs: int | None
    """The same for so many alternatives to each."""
    prompt: PromptRef | Fields | str | None
    """A registered prompt by its name alone, or with a version or label, and its variables, in a dict."""
    system_prompt_name: str | None
    """A registered prompt in force, without variables."""
    session: SessionOptions | Fields | None
    """Options of the session, such as `{"window": {"max_messages": 20}}`."""
    fallback_models: Sequence[str] | None
    """Models that are tried when `model` cannot answer."""
    timeouts: Timeouts | Mapping[str, float | timedelta] | None
    """Timeouts of each attempt, `connect`, `first_output`, `silence` and `total`; plain numbers are seconds."""
    cache: AnswerCache | Mapping[str, float | timedelta] | timedelta | float | None
    """Shares the answer with equal requests of the last so many seconds."""
    parameter_policy: ParameterPolicy | str | None
    """`adapt`, `strict` or `passthrough`, for what the model does not support."""
    provider_options: Mapping[str, Any] | None
    """Members for the body of the provider's request, by adapter type: `{"openai": {"user": "u1"}}`."""
    provider_options_json: Mapping[str, str] | None
    """The same as JSON texts."""
    provider_headers: Mapping[str, str] | None
    """Header fields for providers of their vendor's dialects: `{"anthropic-beta": "…"}`, or `openai-beta`."""
    prompt_cache_key: str | None
    """A key for requests with a common prefix."""
    tags: Mapping[str, str] | None
    """Labels for accounting."""
    end_user_id: str | None
    """An opaque id of the end user."""
    config: ChatConfig | Fields | None
    """A ChatConfig, instead of its fields as keywords."""


class ChatFields(TurnFields, total=False):
    """The fields of a chat: those of ChatRequest and of its `config`, as keywords; submessages may be dicts."""

    messages: Messages | None
    """The conversation, instead of the first argument."""
    system: str | None
    """The text of a system message before the conversation."""
    session_id: str | None
    """The session whose history is sent, and extended by this turn."""
    request_id: str | None
    """Makes the call idempotent for a day."""


CONFIG_FIELDS = frozenset(ChatConfig.DESCRIPTOR.fields_by_name)
MODEL_VARIABLE = "GENAI_MODEL"
CHAT_NAMES = tuple(ChatFields.__annotations__)


def read_call(request_type: type[Request], given: Request | str | None, fields: Any) -> tuple[Request, CallOptions]:
    """The request of a call and the call's own options.

    `given` is the request, or the value of its first field. In `fields`, `timeout` and `metadata` are the call's own,
    unless the request has a field of that name and is not given whole. Raises TypeError for anything else than the
    request's fields.
    """
    named = dict(fields)
    owned = () if isinstance(given, request_type) else request_type.DESCRIPTOR.fields_by_name
    options = {name: named.pop(name) for name in ("timeout", "metadata") if name in named and name not in owned}
    return _build_request(request_type, given, named), cast(CallOptions, options)


def _build_request(request_type: type[Request], given: Request | str | None, fields: dict[str, Any]) -> Request:
    if isinstance(given, request_type):
        check_alone(given, fields)
        return given
    descriptor = request_type.DESCRIPTOR
    main = next((field for field in descriptor.fields if field.number == 1), None)
    if given is not None:
        takes_text = main is not None and (main.type == main.TYPE_STRING or main.name == "prompt")
        if main is None or not takes_text or not isinstance(given, str):
            expected = with_article(descriptor.name)
            raise TypeError(f"the request must be {expected}, or its fields as keywords, not {describe(given)}")
        if fields.get(main.name) is not None:
            raise TypeError(f"{main.name} is given twice: as the first argument and as {main.name}=")
        fields = {main.name: given, **fields}
    check_names("", fields, descriptor.name, field_names(descriptor))
    return build(request_type, **fields)


def build_preview(
    given: PreviewChatRequest | ChatRequest | Messages | None, stream: bool, fields: Mapping[str, Any]
) -> PreviewChatRequest:
    """Builds the request for a preview of a chat, which is given as to `build_chat_request`."""
    if isinstance(given, PreviewChatRequest):
        check_alone(given, fields)
        return given
    return build(PreviewChatRequest, request=build_chat_request(given, fields), stream=stream)


def build_chat_request(given: ChatRequest | Messages | None, fields: Mapping[str, Any]) -> ChatRequest:
    """Builds a ChatRequest: from a text, as one user message, or from a list of messages; a ChatRequest is returned.

    Fields of ChatConfig as keywords override those of `config`. Without a model, and without a prompt, which may have
    one, the model is that of GENAI_MODEL. Raises TypeError for unknown keywords, and for arguments that exclude each
    other.
    """
    if isinstance(given, ChatRequest):
        check_alone(given, fields)
        return given
    check_names("", fields, "a chat", CHAT_NAMES)
    present = {name: value for name, value in fields.items() if value is not None}
    if given is not None and "messages" in present:
        raise TypeError("the conversation is given twice: as the first argument and as messages=")
    conversation = present.pop("messages", () if given is None else given)
    messages = _build_messages(present.pop("system", None), conversation)
    if present.keys().isdisjoint(("model", "prompt", "system_prompt_name")):
        present["model"] = read_variable(MODEL_VARIABLE)
    flattened = {name: present.pop(name) for name in CONFIG_FIELDS & present.keys()}
    if flattened:
        present["config"] = _build_config(present.get("config"), flattened)
    return build(ChatRequest, messages=messages, **present)


def check_alone(request: Message, fields: Mapping[str, Any]) -> None:
    """Raises TypeError for fields beside a request."""
    if fields:
        names = ", ".join(sorted(fields))
        raise TypeError(f"{with_article(type(request).__name__)} is sent as it is: set {names} in it, not beside it")


def _build_messages(system: str | None, conversation: Any) -> list[ChatMessage]:
    messages = [] if system is None else [build(ChatMessage, role="system", content=check_text("system", system))]
    if isinstance(conversation, str):
        return [*messages, build(ChatMessage, role="user", content=conversation)]
    if not isinstance(conversation, Sequence) or isinstance(conversation, bytes):
        raise TypeError(f"a chat is a ChatRequest, a text or a list of messages, not {describe(conversation)}")
    given = (build_value(f"messages[{place}]", ChatMessage, entry) for place, entry in enumerate(conversation))
    return [*messages, *given]


def _build_config(config: ChatConfig | Fields | None, flattened: Fields) -> ChatConfig:
    built = ChatConfig()
    if config is not None:
        built.MergeFrom(build_value("config", ChatConfig, config))
    for name in flattened:
        built.ClearField(name)
    built.MergeFrom(build(ChatConfig, **flattened))
    return built
