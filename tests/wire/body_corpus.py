"""The corpus in tests/wire/bodies: for every feature, the bodies that must be sent, and to which kinds of provider."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from docs.feature_requests import Feature, features
from docs.features import endpoint_target, vendor_target
from services.models.catalog.vendors import VENDORS
from services.models.providers.base import Conversation, Target
from services.models.providers.encoding import encode
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.shared.errors import InvalidRequest

FOLDER = Path(__file__).parent / "bodies"

MODEL = "<model>"
"""In a stored body: the id of the column's model, which tests/wire/bodies/README.md has."""

LINE_CHARACTERS = 120
"""The length of a line in a file, where it can be kept to."""

MODEL_GROUPS = frozenset({"Reasoning", "Form of the answer", "Parameters"})
"""Where one provider's models differ from each other."""


class Column(NamedTuple):
    """A target, and the groups of features that it has something to say about."""

    name: str
    target: Target
    groups: frozenset[str] | None = None
    """None for all."""


class Case(NamedTuple):
    """One feature, as it is said to one column."""

    column: Column
    feature: Feature

    @property
    def name(self) -> str:
        return f"{self.column.name}/{place(self.feature)}"

    def body(self, *, stream: bool = False) -> Any:
        """The body as it is encoded now, or the fields that are refused."""
        conversation = Conversation(self.feature.request, self.feature.request.messages)
        try:
            return msgspec.json.decode(encode(conversation, self.column.target, stream=stream).request.body)
        except InvalidRequest as problem:
            return {"refused": [violation.field for violation in problem.violations]}


MODEL_COLUMNS = {
    "openai": [
        Column("openai_reasoning", vendor_target("openai", "gpt-5.1"), MODEL_GROUPS),
        Column("openai_marks", vendor_target("openai", "gpt-5.6"), frozenset({"Prompt caching"})),
        Column("openai_responses", dataclasses.replace(vendor_target("openai", "gpt-5.6"), dialect=OPENAI_RESPONSES)),
    ],
    "anthropic": [
        Column("anthropic_budgets", vendor_target("anthropic", "claude-haiku-4-5"), MODEL_GROUPS),
        Column("anthropic_old", vendor_target("anthropic", "claude-3-5-haiku-20241022"), MODEL_GROUPS),
    ],
}
"""The columns of a vendor's other models and dialects, which differ from those of the first model that it shows."""


def columns() -> list[Column]:
    columns: list[Column] = []
    for vendor in VENDORS.values():
        if vendor.shown.models:
            columns.append(Column(vendor.name, vendor_target(vendor.name, vendor.shown.models[0])))
        columns += MODEL_COLUMNS.get(vendor.name, [])
    columns.append(Column("vllm", endpoint_target("vllm")))
    columns.append(Column("compatible", endpoint_target("openai-compatible")))
    return columns


def cases() -> Iterator[Case]:
    asked = list(features())
    for column in columns():
        for feature in asked:
            if column.groups is None or feature.group in column.groups:
                yield Case(column, feature)


def place(feature: Feature) -> str:
    return f"{_slug(feature.group)}/{_slug(feature.name)}"


def texts() -> dict[Path, str]:
    """What each file must hold: the distinct bodies of one feature, each under the columns that share it."""
    shared: dict[Path, dict[str, list[str]]] = {}
    for case in cases():
        file = FOLDER / f"{place(case.feature)}.json"
        shared.setdefault(file, {}).setdefault(_without_model(case), []).append(case.column.name)
    return {
        file: pretty({", ".join(names): json.loads(body) for body, names in bodies.items()}) + "\n"
        for file, bodies in shared.items()
    }


def files() -> set[Path]:
    """Every file that is there."""
    return set(FOLDER.rglob("*.json"))


def pretty(value: Any, indent: int = 0, before: int = 0) -> str:
    """JSON in which a value stands in one line where it fits, behind so many spaces and characters of its name."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or indent + before + len(line) < LINE_CHARACTERS:
        return line
    is_object = isinstance(value, dict)
    names = [f"{json.dumps(name, ensure_ascii=False)}: " for name in value] if is_object else [""] * len(value)
    members = zip(names, value.values() if is_object else value, strict=True)
    inner = indent + 2
    lines = [" " * inner + name + pretty(member, inner, len(name)) for name, member in members]
    opening, closing = "{}" if is_object else "[]"
    return "\n".join([opening, ",\n".join(lines), " " * indent + closing])


def _without_model(case: Case) -> str:
    """A body, its members in their order, with a placeholder for the model's id."""
    body = case.body()
    if "model" in body:
        assert body["model"] == case.column.target.model
        body["model"] = MODEL
    return json.dumps(body, ensure_ascii=False)


def _slug(title: str) -> str:
    return title.lower().replace(" ", "_")
