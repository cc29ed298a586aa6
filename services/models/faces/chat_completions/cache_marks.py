"""Marks of prompt caches, OpenAI's and Anthropic's alike → PromptCache."""

from __future__ import annotations

from proto import models_pb2
from services.models.faces.chat_completions.body import CacheMark
from services.models.faces.shapes import Problems

LIFETIMES = {"5m": 300, "30m": 1_800, "1h": 3_600, "12h": 43_200, "24h": 86_400}
"""Seconds of the lifetimes that marks name."""


def mark_end(
    marked: models_pb2.ContentPart | models_pb2.ToolDefinition, mark: CacheMark, path: str, problems: Problems
) -> None:
    """Ends a cached prefix behind a part or tool, by the mark at `path`."""
    marked.cache.SetInParent()
    if mark.ttl is None:
        return
    if mark.ttl in LIFETIMES:
        marked.cache.ttl.seconds = LIFETIMES[mark.ttl]
    else:
        problems.add(f"{path}.ttl", f"must be one of {', '.join(LIFETIMES)}")
