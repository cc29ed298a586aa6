"""How many there may be of each thing in one request, and of what callers store together.

Each is far above what anybody needs, and low enough that to check and to encode as many takes tens of milliseconds at
most. What has no limit of its own here is limited by the message.
"""

from __future__ import annotations

MAX_REGISTERED_MODELS = 10_000
"""Each is probed for as long as it is registered."""

MAX_REGISTERED_BYTES = 32 * 1024 * 1024
"""Of all registrations together, which are held in memory."""

MAX_PROMPTS = 10_000
"""Names of prompts, archived ones included: every one is held in memory."""
