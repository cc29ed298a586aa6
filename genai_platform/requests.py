"""Requests built from Python values: chats from a text or a list of messages, and fields as keywords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict

from genai_platform.building import build, build_at
from proto.models_pb2 import (
    AnswerCache,
    ChatConfig,
    ChatMessage,
    ChatRequest,
    Credential,
    ModelCapabilities,
    ParameterPolicy,
    PromptRef,
    ReasoningConfig,
    RegisterModelRequest,
    ResponseFormat,
    SessionOptions,
    Timeouts,
    ToolChoice,
    ToolDefinition,
)

Fields = Mapping[str, Any]
Messages = str | Sequence[ChatMessage | Fields]


class TurnFields(TypedDict, total=False):
    """The fields that the turns of a conversation may share: those of ChatRequest and of its `config`, as keywords."""

    model: str | None
    config: ChatConfig | Fields | None
    tools: Sequence[ToolDefinition | Fields] | None
    response_format: ResponseFormat | Fields | None
    system_prompt_name: str | None
    tool_choice: ToolChoice | Fields | None
    reasoning: ReasoningConfig | Fields | None
    prompt: PromptRef | Fields | None
    session: SessionOptions | Fields | None
    fallback_models: Sequence[str] | None
    timeouts: Timeouts | Mapping[str, float | timedelta] | None
    """Timeouts of each attempt; plain numbers are seconds."""
    cache: AnswerCache | Mapping[str, float | timedelta] | None
    """Shares the answer with equal requests; a plain number for `max_age` is seconds."""
    parameter_policy: ParameterPolicy | str | None
    provider_options_json: Mapping[str, str] | None
    tags: Mapping[str, str] | None
    end_user_id: str | None
    prompt_cache_key: str | None

    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    stop_sequences: Sequence[str] | None
    seed: int | None
    top_k: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    parallel_tool_calls: bool | None
    logprobs: bool | None
    top_logprobs: int | None


class ChatFields(TurnFields, total=False):
    """The fields of a chat: those of ChatRequest and of its `config`, as keywords; submessages may be dicts."""

    system: str | None
    """The text of a system message before the conversation."""

    messages: Messages | None
    session_id: str | None
    request_id: str | None


class RegistrationFields(TypedDict, total=False):
    """The fields of a RegisterModelRequest, as keywords; submessages may be dicts."""

    name: str
    endpoint: str | None
    endpoints: Sequence[str] | None
    """Several servers that all serve the model."""
    capabilities: ModelCapabilities | Fields | None
    health_check: str | None
    adapter_type: str
    provider: str | None
    upstream_model: str | None
    credential: Credential | Fields | None
    aliases: Sequence[str] | None
    default_options_json: str | None
    validate_only: bool | None


CONFIG_FIELDS = frozenset(ChatConfig.DESCRIPTOR.fields_by_name)


def build_chat_request(given: ChatRequest | Messages | None, fields: Mapping[str, Any]) -> ChatRequest:
    """Builds a ChatRequest: from a text, as one user message, or from a list of messages; a ChatRequest is returned.

    Fields of ChatConfig as keywords override those of `config`. Raises TypeError for unknown keywords, and for
    arguments that exclude each other.
    """
    present = {name: value for name, value in fields.items() if value is not None}
    if isinstance(given, ChatRequest):
        if fields:
            raise TypeError(f"a ChatRequest is sent as it is: set {', '.join(sorted(fields))} in it, not beside it")
        return given
    unknown = sorted(present.keys() - ChatFields.__annotations__.keys())
    if unknown:
        raise TypeError(f"neither ChatRequest nor ChatConfig has a field {', '.join(unknown)}")
    if given is not None and "messages" in present:
        raise TypeError("the conversation is given twice: as the first argument and as messages=")
    conversation = present.pop("messages", () if given is None else given)
    messages = _build_messages(present.pop("system", None), conversation)
    flattened = {name: present.pop(name) for name in CONFIG_FIELDS & present.keys()}
    if flattened:
        present["config"] = _build_config(present.get("config"), flattened)
    for name, message_type in (("timeouts", Timeouts), ("cache", AnswerCache)):
        if isinstance(durations := present.get(name), Mapping):
            present[name] = _build_durations(name, message_type, durations)
    return build(ChatRequest, messages=messages, **present)


def build_model_registration(given: RegisterModelRequest | None, fields: Mapping[str, Any]) -> RegisterModelRequest:
    """Builds a RegisterModelRequest from its fields as keywords; a RegisterModelRequest is returned.

    Raises TypeError for unknown keywords, and for keywords beside a request.
    """
    if given is not None:
        if fields:
            raise TypeError(f"a RegisterModelRequest is sent as it is: set {', '.join(sorted(fields))} in it")
        return given
    unknown = sorted(fields.keys() - RegistrationFields.__annotations__.keys())
    if unknown:
        raise TypeError(f"RegisterModelRequest has no field {', '.join(unknown)}")
    return build(RegisterModelRequest, **{name: value for name, value in fields.items() if value is not None})


def _build_durations(
    name: str, message_type: type[Timeouts | AnswerCache], durations: Mapping[str, Any]
) -> Mapping[str, Any]:
    known = message_type.DESCRIPTOR.fields_by_name
    unknown = sorted(str(field) for field in durations if field not in known)
    if unknown:
        raise TypeError(f"{name} has no {', '.join(unknown)}; it has {', '.join(known)}")
    return {field: _duration(value) for field, value in durations.items()}


def _duration(value: Any) -> Any:
    """A number of seconds as a duration; other values stay for the message type to judge."""
    return timedelta(seconds=value) if isinstance(value, int | float) else value


def _build_messages(system: str | None, conversation: Any) -> list[ChatMessage]:
    messages = [] if system is None else [build(ChatMessage, role="system", content=system)]
    if isinstance(conversation, str):
        return [*messages, build(ChatMessage, role="user", content=conversation)]
    if not isinstance(conversation, Sequence) or isinstance(conversation, bytes):
        raise TypeError(f"a chat is a ChatRequest, a text or a list of messages, not a {type(conversation).__name__}")
    return messages + [_build_message(position, message) for position, message in enumerate(conversation)]


def _build_message(position: int, message: ChatMessage | Fields) -> ChatMessage:
    if isinstance(message, ChatMessage):
        return message
    if not isinstance(message, Mapping):
        raise TypeError(f"messages[{position}] must be a ChatMessage or a dict, not a {type(message).__name__}")
    try:
        return build_at(f"messages[{position}]", ChatMessage, **message)
    except (TypeError, ValueError) as error:
        raise TypeError(f"messages[{position}] is no ChatMessage: {error}") from None


def _build_config(config: ChatConfig | Fields | None, flattened: Fields) -> ChatConfig:
    built = ChatConfig()
    if config is not None:
        built.MergeFrom(config if isinstance(config, ChatConfig) else build_at("config", ChatConfig, **config))
    for name in flattened:
        built.ClearField(name)
    built.MergeFrom(build(ChatConfig, **flattened))
    return built
