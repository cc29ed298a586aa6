"""Members of a body that Responses has, and Chat Completions does not.

https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

RESPONSES_MEMBERS = frozenset(
    {
        "access_programs",
        "client_metadata",
        "context_management",
        "image",
        "include",
        "max_output_tokens",
        "max_tool_calls",
        "personality",
        "reasoning",
        "text",
        "truncation",
    }
)
