"""The items of Responses that come back with the parts of an answer, kept as OpenAI's opaque state.

https://platform.openai.com/docs/guides/reasoning#keeping-reasoning-items-in-context
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from proto import models_pb2
from services.models.providers.base import Target
from services.models.providers.state.member_state import is_wrapped
from services.models.providers.state.opaque_state import is_made_by, read_head
from services.shared import json_text
from services.shared.json_text import items_of

# Members of messages and calls that have a field in the contract. All other members must be sent back with them, except
# logprobs.
MESSAGE_MEMBERS = frozenset({"type", "id", "role", "status", "content"})
PART_MEMBERS = frozenset({"type", "text", "refusal", "logprobs"})
CALL_MEMBERS = frozenset({"type", "id", "status", "call_id", "name", "arguments"})

OWN_ITEMS = frozenset(
    {
        "reasoning",
        "compaction",
        "program",
        "program_output",
        "tool_search_output",
        "shell_call_output",
        "mcp_list_tools",
        "mcp_approval_request",
    }
)
CALL = "_call"
"""Types of items, apart from messages, that the model or OpenAI's own tools make (`ResponseOutputItem` of openai 3.54),
and the suffix of the types of all calls, future ones too, because only a model makes calls. Items that a caller makes
are not among them: results of its tools (`function_call_output`, `mcp_approval_response`) and others
(`additional_tools`)."""

MAX_MARKS = 100_000
"""Limit for the brackets and commas of an item that is decoded; one with more holds more than any part can."""

TextKind = Literal["text", "refusal"]

PART_KINDS: dict[str, tuple[TextKind, str]] = {
    "output_text": ("text", "text"),
    "text": ("text", "text"),
    "refusal": ("refusal", "refusal"),
}
"""Kinds of blocks by the type of a message's part, each with the member that holds its text. The second type is that of
Chat Completions, which servers of other models write here too."""


def has_owned_item(part: models_pb2.ContentPart, target: Target) -> bool:
    """Whether the target's provider made the state that a part has, as an item of Responses."""
    return is_made_by(target.state_owner, part) and not is_wrapped(part)


def owned_item(part: models_pb2.ContentPart, target: Target) -> bytes:
    """The item that a part came in, if the target's provider made it. Empty also for a forged item, which cannot be the
    model's own."""
    item = part.provider_state.data if has_owned_item(part, target) else b""
    return item if item and is_answer_item(item) else b""


def is_answer_item(item_json: bytes) -> bool:
    """True if the model or one of OpenAI's tools has made an item, by a type that is reserved for them."""
    head = read_head(item_json)
    if head is None:
        return False
    if head.type == "message":
        return head.role == "assistant"
    return head.role in ("", "assistant") and (head.type in OWN_ITEMS or head.type.endswith(CALL))


def accepts_items(message: models_pb2.ChatMessage, target: Target, *, adapts: bool) -> bool:
    """Whether the items of an assistant's message go back to the target as they are.

    "Reasoning input items can only be provided to a reasoning or computer use model", says OpenAI; and an item that
    followed reasoning is accepted only together with it.
    """
    if target.facts.can_reason is not False or not adapts:
        return True
    return not any(part.HasField("reasoning") and has_owned_item(part, target) for part in message.parts)


def is_represented_by_part(item_json: bytes) -> bool:
    """Whether an item is a message or a call without any member that a part without state would lose."""
    if sum(map(item_json.count, (b"{", b"[", b","))) > MAX_MARKS:
        return False
    try:
        item = json_text.decode(item_json)
    except json_text.Malformed:
        return False
    if not isinstance(item, dict):
        return False
    if item.get("type") == "message":
        return not message_carries_more(item)
    return item.get("type") == "function_call" and not call_carries_more(item)


def message_carries_more(item: dict[str, Any]) -> bool:
    """Whether a message has more than text: a phase, annotations, or parts of an unknown kind."""
    parts = items_of(item.get("content"))
    return _carries_more(item, MESSAGE_MEMBERS) or any(
        text_kind(part) is None or _carries_more(part, PART_MEMBERS) for part in parts
    )


def call_carries_more(item: dict[str, Any]) -> bool:
    """Whether the call of a function holds more than its id, its name and its arguments."""
    return _carries_more(item, CALL_MEMBERS)


def text_kind(part: Any) -> tuple[TextKind, str] | None:
    """The kind of a message's part, and the member that holds its text; None for parts of an unknown kind."""
    kind = part.get("type") if isinstance(part, dict) else None
    return PART_KINDS.get(kind) if isinstance(kind, str) else None


def _carries_more(holder: dict[str, Any], known: Collection[str]) -> bool:
    return any(value for name, value in holder.items() if name not in known)
