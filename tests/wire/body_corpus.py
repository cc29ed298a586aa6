"""The corpus in tests/wire/bodies: for every feature and every kind of provider, the body that must be sent."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from docs.feature_requests import Feature, features
from docs.features import endpoint_target, vendor_target
from services.models.providers.base import Conversation, Target
from services.models.providers.dialects import ANTHROPIC, OPENAI, OPENAI_RESPONSES
from services.models.providers.encoding import encode
from services.shared.errors import InvalidRequest

FOLDER = Path(__file__).parent / "bodies"

MODEL_GROUPS = frozenset({"Reasoning", "Form of the answer", "Parameters"})
"""Where one provider's models differ from each other."""


class Column(NamedTuple):
    """One folder: a target, and the groups of features that it has something to say about."""

    folder: str
    target: Target
    groups: frozenset[str] | None = None
    """None for all."""


class Case(NamedTuple):
    """One file."""

    column: Column
    feature: Feature

    @property
    def name(self) -> str:
        return f"{self.column.folder}/{_slug(self.feature.group)}/{_slug(self.feature.name)}"

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.json"

    def text(self) -> str:
        """What the file must hold: the body as it is encoded now, or the fields that are refused."""
        return pretty(self.body())

    def body(self, *, stream: bool = False) -> Any:
        conversation = Conversation(self.feature.request, self.feature.request.messages)
        try:
            return msgspec.json.decode(encode(conversation, self.column.target, stream=stream).request.body)
        except InvalidRequest as problem:
            return {"refused": [violation.field for violation in problem.violations]}


def columns() -> list[Column]:
    responses = vendor_target(OPENAI, "openai", "gpt-5.6")
    return [
        Column("openai", vendor_target(OPENAI, "openai", "gpt-4o")),
        Column("openai_reasoning", vendor_target(OPENAI, "openai", "gpt-5.1"), MODEL_GROUPS),
        Column("openai_marks", vendor_target(OPENAI, "openai", "gpt-5.6"), frozenset({"Prompt caching"})),
        Column("openai_responses", dataclasses.replace(responses, dialect=OPENAI_RESPONSES)),
        Column("anthropic", vendor_target(ANTHROPIC, "anthropic", "claude-opus-5")),
        Column("anthropic_budgets", vendor_target(ANTHROPIC, "anthropic", "claude-haiku-4-5"), MODEL_GROUPS),
        Column("anthropic_old", vendor_target(ANTHROPIC, "anthropic", "claude-3-5-haiku-20241022"), MODEL_GROUPS),
        Column("vllm", endpoint_target("vllm")),
        Column("compatible", endpoint_target("openai-compatible")),
    ]


def cases() -> Iterator[Case]:
    asked = list(features())
    for column in columns():
        for feature in asked:
            if column.groups is None or feature.group in column.groups:
                yield Case(column, feature)


def files() -> set[Path]:
    """Every body that is there."""
    return set(FOLDER.rglob("*.json"))


def pretty(body: Any) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _slug(title: str) -> str:
    return title.lower().replace(" ", "_")
