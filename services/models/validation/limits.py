"""How many there may be of each thing in one request, and of what callers store together.

Each number is far above what anybody needs, and so low that checking and encoding as many takes a fraction of a second.
What is not named here is limited by the message alone: texts, which take no longer than their length.
"""

from __future__ import annotations

MAX_MESSAGES = 10_000
"""Of a request."""
MAX_TURN_MESSAGES = 999
"""Of a request in a session: the Session Service appends a thousand at once, and one is the answer."""

MAX_PARTS = 2000
"""Of a message, of a tool's result, and calls of a message. Answers, which are sent back as they came, have hundreds of
parts where the provider's own tools have worked for long."""
MAX_PARTS_IN_ALL = 20_000
"""Of all messages of a request together, the calls and the contents of results included."""

MAX_TOOLS = 1024
"""OpenAI takes 128, others take more."""
MAX_TOOLS_LENGTH = 4 * 1024 * 1024
"""Of the JSON of all tools together, in characters: as much as the largest context windows hold."""
MAX_SCHEMA_LENGTH = 256 * 1024
"""Of one JSON Schema, or of the options for one provider, in characters."""
MAX_STOP_SEQUENCES = 16
MAX_TAGS = 16
MAX_OPTIONS = 16
"""Entries of `provider_options_json`: there are four providers."""

MAX_VARIABLES = 1000
"""Of a prompt, and values for them."""
MAX_PROMPT_TAGS = 64
MAX_LABELS = 64

MAX_ALIASES = 32
MAX_SERVED_NAMES = 32
MAX_EFFORTS = 32

MAX_REGISTERED_MODELS = 10_000
"""Each is probed for as long as it is registered."""
MAX_REGISTERED_BYTES = 32 * 1024 * 1024
"""Of all registrations together, which are held in memory."""

MAX_PROMPTS = 10_000
"""Names of prompts, archived ones included: every one is held in memory."""
