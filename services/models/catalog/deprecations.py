"""The days on which the vendors end models that have no row of their own in `built_in_models`.

From the type files of openai 3.54 (`openai.types.shared.chat_model`) and anthropic 2.12 (`DEPRECATED_MODELS` in
`anthropic.resources.messages`). An id that only adds a date to a built-in name ends with that, unless it is here.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

_IDS_BY_DAY = {
    "2024-09-13": ("gpt-3.5-turbo-16k", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-16k-0613"),
    "2024-11-06": (
        "claude-1.3",
        "claude-1.3-100k",
        "claude-instant-1.1",
        "claude-instant-1.1-100k",
        "claude-instant-1.2",
    ),
    "2024-12-06": ("gpt-4-vision-preview",),
    "2025-06-06": ("gpt-4-32k", "gpt-4-32k-0314", "gpt-4-32k-0613"),
    "2025-07-21": ("claude-2.0", "claude-2.1", "claude-3-sonnet-20240229"),
    "2025-07-28": ("o1-preview", "o1-preview-2024-09-12"),
    "2025-10-10": ("gpt-4o-audio-preview-2024-10-01",),
    "2025-10-27": ("o1-mini", "o1-mini-2024-09-12"),
    "2026-01-05": ("claude-3-opus-20240229",),
    "2026-02-12": ("codex-mini-latest",),
    "2026-02-17": ("chatgpt-4o-latest",),
    "2026-02-19": ("claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219"),
    "2026-03-26": ("gpt-4-0125-preview", "gpt-4-turbo-preview", "gpt-4-0314"),
    "2026-05-07": (
        "gpt-4o-audio-preview",
        "gpt-4o-audio-preview-2024-12-17",
        "gpt-4o-audio-preview-2025-06-03",
        "gpt-4o-mini-audio-preview",
        "gpt-4o-mini-audio-preview-2024-12-17",
    ),
    "2026-06-15": ("claude-opus-4-0", "claude-opus-4-20250514", "claude-sonnet-4-0", "claude-sonnet-4-20250514"),
    "2026-06-30": ("claude-mythos-preview",),
    "2026-07-23": (
        "gpt-5.1-codex",
        "gpt-5.1-chat-latest",
        "gpt-5-chat-latest",
        "gpt-4o-search-preview",
        "gpt-4o-search-preview-2025-03-11",
        "gpt-4o-mini-search-preview",
        "gpt-4o-mini-search-preview-2025-03-11",
    ),
    "2026-08-10": ("gpt-5.3-chat-latest", "gpt-5.2-chat-latest"),
    "2026-09-28": ("gpt-3.5-turbo-1106",),
    "2026-10-23": (
        "gpt-4.1-nano",
        "gpt-4.1-nano-2025-04-14",
        "o4-mini",
        "o4-mini-2025-04-16",
        "o3-mini",
        "o3-mini-2025-01-31",
        "o1",
        "o1-2024-12-17",
        "gpt-4o-2024-05-13",
        "gpt-4-turbo",
        "gpt-4-turbo-2024-04-09",
        "gpt-4-1106-preview",
        "gpt-4",
        "gpt-4-0613",
        "gpt-3.5-turbo",
        "gpt-3.5-turbo-0125",
    ),
    "2027-01-20": ("gpt-audio-mini", "gpt-audio-mini-2025-12-15"),
}

ANNOUNCED_ENDS: Mapping[str, datetime.date] = {
    model_id: datetime.date.fromisoformat(day) for day, model_ids in _IDS_BY_DAY.items() for model_id in model_ids
}
"""The first day on which the vendor no longer serves it, by its id."""
