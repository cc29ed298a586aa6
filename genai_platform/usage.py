"""The type of `GenAIPlatform.usage`."""

from __future__ import annotations

from genai_platform._sync.usage import Usage

__all__ = ["Usage"]
