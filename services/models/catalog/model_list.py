"""What a server's own list of models says, and what can be learned from it of one of them.

Sources: platform.openai.com/docs/api-reference/models, docs.claude.com/en/api/models-list, `ModelCard` in vLLM's
vllm/entrypoints/openai (`max_model_len`), and `get_res_model_info` in llama.cpp's tools/server (`meta.n_ctx`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from proto.models_pb2 import ModelCapabilities
from services.models.validation.limits import MAX_SERVED_NAMES
from services.shared import json_text

MAX_TOKENS = 2**31 - 1

_NAME_FIT_TO_SHOW = re.compile(r"[A-Za-z0-9._:/@-]{1,128}")


class LearnedFacts(NamedTuple):
    """What a server has said of one of its models."""

    context_window: int | None
    """In tokens."""
    served_names: tuple[str, ...]
    """Those that are fit to be shown."""
    day: str
    """On which it was said, YYYY-MM-DD in UTC."""


class ModelList:
    """The entries of a list, by the names of the models."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self._entries = entries

    @classmethod
    def read(cls, body: bytes) -> ModelList | None:
        """Reads `{"data": [{"id": …}, …]}`, as both dialects write it; None when it is something else."""
        try:
            answer = json_text.decode(body)
        except json_text.Malformed:
            return None
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list):
            return None
        entries = [entry for entry in data if isinstance(entry, dict)]
        return cls({entry["id"]: entry for entry in entries if isinstance(entry.get("id"), str)})

    def __contains__(self, model: str) -> bool:
        return model in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def names(self, count: int) -> list[str]:
        """The first names that are fit to be shown: what else stands there is a stranger's text."""
        return list(itertools.islice(filter(_NAME_FIT_TO_SHOW.fullmatch, self._entries), count))

    def learn(self, model: str) -> LearnedFacts:
        """What the list says of `model`, which may not be in it."""
        window = _context_window(self._entries.get(model, {}))
        return LearnedFacts(window, tuple(self.names(MAX_SERVED_NAMES)), datetime.now(UTC).date().isoformat())


def complete(capabilities: ModelCapabilities, learned: LearnedFacts | None) -> ModelCapabilities:
    """What a registration says of a model, and beside it what the server says where the registration is silent."""
    completed = ModelCapabilities()
    completed.CopyFrom(capabilities)
    completed.source = capabilities.source or "registration"
    if learned is None:
        return completed
    if not completed.HasField("context_window") and learned.context_window:
        completed.context_window = learned.context_window
    if not completed.served_names:
        completed.served_names.extend(learned.served_names)
    told = (completed.context_window, list(completed.served_names))
    if told != (capabilities.context_window, list(capabilities.served_names)):
        completed.source += "+provider"
        completed.as_of = learned.day
    return completed


def _context_window(entry: Mapping[str, Any]) -> int | None:
    """The tokens that the server has room for, which may be fewer than the model was trained for."""
    meta = entry.get("meta")
    for tokens in (entry.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None):
        if type(tokens) is int and 0 < tokens <= MAX_TOKENS:
            return tokens
    return None
