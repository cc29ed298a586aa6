"""The type of `AsyncGenAIPlatform.models`."""

from __future__ import annotations

from genai_platform._async.models import AsyncModels

__all__ = ["AsyncModels"]
