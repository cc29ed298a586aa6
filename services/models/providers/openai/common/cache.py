"""Prompt-cache breakpoints → `prompt_cache_breakpoint`, which OpenAI's models take since gpt-5.6; earlier ones, and
other servers, find by themselves what can be cached, and ignore breakpoints.

OpenAI writes cache entries for the latest three breakpoints of a request, and for one of its own at the end. Tools and
parts of answers cannot have a breakpoint. https://developers.openai.com/api/docs/guides/prompt-caching
"""

from __future__ import annotations

from typing import Any

from proto import models_pb2
from services.models.providers.openai.common.translation import OpenAITranslation

LIFETIMES = {1_800: "30m", 43_200: "12h"}
"""The seconds that a marked prefix can be kept, and OpenAI's words for them."""


def has_breakpoint(marked: models_pb2.ContentPart | models_pb2.ToolDefinition, translation: OpenAITranslation) -> bool:
    """Whether a part, or a tool, has a breakpoint, and the model takes them."""
    return translation.target.facts.cache_breakpoints and marked.HasField("cache")


def with_breakpoint(encoded: Any, part: models_pb2.ContentPart, path: str, translation: OpenAITranslation) -> Any:
    """The encoded part, with the breakpoint of `part` if it has one; None, for a part that was refused, stays None."""
    if encoded is None or not has_breakpoint(part, translation):
        return encoded
    end_of_prefix: dict[str, str] = {"mode": "explicit"}
    if part.cache.HasField("ttl"):
        end_of_prefix["ttl"] = _lifetime(part.cache, f"{path}.cache.ttl", translation)
    return {**encoded, "prompt_cache_breakpoint": end_of_prefix}


def drop_breakpoint(
    marked: models_pb2.ContentPart | models_pb2.ToolDefinition, path: str, what: str, translation: OpenAITranslation
) -> None:
    """Adds a notice for a breakpoint at a place where OpenAI allows none: it is not sent."""
    if has_breakpoint(marked, translation):
        translation.warn_dropped(f"{path}.cache", f"OpenAI takes no cache mark on {what}; it was sent without")


def _lifetime(cache: models_pb2.PromptCache, path: str, translation: OpenAITranslation) -> str:
    seconds = cache.ttl.seconds + cache.ttl.nanos / 1e9
    nearest = min(LIFETIMES, key=lambda lifetime: abs(lifetime - seconds))
    if seconds != nearest:
        known = " or ".join(LIFETIMES.values())
        translation.warn_changed(path, f"OpenAI keeps for {known}; {LIFETIMES[nearest]} was sent")
    return LIFETIMES[nearest]
