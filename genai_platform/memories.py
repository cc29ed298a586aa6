"""The type that `GenAIPlatform.sessions.memory` returns."""

from __future__ import annotations

from genai_platform._sync.memories import UserMemory

__all__ = ["UserMemory"]
