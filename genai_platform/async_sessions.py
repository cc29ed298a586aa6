"""The type of `AsyncGenAIPlatform.sessions`."""

from __future__ import annotations

from genai_platform._async.sessions import AsyncSessions

__all__ = ["AsyncSessions"]
