"""Validation of a ChatRequest before anything is sent: all problems at once, each with its field's path."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from proto import models_pb2, sessions_pb2
from services.models.validation.content import is_plain, message_violations
from services.models.validation.extra_body import options_violations
from services.models.validation.fields import line_problem, raise_if_invalid, shorten
from services.models.validation.headers import header_violations
from services.models.validation.limits import (
    MAX_MESSAGES,
    MAX_PARTS_IN_ALL,
    MAX_SCHEMA_LENGTH,
    MAX_STOP_SEQUENCES,
    MAX_TAGS,
    MAX_TURN_MESSAGES,
)
from services.models.validation.tools import tool_violations
from services.models.validation.work import Contents, count_parts
from services.shared import characters
from services.shared.durations import nanoseconds_of
from services.shared.errors import FieldViolation, PreconditionFailed
from services.shared.json_text import object_problem
from services.shared.session_ids import session_id_problem

PARAMETER_POLICIES = frozenset(models_pb2.ParameterPolicy.values())
RESPONSE_FORMATS = frozenset({"text", "json_object", "json_schema"})

MAX_MODEL_LENGTH = 256
MAX_TAG_LENGTH = 256
MAX_USER_ID_LENGTH = 256
MAX_END_USER_LENGTH = 1024
MAX_CACHE_KEY_LENGTH = 64
MAX_REQUEST_ID_LENGTH = 64
MAX_AGE_SECONDS = 24 * 3600

# Names of schemas that both OpenAI and Anthropic accept; providers that accept less get another name.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_FALLBACKS = 8
MAX_TIMEOUT_SECONDS = 24 * 3600
MODEL = re.compile(f"[^ {characters.ALL}]+")
EFFORT = re.compile(r"[a-z_-]{1,32}")

# The lowest and the highest value of each field; a limit of None is open.
NUMBER_RANGES: dict[str, tuple[float, float | None]] = {
    "temperature": (0, 2),
    "max_tokens": (1, None),
    "top_p": (0, 1),
    "top_k": (1, None),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "top_logprobs": (0, 20),
}


def check_chat_request(request: models_pb2.ChatRequest) -> Contents:
    """Checks a request, and returns the contents of its messages.

    Raises InvalidRequest naming every wrong field.
    """
    parts: list[int] = []
    raise_if_invalid(_violations(request, parts))
    return _contents(parts)


def check_unprompted_request(request: models_pb2.ChatRequest) -> None:
    """Checks a request without its prompt, which may have the model. Raises as `check_chat_request` does."""
    raise_if_invalid(_violations(request, [], needs_model=not _has_prompt(request)))


def _has_prompt(request: models_pb2.ChatRequest) -> bool:
    return bool(request.system_prompt_name) or request.HasField("prompt")


def _violations(
    request: models_pb2.ChatRequest, parts: list[int], *, needs_model: bool = True
) -> Iterator[FieldViolation]:
    # Hot path: checks only fields that are set.
    if request.model or needs_model:
        yield from check_model_name("model", request.model)
    if not request.messages and not _has_prompt(request):
        yield FieldViolation("messages", "must hold at least one message")
    elif not request.messages:
        yield FieldViolation("messages", "must hold at least one message beside the system prompt")
    yield from _conversation_violations(request.messages, parts)
    if request.HasField("config"):
        yield from _config_violations(request.config)
    if request.tools or request.HasField("tool_choice"):
        yield from tool_violations(request)
    if request.HasField("response_format"):
        yield from _response_format_violations(request.response_format)
    if request.HasField("reasoning"):
        yield from _reasoning_violations(request.reasoning)
    yield from option_violations(request)
    if request.provider_headers:
        yield from header_violations(request.provider_headers)
    if request.fallback_models:
        yield from _fallback_violations(request)
    if request.HasField("timeouts"):
        yield from _timeout_violations(request.timeouts)
    if request.session_id or request.HasField("session"):
        yield from _session_violations(request)
    if request.prompt_cache_key:
        problem = line_problem(request.prompt_cache_key, MAX_CACHE_KEY_LENGTH)
        if problem:
            yield FieldViolation("prompt_cache_key", problem)
    if request.request_id and (problem := line_problem(request.request_id, MAX_REQUEST_ID_LENGTH)):
        yield FieldViolation("request_id", problem)
    if request.HasField("cache"):
        yield from _cache_violations(request)


class ModelRequest(Protocol):
    """A request to a model, as far as all verbs have the same fields in it."""

    @property
    def parameter_policy(self) -> int: ...

    @property
    def provider_options_json(self) -> Mapping[str, str]: ...

    @property
    def tags(self) -> Mapping[str, str]: ...

    @property
    def end_user_id(self) -> str: ...


def option_violations(request: ModelRequest) -> Iterator[FieldViolation]:
    """The violations of the fields that all verbs have: policy, options, tags and end user."""
    if request.parameter_policy not in PARAMETER_POLICIES:
        yield FieldViolation("parameter_policy", "is not a value of ParameterPolicy")
    if request.provider_options_json:
        yield from options_violations(request.provider_options_json)
    if request.tags:
        yield from _tag_violations(request.tags)
    if len(request.end_user_id) > MAX_END_USER_LENGTH:
        yield FieldViolation("end_user_id", f"is longer than {MAX_END_USER_LENGTH} characters")


def _conversation_violations(messages: Sequence[models_pb2.ChatMessage], parts: list[int]) -> Iterator[FieldViolation]:
    """The violations of the messages. Appends to `parts` the number of parts of each message that is not plain."""
    if len(messages) > MAX_MESSAGES:
        yield FieldViolation("messages", f"holds more than {MAX_MESSAGES} messages")
        return
    allowed = MAX_PARTS_IN_ALL
    for index, message in enumerate(messages):
        if is_plain(message):
            continue
        parts.append(count_parts(message))
        allowed -= parts[-1]
        if allowed < 0:
            yield FieldViolation("messages", f"hold more than {MAX_PARTS_IN_ALL} parts and tool calls together")
            return
        yield from message_violations(f"messages[{index}]", message)


def check_model_name(field: str, name: str) -> Iterator[FieldViolation]:
    """The violations of a model's name, in any request."""
    if not name:
        yield FieldViolation(field, "is required")
    elif len(name) > MAX_MODEL_LENGTH or not MODEL.fullmatch(name):
        yield FieldViolation(field, f"must be at most {MAX_MODEL_LENGTH} characters, all seen, without spaces")


def _fallback_violations(request: models_pb2.ChatRequest) -> Iterator[FieldViolation]:
    if len(request.fallback_models) > MAX_FALLBACKS:
        yield FieldViolation("fallback_models", f"holds more than {MAX_FALLBACKS} models")
        return
    named = {request.model}
    for index, name in enumerate(request.fallback_models):
        field = f"fallback_models[{index}]"
        yield from check_model_name(field, name)
        if name in named:
            yield FieldViolation(field, "is the model itself, or named before; leave it out")
        named.add(name)


def _timeout_violations(timeouts: models_pb2.Timeouts) -> Iterator[FieldViolation]:
    for field, duration in timeouts.ListFields():
        nanoseconds = nanoseconds_of(duration)
        if nanoseconds is None or not 0 < nanoseconds <= MAX_TIMEOUT_SECONDS * 1e9:
            yield FieldViolation(f"timeouts.{field.name}", "must be above 0 and at most 24 hours")


def _cache_violations(request: models_pb2.ChatRequest) -> Iterator[FieldViolation]:
    nanoseconds = nanoseconds_of(request.cache.max_age)
    if nanoseconds is None or not 0 <= nanoseconds <= MAX_AGE_SECONDS * 1e9:
        yield FieldViolation("cache.max_age", "must be at most 24 hours, and not negative")
    if request.session_id:
        yield FieldViolation("cache", "does not go with session_id: each turn of a session is answered anew")


def _tag_violations(tags: Mapping[str, str]) -> Iterator[FieldViolation]:
    """The violations of tags, which are short because they are logged with every call."""
    if len(tags) > MAX_TAGS:
        yield FieldViolation("tags", f"holds more than {MAX_TAGS} entries")
    for name, value in islice(tags.items(), MAX_TAGS):
        problem = line_problem(name, MAX_TAG_LENGTH) or line_problem(value, MAX_TAG_LENGTH)
        if problem:
            yield FieldViolation(f"tags[{shorten(name)}]", problem)


def _session_violations(request: models_pb2.ChatRequest) -> Iterator[FieldViolation]:
    session = request.session
    if not request.session_id:
        if request.HasField("session"):
            yield FieldViolation("session", "needs a session_id")
        return
    if problem := session_id_problem(request.session_id):
        yield FieldViolation("session_id", problem)
    if len(request.messages) > MAX_TURN_MESSAGES:
        yield FieldViolation("messages", f"holds more than {MAX_TURN_MESSAGES} messages for one turn of a session")
    for name in ("max_messages", "max_tokens"):
        if getattr(session.window, name) < 0:
            yield FieldViolation(f"session.window.{name}", "must be 0 or more")
    if session.HasField("expected_next_sequence") and session.expected_next_sequence < 1:
        yield FieldViolation("session.expected_next_sequence", "must be 1 or more: sequences begin with 1")
    if len(session.user_id) > MAX_USER_ID_LENGTH or "\0" in session.user_id:
        yield FieldViolation("session.user_id", f"must be at most {MAX_USER_ID_LENGTH} characters, none of them U+0000")


def check_history(entries: Sequence[sessions_pb2.SessionMessage]) -> Contents:
    """Checks the messages of a session, and returns their contents.

    Raises PreconditionFailed SESSION_HISTORY_INVALID for a stored message that a request could not have: the Session
    Service accepts messages that cannot be sent to a model.
    """
    parts: list[int] = []
    for entry in entries:
        if is_plain(entry.message):
            continue
        parts.append(count_parts(entry.message))
        problem = next((v.description for v in message_violations("message", entry.message)), None)
        if problem:
            raise PreconditionFailed(
                f"message {entry.sequence} of the session cannot be sent: {problem}; truncate the session before it, or"
                " choose a smaller session.window",
                reason="SESSION_HISTORY_INVALID",
                metadata={"sequence": str(entry.sequence)},
            )
    return _contents(parts)


def _contents(parts: Collection[int]) -> Contents:
    """The contents of messages, from the numbers of parts of those that are not plain."""
    return Contents(sum(parts), are_plain=not parts)


def _config_violations(config: models_pb2.ChatConfig) -> Iterator[FieldViolation]:
    for field, value in config.ListFields():
        name = field.name
        if name not in NUMBER_RANGES:
            continue
        lowest, highest = NUMBER_RANGES[name]
        too_high = highest is not None and value > highest
        if value < lowest or too_high or not math.isfinite(value) or (name == "top_p" and value == 0):
            yield FieldViolation(f"config.{name}", _range_text(name, lowest, highest))
    if len(config.stop_sequences) > MAX_STOP_SEQUENCES:
        yield FieldViolation("config.stop_sequences", f"holds more than {MAX_STOP_SEQUENCES} entries")
    for index, text in enumerate(islice(config.stop_sequences, MAX_STOP_SEQUENCES)):
        if not text:
            yield FieldViolation(f"config.stop_sequences[{index}]", "is empty")


def _range_text(name: str, lowest: float, highest: float | None) -> str:
    if highest is None:
        return f"must be at least {lowest:g}"
    if name == "top_p":
        return "must be above 0 and at most 1"
    return f"must be between {lowest:g} and {highest:g}"


def _reasoning_violations(reasoning: models_pb2.ReasoningConfig) -> Iterator[FieldViolation]:
    if reasoning.effort and not EFFORT.fullmatch(reasoning.effort):
        yield FieldViolation("reasoning.effort", "must be one word of the provider's, such as low or high")
    if reasoning.HasField("budget_tokens") and reasoning.budget_tokens < 1:
        yield FieldViolation("reasoning.budget_tokens", "must be at least 1")


def _response_format_violations(wanted: models_pb2.ResponseFormat) -> Iterator[FieldViolation]:
    if wanted.type not in RESPONSE_FORMATS:
        yield FieldViolation("response_format.type", "must be text, json_object or json_schema")
    if wanted.name and not NAME.fullmatch(wanted.name):
        yield FieldViolation("response_format.name", "must be 1 to 64 letters, digits, _ or -")
    if wanted.type == "json_schema":
        problem = object_problem(wanted.schema_json, MAX_SCHEMA_LENGTH) if wanted.schema_json else "is required"
        if problem:
            yield FieldViolation("response_format.schema_json", problem)
