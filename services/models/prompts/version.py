"""New versions of prompts: checked and built here; the registry numbers and stores them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from google.protobuf.json_format import MessageToDict

from proto import models_pb2
from services.models.prompts.labels import label_problem
from services.models.prompts.templates import find_lookalikes, find_variables
from services.models.validation.fields import line_problem, raise_if_invalid, text_problem
from services.models.validation.limits import MAX_LABELS, MAX_PROMPT_TAGS, MAX_VARIABLES
from services.models.validation.request import check_chat_request
from services.shared.errors import FieldViolation, InvalidRequest

MAX_CONTENT_BYTES = 1024 * 1024
MAX_DEFAULTS_BYTES = 256 * 1024
MAX_PERSON_LENGTH = 256
MAX_TAG_LENGTH = 128
MAX_COMMIT_MESSAGE_LENGTH = 4096
MAX_LINES_SHOWN = 5

_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,127}")


def is_name(name: str) -> bool:
    """Whether a text is a valid name of a prompt."""
    return bool(_NAME.fullmatch(name))


def build_version(request: models_pb2.RegisterPromptRequest) -> models_pb2.Prompt:
    """Builds the version of a request, without its number and time.

    Raises InvalidRequest naming every wrong field, or Unimplemented for defaults that a chat cannot use yet.
    """
    raise_if_invalid(_violations(request))
    prompt = models_pb2.Prompt(
        name=request.name,
        content=request.content,
        commit_message=request.commit_message,
        variables=find_variables(request.content),
    )
    if request.HasField("metadata"):
        prompt.metadata.CopyFrom(request.metadata)
    # Empty defaults equal unset ones; otherwise the same content could have two versions.
    if request.defaults.ByteSize():
        prompt.defaults.CopyFrom(request.defaults)
    prompt.content_hash = _hash(prompt)
    return prompt


def registration_warnings(
    request: models_pb2.RegisterPromptRequest, prompt: models_pb2.Prompt, created: bool
) -> Sequence[models_pb2.Notice]:
    """The warnings for the caller who registered `prompt`."""
    return [*_lookalike_warnings(prompt), *(() if created else _metadata_warnings(request, prompt))]


def _lookalike_warnings(prompt: models_pb2.Prompt) -> Iterator[models_pb2.Notice]:
    numbers = list(islice(find_lookalikes(prompt.content), MAX_LINES_SHOWN))
    if numbers:
        lines = ", ".join(map(str, numbers))
        message = f"double braces in line {lines} are plain text; a variable is {{{{name}}}}, without blanks or dots"
        yield models_pb2.Notice(code="NOT_A_VARIABLE", field="content", message=message)


def _metadata_warnings(
    request: models_pb2.RegisterPromptRequest, prompt: models_pb2.Prompt
) -> Iterator[models_pb2.Notice]:
    """Warnings for metadata that were not stored, because an identical version exists and versions are immutable."""
    message = f"not stored: version {prompt.version} already holds this content, and versions never change"
    if request.HasField("metadata") and request.metadata != prompt.metadata:
        yield models_pb2.Notice(code="NOT_STORED", field="metadata", message=message)
    if request.commit_message and request.commit_message != prompt.commit_message:
        yield models_pb2.Notice(code="NOT_STORED", field="commit_message", message=message)


def _hash(prompt: models_pb2.Prompt) -> str:
    """The SHA-256 of the canonical JSON of a version's identity: its content and defaults."""
    identity = {
        "content": prompt.content,
        "defaults": MessageToDict(prompt.defaults, preserving_proto_field_name=True),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _violations(request: models_pb2.RegisterPromptRequest) -> Iterator[FieldViolation]:
    if not is_name(request.name):
        rule = "must be 1 to 128 lower-case letters, digits and ._-/ and begin with a letter or digit"
        yield FieldViolation("name", rule)
    if not request.content.strip():
        yield FieldViolation("content", "is required")
    elif "\0" in request.content:
        yield FieldViolation("content", "contains a NUL character")
    elif len(request.content.encode()) > MAX_CONTENT_BYTES:
        yield FieldViolation("content", f"is larger than {MAX_CONTENT_BYTES} bytes")
    elif len(find_variables(request.content)) > MAX_VARIABLES:
        yield FieldViolation("content", f"has more than {MAX_VARIABLES} variables")
    problem = text_problem(request.commit_message, MAX_COMMIT_MESSAGE_LENGTH)
    if problem:
        yield FieldViolation("commit_message", problem)
    yield from _label_violations(request.labels)
    yield from _metadata_violations(request.metadata)
    yield from _defaults_violations(request.defaults)


def _label_violations(labels: Sequence[str]) -> Iterator[FieldViolation]:
    if len(labels) > MAX_LABELS:
        yield FieldViolation("labels", f"are more than {MAX_LABELS}")
    for index, label in enumerate(labels[:MAX_LABELS]):
        problem = label_problem(label)
        if problem:
            yield FieldViolation(f"labels[{index}]", problem)


def _metadata_violations(metadata: models_pb2.PromptMetadata) -> Iterator[FieldViolation]:
    for field in ("author", "reviewed_by"):
        problem = line_problem(getattr(metadata, field), MAX_PERSON_LENGTH, joiners=True)
        if problem:
            yield FieldViolation(f"metadata.{field}", problem)
    if len(metadata.tags) > MAX_PROMPT_TAGS:
        yield FieldViolation("metadata.tags", f"are more than {MAX_PROMPT_TAGS}")
    for index, tag in enumerate(metadata.tags[:MAX_PROMPT_TAGS]):
        problem = line_problem(tag, MAX_TAG_LENGTH) if tag else "is empty"
        if problem:
            yield FieldViolation(f"metadata.tags[{index}]", problem)


def _defaults_violations(defaults: models_pb2.PromptDefaults) -> Iterator[FieldViolation]:
    """Violations that every chat with these defaults would have: a stored version cannot be corrected."""
    if defaults.ByteSize() > MAX_DEFAULTS_BYTES:
        yield FieldViolation("defaults", f"are larger than {MAX_DEFAULTS_BYTES} bytes")
        return
    chat = models_pb2.ChatRequest(
        model=defaults.model or "any",
        messages=[models_pb2.ChatMessage(role="user", content="any")],
        config=defaults.config if defaults.HasField("config") else None,
        tools=defaults.tools,
        response_format=defaults.response_format if defaults.HasField("response_format") else None,
    )
    try:
        check_chat_request(chat)
    except InvalidRequest as error:
        for field, description in error.violations:
            yield FieldViolation(f"defaults.{field}", description)
