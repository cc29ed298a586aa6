"""Models as clients list them: ModelInfo → the shapes of OpenAI's and of Anthropic's `GET /v1/models`.

https://platform.openai.com/docs/api-reference/models and https://platform.claude.com/docs/en/api/models/list

Each name that can be asked for is an entry, aliases too: Claude Code offers only those that begin with `claude`. Models
whose provider has no key are left out, and so are retired ones, unless a client asks for these. The entries are in the
order of their ids, so that a page begins at the same place when models have come or gone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from proto import models_pb2
from services.shared.errors import InvalidRequest
from services.shared.json_text import encode

UNKNOWN_TIME = "1970-01-01T00:00:00Z"
"""Anthropic's value for a release that is not known."""

MAX_LIMIT = 1000

LIFECYCLES = {
    models_pb2.LIFECYCLE_STATE_UNSPECIFIED: "active",
    models_pb2.LIFECYCLE_STATE_ACTIVE: "active",
    models_pb2.LIFECYCLE_STATE_DEPRECATED: "deprecated",
    models_pb2.LIFECYCLE_STATE_RETIRED: "retired",
}
ACTIVE = frozenset({"active", "deprecated"})
"""The stages that a list has if its client names none."""

EFFORTS = ("low", "medium", "high", "xhigh", "max")


class Page(NamedTuple):
    """A part of Anthropic's list."""

    limit: int = 20
    after_id: str = ""
    before_id: str = ""
    lifecycles: Collection[str] = ACTIVE


class _Entry(NamedTuple):
    id: str
    model: models_pb2.ModelInfo


def read_page(query: Iterable[tuple[str, str]]) -> Page:
    """The part that the parameters of a query ask for; unknown ones are passed over. Raises InvalidRequest."""
    page = Page()
    lifecycles: set[str] = set()
    for name, value in query:
        if name == "limit":
            page = page._replace(limit=_limit(value))
        elif name == "after_id":
            page = page._replace(after_id=value)
        elif name == "before_id":
            page = page._replace(before_id=value)
        elif name in ("lifecycle", "lifecycle[]"):
            lifecycles.update(value.split(","))
    if page.after_id and page.before_id:
        raise InvalidRequest.field("before_id", "does not go with after_id")
    if unknown := lifecycles - set(LIFECYCLES.values()):
        raise InvalidRequest.field("lifecycle", f"has {len(unknown)} values besides active, deprecated and retired")
    return page._replace(lifecycles=frozenset(lifecycles)) if lifecycles else page


def _limit(value: str) -> int:
    is_number = len(value) <= 4 and value.isascii() and value.isdigit()
    if not is_number or not 1 <= int(value) <= MAX_LIMIT:
        raise InvalidRequest.field("limit", f"must be between 1 and {MAX_LIMIT}")
    return int(value)


# ---------------------------------------------------------------------------------------------------------- OpenAI's


def openai_list(models: Iterable[models_pb2.ModelInfo]) -> bytes:
    """The whole list in OpenAI's shape."""
    return encode({"object": "list", "data": [_openai(entry) for entry in _entries(models, ACTIVE)]})


def openai_model(model: models_pb2.ModelInfo, name: str) -> bytes:
    """One model in OpenAI's shape, by the name that was asked for."""
    return encode(_openai(_Entry(name, model)))


def _openai(entry: _Entry) -> dict[str, Any]:
    can, model = entry.model.capabilities, entry.model
    written: dict[str, Any] = {"id": entry.id, "object": "model", "created": 0, "owned_by": model.provider}
    if can.lifecycle.shutdown_date:
        written["shutdown_date"] = can.lifecycle.shutdown_date
    if can.HasField("context_window"):
        # OpenRouter's name and vLLM's, which local tools read.
        written |= {"context_length": can.context_window, "max_model_len": can.context_window}
    return written


# ------------------------------------------------------------------------------------------------------- Anthropic's


def anthropic_list(models: Iterable[models_pb2.ModelInfo], page: Page) -> bytes:
    """A page of the list in Anthropic's shape."""
    entries = _entries(models, page.lifecycles)
    ids = [entry.id for entry in entries]
    if page.before_id:
        end = bisect_left(ids, page.before_id)
        start = max(0, end - page.limit)
        has_more = start > 0
    else:
        start = bisect_right(ids, page.after_id) if page.after_id else 0
        end = start + page.limit
        has_more = end < len(ids)
    part = entries[start:end]
    return encode(
        {
            "data": [_anthropic(entry) for entry in part],
            "has_more": has_more,
            "first_id": part[0].id if part else None,
            "last_id": part[-1].id if part else None,
        }
    )


def anthropic_model(model: models_pb2.ModelInfo, name: str) -> bytes:
    """One model in Anthropic's shape, by the name that was asked for."""
    return encode(_anthropic(_Entry(name, model)))


def _anthropic(entry: _Entry) -> dict[str, Any]:
    can = entry.model.capabilities
    lifecycle = can.lifecycle
    return {
        "type": "model",
        "id": entry.id,
        "display_name": entry.id,
        "created_at": UNKNOWN_TIME,
        "max_input_tokens": can.context_window if can.HasField("context_window") else None,
        "max_tokens": can.max_output_tokens if can.HasField("max_output_tokens") else None,
        "capabilities": _capabilities(can) or None,
        "lifecycle": LIFECYCLES.get(lifecycle.state, "active"),
        "deprecated_at": _midnight(lifecycle.deprecation_date),
        "retires_at": _midnight(lifecycle.shutdown_date),
        "line": None,
    }


def _capabilities(can: models_pb2.ModelCapabilities) -> dict[str, Any]:
    """The capabilities that are known."""
    known: dict[str, Any] = {}
    for name, field in (
        ("image_input", "supports_vision"),
        ("pdf_input", "supports_documents"),
        ("structured_outputs", "supports_json_schema"),
    ):
        if can.HasField(field):
            known[name] = {"supported": getattr(can, field)}
    if can.HasField("supports_reasoning"):
        known["thinking"] = {"supported": can.supports_reasoning, "types": {}}
    if can.reasoning_efforts:
        known["effort"] = {
            "supported": True,
            **{name: {"supported": name in can.reasoning_efforts} for name in EFFORTS},
        }
    return known


def _midnight(day: str) -> str | None:
    return f"{day}T00:00:00Z" if day else None


# ----------------------------------------------------------------------------------------------------------- entries


def _entries(models: Iterable[models_pb2.ModelInfo], lifecycles: Collection[str]) -> Sequence[_Entry]:
    """An entry for each name; an alias that is also a model's name stands for that model."""
    listed = [
        model
        for model in models
        if model.configured and LIFECYCLES.get(model.capabilities.lifecycle.state, "active") in lifecycles
    ]
    by_id = {alias: model for model in listed for alias in model.aliases}
    by_id |= {model.name: model for model in listed}
    return [_Entry(name, by_id[name]) for name in sorted(by_id)]
