"""Checks a ChatRequest before anything is sent: every problem at once, each by its field's path."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from proto import models_pb2, sessions_pb2
from services.models.providers.base import JSON_WORK, MESSAGE_WORK, PART_WORK, Contents, count_parts
from services.models.providers.options import reserved_in
from services.models.validation.content import cache_violations, is_plain, message_violations
from services.models.validation.fields import problem_with_line, refuse, shorten
from services.models.validation.limits import (
    MAX_MESSAGES,
    MAX_OPTIONS,
    MAX_PARTS_IN_ALL,
    MAX_STOP_SEQUENCES,
    MAX_TAGS,
    MAX_TOOLS,
    MAX_TURN_MESSAGES,
)
from services.shared import characters
from services.shared.beside_loop import LARGE_BYTES
from services.shared.errors import FieldViolation, PreconditionFailed, Unimplemented
from services.shared.json_text import problem_with_object, raw_members

PARAMETER_POLICIES = frozenset(models_pb2.ParameterPolicy.values())
RESPONSE_FORMATS = frozenset({"text", "json_object", "json_schema"})

MAX_MODEL_LENGTH = 256
MAX_TAG_LENGTH = 256
MAX_SCHEMA_LENGTH = 256 * 1024
MAX_TOOLS_LENGTH = 4 * 1024 * 1024
"""Of the JSON of all tools together: as much as the largest context windows hold."""
MAX_USER_ID_LENGTH = 256
MAX_END_USER_LENGTH = 1024
MAX_CACHE_KEY_LENGTH = 64

FEW_BYTES = 4 * 1024
"""What is no larger is checked within some 2 ms, whatever it is made of: a crowd of such requests holds up nobody."""

# What OpenAI and Anthropic both take of schemas, and what Gemini takes of tools: whoever takes less is given another.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
TOOL_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
SESSION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MODEL = re.compile(f"[^ {characters.ALL}]+")
EFFORT = re.compile(r"[a-z_-]{1,32}")
PROVIDER_TOOL_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

# Declared in the contract, without behaviour yet.
UNIMPLEMENTED_FIELDS = frozenset({"request_id", "fallback_models"})

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


def work_to_check(request: models_pb2.ChatRequest) -> int:
    """About how much there is to check, in bytes of plain text."""
    size = request.ByteSize()
    if size <= FEW_BYTES:
        return size
    tools = list(islice(request.tools, MAX_TOOLS))
    texts = [request.response_format.schema_json, *islice(request.provider_options_json.values(), MAX_OPTIONS)]
    texts += (text for tool in tools for text in (tool.parameters_json, tool.provider_tool.config_json))
    return message_work(request.messages, size) + JSON_WORK * sum(map(len, texts))


def message_work(messages: Sequence[models_pb2.ChatMessage], size: int) -> int:
    """The same of messages that have this size, no further than to what is large."""
    work = size + MESSAGE_WORK * len(messages)
    for message in messages:
        if work >= LARGE_BYTES:
            break
        work += PART_WORK * count_parts(message)
    return work


def check_chat_request(request: models_pb2.ChatRequest) -> Contents:
    """Returns what its messages hold.

    Raises InvalidRequest naming every field that is wrong, or Unimplemented naming one that does nothing yet.
    """
    parts: list[int] = []
    refuse(_violations(request, parts))
    _check_implemented(request)
    return _contents(parts)


def _violations(request: models_pb2.ChatRequest, parts: list[int]) -> Iterator[FieldViolation]:
    # What is not there is not asked about: this runs before every call.
    yield from check_model_name("model", request.model)
    if not request.messages and not request.system_prompt_name and not request.HasField("prompt"):
        yield FieldViolation("messages", "must hold at least one message")
    elif not request.messages:
        yield FieldViolation("messages", "must hold at least one message beside the system prompt")
    yield from _conversation_violations(request.messages, parts)
    if request.HasField("config"):
        yield from _config_violations(request.config)
    if request.tools or request.HasField("tool_choice"):
        yield from _tool_violations(request)
    if request.HasField("response_format"):
        yield from _response_format_violations(request.response_format)
    if request.HasField("reasoning"):
        yield from _reasoning_violations(request.reasoning)
    if request.parameter_policy not in PARAMETER_POLICIES:
        yield FieldViolation("parameter_policy", "is not a value of ParameterPolicy")
    if request.provider_options_json:
        yield from _all_options_violations(request.provider_options_json)
    if request.tags:
        yield from _tag_violations(request.tags)
    if request.session_id or request.HasField("session"):
        yield from _session_violations(request)
    if len(request.end_user_id) > MAX_END_USER_LENGTH:
        yield FieldViolation("end_user_id", f"is longer than {MAX_END_USER_LENGTH} characters")
    if request.prompt_cache_key:
        problem = problem_with_line(request.prompt_cache_key, MAX_CACHE_KEY_LENGTH)
        if problem:
            yield FieldViolation("prompt_cache_key", problem)


def _conversation_violations(messages: Sequence[models_pb2.ChatMessage], parts: list[int]) -> Iterator[FieldViolation]:
    """Adds to `parts` the number of those of each message that is not plain."""
    if len(messages) > MAX_MESSAGES:
        yield FieldViolation("messages", f"holds more than {MAX_MESSAGES} messages")
        return
    room = MAX_PARTS_IN_ALL
    for index, message in enumerate(messages):
        if is_plain(message):
            continue
        parts.append(count_parts(message))
        room -= parts[-1]
        if room < 0:
            yield FieldViolation("messages", f"hold more than {MAX_PARTS_IN_ALL} parts and tool calls together")
            return
        yield from message_violations(f"messages[{index}]", message)


def check_model_name(field: str, name: str) -> Iterator[FieldViolation]:
    """The violations of a model's name, wherever it is asked for."""
    if not name:
        yield FieldViolation(field, "is required")
    elif len(name) > MAX_MODEL_LENGTH or not MODEL.fullmatch(name):
        yield FieldViolation(field, f"must be at most {MAX_MODEL_LENGTH} characters, all seen, without spaces")


def _tag_violations(tags: Mapping[str, str]) -> Iterator[FieldViolation]:
    """Tags are logged with every call, so they are kept short."""
    if len(tags) > MAX_TAGS:
        yield FieldViolation("tags", f"holds more than {MAX_TAGS} entries")
    for name, value in islice(tags.items(), MAX_TAGS):
        problem = problem_with_line(name, MAX_TAG_LENGTH) or problem_with_line(value, MAX_TAG_LENGTH)
        if problem:
            yield FieldViolation(f"tags[{shorten(name)}]", problem)


def _all_options_violations(options: Mapping[str, str]) -> Iterator[FieldViolation]:
    if len(options) > MAX_OPTIONS:
        yield FieldViolation("provider_options_json", f"holds more than {MAX_OPTIONS} entries")
    for provider, value in islice(options.items(), MAX_OPTIONS):
        yield from _options_violations(f"provider_options_json[{shorten(provider)}]", value)


def _session_violations(request: models_pb2.ChatRequest) -> Iterator[FieldViolation]:
    session = request.session
    if not request.session_id:
        if request.HasField("session"):
            yield FieldViolation("session", "needs a session_id")
        return
    if not SESSION_ID.fullmatch(request.session_id):
        yield FieldViolation("session_id", "must be letters, digits and ._:- only, at most 128 of them")
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
    """Returns what the messages hold.

    Raises PreconditionFailed SESSION_HISTORY_INVALID for a stored message that no request could have: sessions take
    messages of programs too that know nothing of providers.
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
    """Of messages of which those that are not plain have so many parts."""
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


def _tool_violations(request: models_pb2.ChatRequest) -> Iterator[FieldViolation]:
    names: set[str] = set()
    if len(request.tools) > MAX_TOOLS:
        yield FieldViolation("tools", f"holds more than {MAX_TOOLS} tools")
    tools = list(islice(request.tools, MAX_TOOLS))
    if sum(len(tool.parameters_json) + len(tool.provider_tool.config_json) for tool in tools) > MAX_TOOLS_LENGTH:
        yield FieldViolation("tools", f"hold JSON of more than {MAX_TOOLS_LENGTH} characters together")
        return
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        of_provider = tool.HasField("provider_tool")
        if not TOOL_NAME.fullmatch(tool.name) and (tool.name or not of_provider):
            yield FieldViolation(f"{path}.name", "must be 1 to 128 letters, digits, _, ., : or -")
        elif tool.name in names:
            yield FieldViolation(f"{path}.name", "is used by another tool of this request")
        if tool.name:
            names.add(tool.name)
        if tool.HasField("cache"):
            yield from cache_violations(f"{path}.cache", tool.cache)
        if of_provider:
            yield from _provider_tool_violations(path, tool)
        elif tool.parameters_json:
            problem = problem_with_object(tool.parameters_json, MAX_SCHEMA_LENGTH)
            if problem:
                yield FieldViolation(f"{path}.parameters_json", problem)
    yield from _tool_choice_violations(request, names)


def _provider_tool_violations(path: str, tool: models_pb2.ToolDefinition) -> Iterator[FieldViolation]:
    for field, _ in tool.ListFields():
        if field.name not in ("name", "provider_tool", "cache"):
            yield FieldViolation(f"{path}.{field.name}", "is of functions only; set it in provider_tool.config_json")
    own = tool.provider_tool
    if not PROVIDER_TOOL_TYPE.fullmatch(own.type):
        yield FieldViolation(f"{path}.provider_tool.type", "must be the provider's name for the tool")
    if own.config_json:
        problem = problem_with_object(own.config_json, MAX_SCHEMA_LENGTH)
        if not problem and reserved_in(raw_members(own.config_json), frozenset({"type"})):
            problem = "must not set type: provider_tool.type says it"
        if problem:
            yield FieldViolation(f"{path}.provider_tool.config_json", problem)


def _tool_choice_violations(request: models_pb2.ChatRequest, names: set[str]) -> Iterator[FieldViolation]:
    choice = request.tool_choice
    kind = choice.WhichOneof("choice")
    if kind == "tool_name" and choice.tool_name not in names:
        yield FieldViolation("tool_choice.tool_name", "names no tool of this request")
    elif kind == "mode" and choice.mode not in models_pb2.ToolChoiceMode.values():
        yield FieldViolation("tool_choice.mode", "is not a value of ToolChoiceMode")
    elif kind == "mode" and choice.mode == models_pb2.TOOL_CHOICE_MODE_REQUIRED and not request.tools:
        yield FieldViolation("tool_choice.mode", "requires a tool, but the request has none")


def _response_format_violations(wanted: models_pb2.ResponseFormat) -> Iterator[FieldViolation]:
    if wanted.type not in RESPONSE_FORMATS:
        yield FieldViolation("response_format.type", "must be text, json_object or json_schema")
    if wanted.name and not NAME.fullmatch(wanted.name):
        yield FieldViolation("response_format.name", "must be 1 to 64 letters, digits, _ or -")
    if wanted.type == "json_schema":
        problem = problem_with_object(wanted.schema_json, MAX_SCHEMA_LENGTH) if wanted.schema_json else "is required"
        if problem:
            yield FieldViolation("response_format.schema_json", problem)


def _options_violations(path: str, options: str) -> Iterator[FieldViolation]:
    problem = problem_with_object(options, MAX_SCHEMA_LENGTH) or _problem_with_members(options)
    if problem:
        yield FieldViolation(path, problem)


def _problem_with_members(options: str) -> str | None:
    reserved = reserved_in(raw_members(options))
    return f"must not set {', '.join(reserved)}: the request itself says them" if reserved else None


def _check_implemented(request: models_pb2.ChatRequest) -> None:
    for name in UNIMPLEMENTED_FIELDS:
        if getattr(request, name):
            raise Unimplemented.feature(name)
