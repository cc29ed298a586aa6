"""The type of `AsyncGenAIPlatform.prompts`."""

from __future__ import annotations

from genai_platform._async.prompts import AsyncPrompts

__all__ = ["AsyncPrompts"]
