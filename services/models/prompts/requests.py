"""Checks of requests that read or change prompts. All raise InvalidRequest, which names every wrong field."""

from __future__ import annotations

from collections.abc import Iterator

from proto import models_pb2
from services.models.prompts.labels import label_problem
from services.models.validation.fields import MAX_NAME_LENGTH, line_problem, raise_if_invalid, text_problem
from services.models.validation.limits import MAX_PROMPT_TAGS, MAX_VARIABLES
from services.shared.errors import FieldViolation

MAX_ACTOR_LENGTH = 256
MAX_REASON_LENGTH = 1024

Change = models_pb2.SetPromptLabelRequest | models_pb2.ArchivePromptRequest


def check_get(request: models_pb2.GetPromptRequest) -> None:
    """Checks the reference to one version: a prompt's name, with a version, a label, or neither."""
    raise_if_invalid(_question_violations(request))


def check_list(request: models_pb2.ListPromptsRequest) -> None:
    raise_if_invalid(_list_violations(request))


def check_reference(reference: models_pb2.PromptRef) -> None:
    """Checks the reference to one version in the field `prompt`."""
    raise_if_invalid(_reference_violations(reference))


def check_set_label(request: models_pb2.SetPromptLabelRequest) -> None:
    raise_if_invalid(_label_violations(request))


def check_archive(request: models_pb2.ArchivePromptRequest) -> None:
    raise_if_invalid(_change_violations(request))


def _question_violations(request: models_pb2.GetPromptRequest) -> Iterator[FieldViolation]:
    if not request.name:
        yield FieldViolation("name", "is required")
    if request.version < 0:
        yield FieldViolation("version", "must be 1 or more, or 0 for the version in force")
    elif request.version and request.label:
        yield FieldViolation("label", "excludes version; ask for one of the two")


def _list_violations(request: models_pb2.ListPromptsRequest) -> Iterator[FieldViolation]:
    for field in ("query", "label"):
        if len(getattr(request, field)) > MAX_NAME_LENGTH:
            yield FieldViolation(field, f"is longer than {MAX_NAME_LENGTH} characters")
    if len(request.tags) > MAX_PROMPT_TAGS:
        yield FieldViolation("tags", f"are more than {MAX_PROMPT_TAGS}")


def _reference_violations(reference: models_pb2.PromptRef) -> Iterator[FieldViolation]:
    if len(reference.variables) > MAX_VARIABLES:
        yield FieldViolation("prompt.variables", f"holds more than {MAX_VARIABLES} entries")
    if not reference.name:
        yield FieldViolation("prompt.name", "is required")
    if reference.version < 0:
        yield FieldViolation("prompt.version", "must be 1 or more, or 0 for the version in force")


def _label_violations(request: models_pb2.SetPromptLabelRequest) -> Iterator[FieldViolation]:
    yield from _change_violations(request)
    problem = label_problem(request.label)
    if problem:
        yield FieldViolation("label", problem)
    if request.expected_version < 0:
        yield FieldViolation("expected_version", "must be 1 or more, or 0 for a label that is not set")


def _change_violations(request: Change) -> Iterator[FieldViolation]:
    if not request.name:
        yield FieldViolation("name", "is required")
    if request.version < 0:
        yield FieldViolation("version", "must be 0 or more")
    problem = text_problem(request.reason, MAX_REASON_LENGTH)
    if problem:
        yield FieldViolation("reason", problem)
    problem = line_problem(request.actor, MAX_ACTOR_LENGTH, joiners=True)
    if problem:
        yield FieldViolation("actor", problem)
