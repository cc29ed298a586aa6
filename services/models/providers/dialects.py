"""Every dialect that is spoken."""

from __future__ import annotations

from services.models.providers.anthropic.dialect import ANTHROPIC
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.providers.openai.select import OPENAI
from services.models.providers.vllm import VLLM

__all__ = ["ANTHROPIC", "OPENAI", "OPENAI_COMPATIBLE", "OPENAI_RESPONSES", "VLLM"]
