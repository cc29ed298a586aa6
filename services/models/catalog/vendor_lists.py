"""What the providers' own lists of models say.

Sources: `openai.types.Model` of openai 3.54 (with `shutdown_date`), `anthropic.types.ModelInfo` and
`anthropic.types.ModelCapabilities` of anthropic 2.12. Whatever is missing or of another type is not told: a list must
not fail for one entry.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.models.catalog.families import VENDORS, Vendor
from services.models.catalog.lifecycle import ACTIVE, DEPRECATED, RETIRED, UNKNOWN, State
from services.shared import json_text

MAX_TOKENS = 2**31 - 1

MAX_MODELS = 2000
"""Of one provider: several times what those list that pass on the models of all others."""

EFFORTS = ("low", "medium", "high", "xhigh", "max")

_STATES: Mapping[str, State] = {"active": ACTIVE, "deprecated": DEPRECATED, "retired": RETIRED}

# What stands in a list is shown to callers and written into requests.
_FIT_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,128}")

# OpenAI lists what does not chat, too, and says of nothing what it does.
_NO_CHAT = re.compile(
    r"embedding|tts|whisper|dall-e|image|realtime|transcribe|translate|moderation|sora|instruct|gpt-live"
    r"|\A(babbage|davinci)-"
)


class NoList(ValueError):
    """An answer that is no list of models."""


@dataclass(frozen=True, slots=True)
class ToldModel:
    """What a provider says of one of its models. None is what it does not say."""

    id: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    shutdown: datetime.date | None = None
    deprecated: datetime.date | None = None
    state: State = UNKNOWN
    images: bool | None = None
    documents: bool | None = None
    json_schema: bool | None = None
    """Whether it has the provider's own field for an answer's schema."""
    reasons: bool | None = None
    takes_budget: bool | None = None
    adaptive: bool | None = None
    efforts: tuple[str, ...] | None = None


class ListPage(NamedTuple):
    """One answer of a list, and where to go on."""

    models: list[ToldModel]
    next_id: str
    """For `after_id`; empty at the end."""


def read_page(vendor: Vendor, body: bytes) -> ListPage:
    """Reads an answer to `GET /v1/models`. Raises NoList, for more than MAX_MODELS entries too."""
    try:
        answer = json_text.decode(body)
    except json_text.Malformed:
        raise NoList from None
    entries = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_MODELS:
        raise NoList
    read = _openai_model if vendor == "openai" else _anthropic_model
    models = [read(entry["id"], entry) for entry in entries if isinstance(entry, dict) and _is_listable(entry)]
    return ListPage(models, _next_id(answer))


def _next_id(answer: Mapping[str, Any]) -> str:
    last = answer.get("last_id")
    if answer.get("has_more") is not True or not isinstance(last, str):
        return ""
    # It becomes a part of the next URL.
    if not _FIT_NAME.fullmatch(last):
        raise NoList
    return last


def _is_listable(entry: Mapping[str, Any]) -> bool:
    model_id = entry.get("id")
    if not isinstance(model_id, str) or not _FIT_NAME.fullmatch(model_id) or _NO_CHAT.search(model_id):
        return False
    # Such a name leads to the provider that it names, whoever else lists it.
    return not model_id.startswith(tuple(f"{vendor}/" for vendor in VENDORS))


def _openai_model(model_id: str, entry: Mapping[str, Any]) -> ToldModel:
    return ToldModel(model_id, shutdown=_day(entry.get("shutdown_date")))


def _anthropic_model(model_id: str, entry: Mapping[str, Any]) -> ToldModel:
    capabilities = entry.get("capabilities")
    can = _Supports(capabilities if isinstance(capabilities, dict) else {})
    return ToldModel(
        model_id,
        context_window=_tokens(entry.get("max_input_tokens")),
        max_output_tokens=_tokens(entry.get("max_tokens")),
        shutdown=_day(entry.get("retires_at")),
        deprecated=_day(entry.get("deprecated_at")),
        state=_STATES.get(str(entry.get("lifecycle")), UNKNOWN),
        images=can("image_input"),
        documents=can("pdf_input"),
        json_schema=can("structured_outputs"),
        reasons=can("thinking"),
        takes_budget=can("thinking", "types", "enabled"),
        adaptive=can("thinking", "types", "adaptive"),
        efforts=_efforts(can),
    )


class _Supports:
    """Anthropic's tree of `{"supported": true}`."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree

    def __call__(self, *path: str) -> bool | None:
        """Whether what lies at the path is supported; None when that is not said."""
        branch: Any = self._tree
        for name in (*path, "supported"):
            branch = branch.get(name) if isinstance(branch, dict) else None
        return branch if isinstance(branch, bool) else None


def _efforts(can: _Supports) -> tuple[str, ...] | None:
    """The words that it takes; `none` among them where its thinking can be turned off."""
    if can("effort") is None:
        return None
    efforts = tuple(effort for effort in EFFORTS if can("effort", effort))
    return ("none", *efforts) if efforts and can("thinking", "types", "disabled") else efforts


def _tokens(value: object) -> int | None:
    return value if type(value) is int and 0 < value <= MAX_TOKENS else None


def _day(value: object) -> datetime.date | None:
    """The day of a date, or of a time, as RFC 3339 writes them."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.date.fromisoformat(value[:10])
    except ValueError:
        return None
