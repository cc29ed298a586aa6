"""The requests of prompt calls, and the texts made from their responses; the same for both clients."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from genai_platform.building import build, build_at
from genai_platform.errors import FailedPrecondition
from genai_platform.requests import Fields
from genai_platform.v1.models_pb2 import (
    GetPromptRequest,
    Prompt,
    PromptDefaults,
    PromptEvent,
    PromptMetadata,
    PromptRef,
    RegisterPromptRequest,
    RenderPromptRequest,
    SetPromptLabelRequest,
)

LABEL_SET = "label_set"
LABEL_REMOVED = "label_removed"


def build_registration(
    name: str,
    content: str,
    *,
    labels: Sequence[str],
    author: str | None,
    reviewed_by: str | None,
    tags: Sequence[str],
    message: str | None,
    defaults: PromptDefaults | Fields | None,
) -> RegisterPromptRequest:
    request = build(RegisterPromptRequest, name=name, content=content, labels=labels, commit_message=message or "")
    if author or reviewed_by or tags:
        request.metadata.CopyFrom(
            build_at(
                "metadata",
                PromptMetadata,
                author=author or "",
                reviewed_by=reviewed_by or "",
                tags=tags,
            )
        )
    if defaults is not None:
        request.defaults.CopyFrom(
            defaults if isinstance(defaults, PromptDefaults) else build_at("defaults", PromptDefaults, **defaults)
        )
    return request


def build_get_request(name: str, version: int | None, label: str | None) -> GetPromptRequest:
    return build(GetPromptRequest, name=name, version=version or 0, label=label or "")


def build_rendering(
    name: str, variables: Mapping[str, str] | None, version: int | None, label: str | None
) -> RenderPromptRequest:
    """Builds a RenderPromptRequest. Raises TypeError for a version and a label together."""
    if version is not None and label is not None:
        raise TypeError("ask for a version or a label, not both")
    selected: dict[str, Any] = {} if version is None else {"version": version}
    if label is not None:
        selected["label"] = label
    return build(RenderPromptRequest, prompt=build_at("prompt", PromptRef, name=name, variables=variables, **selected))


def build_selection(name: str, selected: int | str) -> GetPromptRequest:
    """Builds the request for a version by its number or by a label."""
    return (
        build_get_request(name, None, selected)
        if isinstance(selected, str)
        else build_get_request(name, selected, None)
    )


def build_move(
    name: str, version: int, label: str, expected_version: int | None, reason: str | None, actor: str | None
) -> SetPromptLabelRequest:
    return build(
        SetPromptLabelRequest,
        name=name,
        label=label,
        version=version,
        expected_version=expected_version,
        reason=reason or "",
        actor=actor or "",
    )


def build_rollback(
    name: str,
    label: str,
    events: Iterable[PromptEvent],
    expected_version: int | None,
    reason: str | None,
    actor: str | None,
) -> SetPromptLabelRequest:
    """Builds the request that moves a label to the version before, by its history, newest event first.

    A second rollback goes one further back, and never forward to a version that was rolled back. Raises
    FailedPrecondition NO_PREVIOUS_VERSION when the history has no earlier version.
    """
    trail, current = _follow(event for event in reversed(list(events)) if event.label == label)
    earlier = trail[:-1] if current else trail
    if not earlier:
        raise FailedPrecondition(
            f"label {label} of prompt {name} has pointed at no other version before; move it with promote",
            reason="NO_PREVIOUS_VERSION",
            metadata={"prompt": name, "label": label},
        )
    expected = current if expected_version is None else expected_version
    return build_move(name, earlier[-1], label, expected, reason or "rollback", actor)


def _follow(events: Iterable[PromptEvent]) -> tuple[Sequence[int], int]:
    """The trail of a label's versions, oldest first, and the version that it points at (0: none).

    A move back to the last version but one is a rollback: it removes the last version from the trail.
    """
    trail: list[int] = []
    current = 0
    for event in events:
        if event.type == LABEL_REMOVED:
            current = 0
        elif event.type == LABEL_SET:
            current = event.version
            if trail[-2:-1] == [current]:
                trail.pop()
            elif trail[-1:] != [current]:
                trail.append(current)
    return trail, current


def describe_changes(base: Prompt, target: Prompt) -> str:
    """The unified diff of two versions' contents, followed by that of their defaults; empty when both are equal."""
    old, new = (f"{prompt.name} v{prompt.version}" for prompt in (base, target))
    contents = difflib.unified_diff(_lines(base.content), _lines(target.content), old, new)
    old_defaults, new_defaults = (_lines(_describe(prompt.defaults)) for prompt in (base, target))
    defaults = difflib.unified_diff(old_defaults, new_defaults, f"{old} defaults", f"{new} defaults")
    return "".join([*contents, *defaults])


def _lines(text: str) -> list[str]:
    """The lines in the format of `diff`: a line feed ends each, and a last line without one is marked."""
    *ended, rest = text.split("\n")
    lines = [f"{line}\n" for line in ended]
    return [*lines, f"{rest}\n\\ No newline at end of file\n"] if rest else lines


def _describe(defaults: PromptDefaults) -> str:
    fields = MessageToDict(defaults, preserving_proto_field_name=True)
    return json.dumps(fields, indent=2, ensure_ascii=False, sort_keys=True) + "\n" if fields else ""
