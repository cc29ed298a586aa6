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
from docs.written_tables import with_table
from services.models.catalog.vendors import VENDORS
from services.models.providers.base import Conversation, Target
from services.models.providers.encoding import encode
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.shared.errors import InvalidRequest

FOLDER = Path(__file__).parent / "bodies"
README = FOLDER / "README.md"
BEGIN = "<!-- columns, written by tests/wire/write_bodies.py -->\n"

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
    source: str
    """The pages and type files that its bodies are written after."""
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
        Column(
            "openai_reasoning",
            vendor_target("openai", "gpt-5.1"),
            "https://developers.openai.com/api/docs/guides/reasoning, of what depends on the model",
            MODEL_GROUPS,
        ),
        Column(
            "openai_marks",
            vendor_target("openai", "gpt-5.6"),
            "https://developers.openai.com/api/docs/guides/prompt-caching, of prompt caching in Chat Completions",
            frozenset({"Prompt caching"}),
        ),
        Column(
            "openai_responses",
            dataclasses.replace(vendor_target("openai", "gpt-5.6"), dialect=OPENAI_RESPONSES),
            "https://platform.openai.com/docs/api-reference/responses/create"
            " and `openai/types/responses/response_create_params.py`",
        ),
    ],
    "anthropic": [
        Column(
            "anthropic_budgets",
            vendor_target("anthropic", "claude-haiku-4-5"),
            "https://platform.claude.com/docs/en/build-with-claude/extended-thinking, of what depends on the model",
            MODEL_GROUPS,
        ),
        Column(
            "anthropic_old",
            vendor_target("anthropic", "claude-3-5-haiku-20241022"),
            "https://platform.claude.com/docs/en/build-with-claude/structured-outputs,"
            " where there is no `output_config`",
            MODEL_GROUPS,
        ),
    ],
}
"""The columns of a vendor's other models and dialects, which differ from those of the first model that it shows."""

SERVER_COLUMNS = [
    Column(
        "vllm",
        endpoint_target("vllm"),
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"
        " and https://docs.vllm.ai/en/latest/features/multimodal_inputs.html",
    ),
    Column(
        "compatible",
        endpoint_target("openai-compatible"),
        "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"
        " and https://openrouter.ai/docs/api-reference/overview",
    ),
]
"""The columns of servers that are not a vendor's."""


def columns() -> list[Column]:
    columns: list[Column] = []
    for vendor in VENDORS.values():
        if vendor.shown.models:
            first = vendor_target(vendor.name, vendor.shown.models[0])
            columns.append(Column(vendor.name, first, vendor.shown.source))
        columns += MODEL_COLUMNS.get(vendor.name, [])
    return columns + SERVER_COLUMNS


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


def readme() -> str:
    """The text of the README with its table of the columns."""
    lines = ["| Column | Model | Source |", "|---|---|---|"]
    lines += [f"| `{column.name}` | `{column.target.model}` | {column.source} |" for column in columns()]
    return with_table(README.read_text(encoding="utf-8"), BEGIN, "\n".join(lines) + "\n")


def files() -> set[Path]:
    """Every file of bodies that is there."""
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
