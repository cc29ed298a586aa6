"""The type that `AsyncGenAIPlatform.sessions.memory` returns."""

from __future__ import annotations

from genai_platform._async.memories import AsyncUserMemory

__all__ = ["AsyncUserMemory"]
