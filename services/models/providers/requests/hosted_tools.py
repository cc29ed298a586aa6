"""The kinds of tools that OpenAI runs, or has trained its models for (`ToolParam` of openai 3.54). Anthropic's names of
its own tools have a date."""

from __future__ import annotations

NAMELESS = frozenset(
    {
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "local_shell",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)
"""Those that have no name but their type; OpenAI refuses unknown members."""

HOSTED = NAMELESS | {"mcp"}
