"""vLLM's dialect: Chat Completions, and a few members of its own.

Its other members (`top_k`, `min_p`, `structured_outputs`, …) are top-level in the body: parameters of the contract by
the same name, or the caller's `provider_options_json`.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
https://docs.vllm.ai/en/latest/features/reasoning_outputs.html

After an assistant's message, vLLM begins a new turn unless the request asks it to continue that message; it refuses a
request for both (ChatCompletionRequest in vllm/entrypoints/openai). A choice's `stop_reason` is the stop sequence or,
as a number, the token that ended it.
"""

from __future__ import annotations

from services.models.providers.openai.chat_completions.dialect import ChatCompletionsDialect
from services.models.providers.openai.common.traits import ReasoningMembers, Traits

VLLM = ChatCompletionsDialect(
    Traits(
        name="vllm",
        title="vLLM",
        media_by_url={"image": "image_url", "audio": "audio_url", "video": "video_url"},
        takes_files=False,
        reasoning=ReasoningMembers(
            budget="thinking_token_budget",
            include_text="include_reasoning",
            template_switch="enable_thinking",
        ),
        continuation={"continue_final_message": True, "add_generation_prompt": False},
        stop_sequence_member="stop_reason",
    )
)
