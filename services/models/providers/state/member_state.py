"""Members that a server adds to a message, to a tool call or to its function beyond the protocol, kept as its opaque
state.

Such are Gemini's thought signatures (`extra_content` of a call, https://ai.google.dev/gemini-api/docs/openai), the
reasoning that DeepSeek and others want back under the name that it came with
(https://api-docs.deepseek.com/guides/thinking_mode), Mistral's thoughts within the content
(https://docs.mistral.ai/capabilities/reasoning), and OpenRouter's `reasoning_details`
(https://openrouter.ai/docs/guides/best-practices/reasoning-tokens).

Each is sent back to the same server, byte for byte, at its place. It is kept as the only member of an object of our
own, which differs from the items and blocks of providers: those have a type.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import msgspec

from proto import models_pb2
from services.models.validation.extra_body import reserved_in
from services.shared import json_text

Members = Mapping[str, msgspec.Raw]

REASONING_NAMES = ("reasoning_content", "reasoning", "reasoning_text")
"""Servers' names for the text of the reasoning: vLLM renamed the first to the second, Copilot has the third."""

MESSAGE_MEMBERS = frozenset(
    {"role", "content", "refusal", "tool_calls", "function_call", "audio", "annotations", "name", "tool_call_id"}
)
CALL_MEMBERS = frozenset({"index", "id", "type", "function", "custom"})
FUNCTION_MEMBERS = frozenset({"name", "arguments", "input", "parameters"})
"""Members of the protocol itself."""

THOUGHT = "thinking"
"""The type of a part of content."""

_START = b'{"chat_completion":'


class KeptMembers(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Members beyond the protocol in a message, in a call and in its function."""

    message: dict[str, msgspec.Raw] = {}
    call: dict[str, msgspec.Raw] = {}
    function: dict[str, msgspec.Raw] = {}
    reasoning: list[str] = []
    """The members of the message that are the text of its reasoning."""
    thoughts: list[msgspec.Raw] = []
    """The parts of the message's content that are thoughts; they stand before its text."""

    def are_own(self) -> bool:
        """True if no server can read one of them as a member of the protocol."""
        return not (
            reserved_in(self.message, MESSAGE_MEMBERS)
            or reserved_in(self.reasoning, MESSAGE_MEMBERS)
            or reserved_in(self.call, CALL_MEMBERS)
            or reserved_in(self.function, FUNCTION_MEMBERS)
            or not all(map(is_thought, self.thoughts))
        )


class _Part(msgspec.Struct):
    type: str = ""


def is_thought(part: msgspec.Raw) -> bool:
    """Whether a part of content is a thought, as Mistral's reasoning models write it."""
    try:
        return json_text.decode_exactly(bytes(part), _Part).type == THOUGHT
    except json_text.Malformed:
        return False


class _Wrapping(msgspec.Struct, forbid_unknown_fields=True):
    chat_completion: KeptMembers


def wrap_members(kept: KeptMembers) -> bytes:
    """The state that holds the members."""
    return json_text.encode(_Wrapping(kept))


def is_wrapped(part: models_pb2.ContentPart) -> bool:
    """True if the state of a part is members of a message, from any server."""
    return part.provider_state.data.startswith(_START)


def members_in(part: models_pb2.ContentPart) -> KeptMembers | None:
    """The members that the state of a part holds; None for forged state."""
    try:
        kept = json_text.decode_exactly(part.provider_state.data, _Wrapping).chat_completion
    except json_text.Malformed:
        return None
    return kept if kept.are_own() else None


def beyond(members: Collection[str], protocol: frozenset[str]) -> Sequence[str]:
    """The names of members that the protocol does not have."""
    return [name for name in members if name not in protocol and not _is_reserved(name, protocol)]


@lru_cache(maxsize=256)
def _reserved(name: str, protocol: frozenset[str]) -> bool:
    return bool(reserved_in([name], protocol))


def _is_reserved(name: str, protocol: frozenset[str]) -> bool:
    # Long names are not cached: servers repeat a few names, and callers can invent any number.
    return _reserved(name, protocol) if len(name) <= 64 else bool(reserved_in([name], protocol))
