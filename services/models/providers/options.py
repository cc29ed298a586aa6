"""Merges a provider's own options into a request body."""

from __future__ import annotations

from typing import Any

from proto import models_pb2
from services.models.providers.json_text import raw_members

RESERVED = frozenset({"model", "messages", "stream", "system"})
"""Members that only the platform writes: replacing them would answer another question than the one asked."""


def merge_options(body: dict[str, Any], request: models_pb2.ChatRequest, defaults_json: str, provider: str) -> None:
    """Puts a registration's defaults under the body, and the request's options for `provider` over it."""
    if defaults_json:
        for name, value in raw_members(defaults_json).items():
            body.setdefault(name, value)
    if request.provider_options_json:
        options = request.provider_options_json.get(provider)
        if options:
            body.update(raw_members(options))
