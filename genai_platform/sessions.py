"""The type of `GenAIPlatform.sessions`."""

from __future__ import annotations

from genai_platform._sync.sessions import Sessions

__all__ = ["Sessions"]
