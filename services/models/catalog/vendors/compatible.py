"""The adapter types of servers that speak OpenAI's API and are not OpenAI."""

from __future__ import annotations

from services.models.catalog.vendor import AdapterType
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.providers.vllm import VLLM

COMPATIBLE = AdapterType("openai-compatible", OPENAI_COMPATIBLE, "Chat Completions alone, as most servers speak it")

# vLLM still lists its models when its engine is dead.
VLLM_SERVER = AdapterType("vllm", VLLM, "vLLM", stops_on_disconnect=True, health_path="/health")
