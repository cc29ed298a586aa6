"""The type of `AsyncGenAIPlatform.usage`."""

from __future__ import annotations

from genai_platform._async.usage import AsyncUsage

__all__ = ["AsyncUsage"]
