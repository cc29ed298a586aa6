"""Validation of one message: its role, its parts, and that its short form agrees with its parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from proto import models_pb2
from services.models.validation.fields import line_problem
from services.models.validation.limits import MAX_PARTS
from services.shared.durations import nanoseconds_of
from services.shared.errors import FieldViolation
from services.shared.json_text import is_object

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
TEXT_ROLES = ROLES - {"tool"}

# The kinds of parts that each role may have. None is a part with provider state only.
PARTS_BY_ROLE = {
    "system": frozenset({"text"}),
    "developer": frozenset({"text"}),
    "user": frozenset({"text", "media"}),
    "assistant": frozenset({"text", "tool_call", "reasoning", "refusal", None}),
    "tool": frozenset({"text", "tool_result", "media"}),
}

MAX_STATE_BYTES = 16 * 1024 * 1024
MAX_URL_LENGTH = 8192
MAX_FILE_ID_LENGTH = 256
MAX_FILENAME_LENGTH = 256
MAX_CACHE_SECONDS = 24 * 60 * 60
DETAILS = frozenset({"", "low", "high", "auto"})

MIME_TYPE = re.compile(r"(?:application|audio|image|text|video)/[a-z0-9][a-z0-9.+_-]{0,126}", re.IGNORECASE)
URL = re.compile(r"https?://[^\s/?#\x00-\x1f\x7f][^\s\x00-\x1f\x7f]*", re.IGNORECASE)


def is_plain(message: models_pb2.ChatMessage) -> bool:
    """Whether a message has non-blank text and no other content, as most messages do. False for the role `tool`."""
    content = message.content
    return (
        message.role in TEXT_ROLES
        and bool(content)
        and not content.isspace()
        and not message.parts
        and not message.tool_calls
        and not message.tool_call_id
    )


def message_violations(path: str, message: models_pb2.ChatMessage) -> Iterator[FieldViolation]:
    """All violations of a message."""
    role = message.role
    if role not in ROLES:
        problem = "is required" if not role else "must be system, developer, user, assistant or tool"
        yield FieldViolation(f"{path}.role", problem)
        return
    for field in ("parts", "tool_calls"):
        if len(getattr(message, field)) > MAX_PARTS:
            yield FieldViolation(f"{path}.{field}", f"holds more than {MAX_PARTS} entries")
            return
    if message.parts:
        yield from _parts_violations(path, message)
    elif role not in ("assistant", "tool") and not message.content:
        yield FieldViolation(f"{path}.content", "is empty")
    elif role == "tool" and not message.tool_call_id:
        yield FieldViolation(f"{path}.tool_call_id", "is required for role tool")
    if message.tool_calls and role != "assistant":
        yield FieldViolation(f"{path}.tool_calls", "only an assistant message has tool calls")
    if message.tool_call_id and role != "tool":
        yield FieldViolation(f"{path}.tool_call_id", "only a tool message answers a tool call")
    calls = [(f"{path}.tool_calls[{index}]", call) for index, call in enumerate(message.tool_calls)]
    for here, call in calls:
        yield from _tool_call_violations(here, call)
    yield from _repeated_ids(calls)


def _repeated_ids(calls: Sequence[tuple[str, models_pb2.ToolCall]]) -> Iterator[FieldViolation]:
    """The violations of repeated ids: a result could belong to several calls."""
    seen: set[str] = set()
    for path, call in calls:
        if call.id in seen:
            yield FieldViolation(f"{path}.id", "is used by another call of this message")
        seen.add(call.id)


def _parts_violations(path: str, message: models_pb2.ChatMessage) -> Iterator[FieldViolation]:
    for index, part in enumerate(message.parts):
        yield from _part_violations(f"{path}.parts[{index}]", message.role, part)
    yield from _repeated_ids(
        [
            (f"{path}.parts[{index}].tool_call", part.tool_call)
            for index, part in enumerate(message.parts)
            if part.HasField("tool_call")
        ]
    )
    kinds = {part.WhichOneof("kind") for part in message.parts}
    if message.role == "tool" and not message.tool_call_id and kinds & {"text", "media"}:
        yield FieldViolation(f"{path}.tool_call_id", "is required for role tool")
    texts = "".join(part.text for part in message.parts)
    if message.role not in ("assistant", "tool") and kinds == {"text"} and not texts:
        yield FieldViolation(f"{path}.parts", "hold no text")
    if message.content and message.content != texts:
        yield FieldViolation(f"{path}.content", "differs from the text of parts; set only one of them")
    if message.tool_calls and not _same_calls(message):
        yield FieldViolation(f"{path}.tool_calls", "differ from those in parts; set only one of them")


def _same_calls(message: models_pb2.ChatMessage) -> bool:
    calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
    return _by_id(message.tool_calls) == _by_id(calls)


def _by_id(calls: Sequence[models_pb2.ToolCall]) -> list[models_pb2.ToolCall]:
    return sorted(calls, key=lambda call: call.id)


def _part_violations(path: str, role: str, part: models_pb2.ContentPart) -> Iterator[FieldViolation]:
    kind = part.WhichOneof("kind")
    if kind not in PARTS_BY_ROLE[role] or (kind is None and not part.HasField("provider_state")):
        yield FieldViolation(path, f"a {role} message has no {kind} part" if kind else "is empty")
    elif kind == "media":
        yield from _media_violations(f"{path}.media", part.media)
    elif kind == "tool_call":
        yield from _tool_call_violations(f"{path}.tool_call", part.tool_call)
    elif kind == "tool_result":
        yield from _tool_result_violations(f"{path}.tool_result", part.tool_result)
    if part.HasField("provider_state"):
        yield from _state_violations(f"{path}.provider_state", role, part.provider_state)
    if part.HasField("cache"):
        yield from cache_violations(f"{path}.cache", part.cache)
    # Citations come from answers, which may be sent back.
    if part.citations_json and role != "assistant":
        yield FieldViolation(f"{path}.citations_json", "only an assistant message has citations")


def _media_violations(path: str, media: models_pb2.Media) -> Iterator[FieldViolation]:
    source = media.WhichOneof("source")
    if source is None or not getattr(media, source):
        yield FieldViolation(f"{path}.{source}" if source else path, "needs one of url, data and file_id")
    elif source == "url":
        yield from _url_violations(f"{path}.url", media.url)
    elif source == "file_id":
        problem = line_problem(media.file_id, MAX_FILE_ID_LENGTH)
        if problem:
            yield FieldViolation(f"{path}.file_id", problem)
    elif not media.mime_type:
        yield FieldViolation(f"{path}.mime_type", "is required with data")
    if media.mime_type and not MIME_TYPE.fullmatch(media.mime_type):
        rule = "must be a media type of application, audio, image, text or video, such as image/png"
        yield FieldViolation(f"{path}.mime_type", rule)
    problem = line_problem(media.filename, MAX_FILENAME_LENGTH, joiners=True)
    if problem:
        yield FieldViolation(f"{path}.filename", problem)
    if media.detail not in DETAILS:
        yield FieldViolation(f"{path}.detail", "must be low, high or auto")


def _url_violations(path: str, url: str) -> Iterator[FieldViolation]:
    if len(url) > MAX_URL_LENGTH:
        yield FieldViolation(path, f"is longer than {MAX_URL_LENGTH} characters")
    elif not URL.fullmatch(url):
        yield FieldViolation(path, "must be an http or https URL; bytes are sent in data")


def cache_violations(path: str, cache: models_pb2.PromptCache) -> Iterator[FieldViolation]:
    """The violations of a cache breakpoint."""
    if not cache.HasField("ttl"):
        return
    nanoseconds = nanoseconds_of(cache.ttl)
    if nanoseconds is None:
        yield FieldViolation(f"{path}.ttl", "is not a valid duration")
    elif not 0 < nanoseconds <= MAX_CACHE_SECONDS * 10**9:
        yield FieldViolation(f"{path}.ttl", "must be above 0 and at most 24 hours")


def _state_violations(path: str, role: str, state: models_pb2.ProviderState) -> Iterator[FieldViolation]:
    if role != "assistant":
        yield FieldViolation(path, "only an assistant message has provider state")
    elif len(state.data) > MAX_STATE_BYTES:
        yield FieldViolation(f"{path}.data", f"is larger than {MAX_STATE_BYTES} bytes")
    elif not _is_json_object(state.data):
        yield FieldViolation(f"{path}.data", "is not what the provider gave")


def _is_json_object(data: bytes) -> bool:
    """Whether provider state is a JSON object, as the dialects expect when they send it back."""
    try:
        return is_object(data.decode())
    except UnicodeDecodeError:
        return False


def _tool_call_violations(path: str, call: models_pb2.ToolCall) -> Iterator[FieldViolation]:
    if not call.id:
        yield FieldViolation(f"{path}.id", "is required")
    if not call.name:
        yield FieldViolation(f"{path}.name", "is required")


def _tool_result_violations(path: str, result: models_pb2.ToolResult) -> Iterator[FieldViolation]:
    if not result.tool_call_id:
        yield FieldViolation(f"{path}.tool_call_id", "is required")
    if len(result.content) > MAX_PARTS:
        yield FieldViolation(f"{path}.content", f"holds more than {MAX_PARTS} entries")
        return
    for index, part in enumerate(result.content):
        here = f"{path}.content[{index}]"
        if part.WhichOneof("kind") not in ("text", "media"):
            yield FieldViolation(here, "must be text or media")
        else:
            yield from _part_violations(here, "tool", part)
