"""The type of `GenAIPlatform.prompts`."""

from __future__ import annotations

from genai_platform._sync.prompts import Prompts

__all__ = ["Prompts"]
