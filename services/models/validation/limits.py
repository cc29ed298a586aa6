"""Limits of requests, and of the models and prompts that callers store.

Each limit is far above ordinary use, and so low that checking and encoding take a fraction of a second. Texts are
limited only by the size of the message, because their cost grows with their length.
"""

from __future__ import annotations

MAX_MESSAGES = 10_000
"""Messages of a request."""
MAX_TURN_MESSAGES = 999
"""Messages of a request in a session: the Session Service appends a thousand at once, and one is the answer."""

MAX_PARTS = 2000
"""Parts of a message or of a tool result, and calls of a message. Answers, which may be sent back, have hundreds of
parts after long work of a provider's own tools."""
MAX_PARTS_IN_ALL = 20_000
"""Parts of all messages of a request, with calls and the contents of results."""

MAX_TOOLS = 1024
"""Tools of a request. OpenAI accepts 128, others accept more."""
MAX_TOOLS_LENGTH = 4 * 1024 * 1024
"""Characters of the JSON of all tools: as much as fits into the largest context windows."""
MAX_SCHEMA_LENGTH = 256 * 1024
"""Characters of one JSON Schema, or of the options for one provider."""
MAX_STOP_SEQUENCES = 16
MAX_TAGS = 16
MAX_OPTIONS = 16
"""Entries of `provider_options_json`: there are fewer adapter types."""

MAX_VARIABLES = 1000
"""Variables of a prompt, and values for them."""
MAX_PROMPT_TAGS = 64
MAX_LABELS = 64

MAX_ALIASES = 32
MAX_ENDPOINTS = 16
MAX_EFFORTS = 32

MAX_REGISTERED_MODELS = 10_000
"""Registered models, and their endpoints together, which are all probed."""
MAX_REGISTERED_BYTES = 32 * 1024 * 1024
"""Bytes of all registrations, which are in memory."""

MAX_PROMPTS = 10_000
"""Names of prompts, with archived ones, which are in memory."""
