"""The type of `GenAIPlatform.models`."""

from __future__ import annotations

from genai_platform._sync.models import Models

__all__ = ["Models"]
