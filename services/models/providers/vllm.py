"""vLLM's dialect: Chat Completions, and a few members of its own.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

from services.models.providers.openai import OpenAIDialect

VLLM = OpenAIDialect("vllm")
"""Its own members (`top_k`, `chat_template_kwargs`, …) are top-level in the body, so the dialect needs no code."""
