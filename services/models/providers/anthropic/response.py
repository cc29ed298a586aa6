"""The body of a message → an Answer. https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers.answers.answer import Answer
from services.models.providers.answers.dropped_members import OF_MESSAGES, warn_of_dropped_thinking, warn_of_members
from services.models.providers.answers.finish_reasons import finish_reason_of, finish_word
from services.models.providers.answers.values import read_object, read_word
from services.models.providers.anthropic.container import container_in_body, keep_container
from services.models.providers.anthropic.output import is_answer_tool
from services.models.providers.anthropic.usage import read_usage
from services.models.providers.errors.error_body import fault_in
from services.models.providers.errors.faults import Fault
from services.models.providers.errors.in_band_errors import bare_error_in, error_in
from services.models.transport.sse import ERROR
from services.shared import json_text
from services.shared.json_text import items_of, text_of, written

REFUSAL = 2**30
"""The key of the provider's explanation of a refusal: after all content of the model."""
_CATEGORY = re.compile(r"[a-z][a-z_]{0,63}")


KNOWN_MEMBERS: dict[str, Set[str]] = {
    "text": {"type", "text", "citations"},
    "thinking": {"type", "thinking", "signature"},
    "tool_use": {"type", "id", "name", "input", "caller", "toolset_name"},
}
"""Members of blocks with a field in the contract (`TextBlock`, `ThinkingBlock`, `ToolUseBlock` of anthropic 2.12)."""


class _RawBlock(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw(b"")
    citations: msgspec.Raw = msgspec.Raw(b"")


class _MessageOfTexts(msgspec.Struct):
    content: list[_RawBlock]


class _MessageOfBlocks(msgspec.Struct):
    content: list[msgspec.Raw]


def read_answer(body: bytes) -> Answer:
    """Raises Fault when the body is not a message."""
    message = read_object(body)
    refuse_error(message)
    blocks = blocks_of(message)
    if not blocks and not isinstance(message.get("content"), list):
        if error := bare_error_in(message):
            raise fault_in(error)
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    answer = Answer()
    read_header(answer, message)
    if not all(isinstance(block, dict) for block in blocks):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    for block in blocks:
        if block.get("type") == ERROR:
            refuse_error(block)
    citations = _keep_texts(body, blocks)
    written = _written_blocks(body, blocks)
    answered_by_tool = False
    for key, block in enumerate(blocks):
        if takes_answer(block):
            if answered_by_tool:
                warn_of_left_out_answer(answer)
            else:
                answer.add(key, "text", arguments_in(block))
            answered_by_tool = True
            continue
        if block.get("type") == "tool_use":
            answer.open_tool_call(key, read_word(block.get("id")), read_word(block.get("name")))
            answer.add_arguments(key, arguments_in(block))
        elif block.get("type") == "text":
            answer.add(key, "text", piece_of(block, "text"))
            answer.cite(key, citations.get(key, ""))
        elif block.get("type") == "thinking":
            answer.add(key, "reasoning", piece_of(block, "thinking"))
        if must_be_kept(block):
            kept = written.get(key)
            block_json = json_text.encode_any(block) if kept is None else bytes(kept)
            keep_block(answer, key, block_json, hidden=is_hidden(block))
    read_finish(answer, message, answered_by_tool=answered_by_tool)
    keep_container(answer, container_in_body(message, body))
    read_usage(answer, message.get("usage"))
    warn_of_dropped_members(answer, message)
    return answer


def blocks_of(message: dict[str, Any]) -> list[Any]:
    """The blocks of a message, which some servers write as its text alone."""
    content = message.get("content")
    is_text = isinstance(content, str) and content and message.get("role")
    return [{"type": "text", "text": content}] if is_text else items_of(content)


def warn_of_dropped_members(answer: Answer, holder: dict[str, Any]) -> None:
    """Adds notices for the members of a message, or of an event of one, that have no field in the contract."""
    warn_of_members(answer, holder, OF_MESSAGES)
    warn_of_dropped_thinking(answer, holder)


def _keep_texts(body: bytes, blocks: list[dict[str, Any]]) -> dict[int, str]:
    """Replaces the decoded arguments of each tool call by their exact text, and returns the citations of the texts that
    have some."""
    cited = [key for key, block in enumerate(blocks) if items_of(block.get("citations"))]
    if not cited and not any("input" in block for block in blocks):
        return {}
    try:
        raw_blocks = json_text.decode_exactly(body, _MessageOfTexts).content
    except json_text.Malformed:
        return {key: json_text.encode_any(blocks[key]["citations"]).decode() for key in cited}
    for block, raw_block in zip(blocks, raw_blocks, strict=True):
        if block.get("input") is not None and not isinstance(block["input"], str):
            block["input"] = raw_block.input
    return {key: bytes(raw_blocks[key].citations).decode() for key in cited}


def _written_blocks(body: bytes, blocks: list[dict[str, Any]]) -> dict[int, msgspec.Raw]:
    """The blocks that must be kept as the provider wrote them, as far as they can be embedded so."""
    kept = [key for key, block in enumerate(blocks) if must_be_kept(block)]
    if not kept:
        return {}
    try:
        raw_blocks = json_text.decode_exactly(body, _MessageOfBlocks).content
    except json_text.Malformed:
        return {}
    return {key: raw_blocks[key] for key in kept}


def refuse_error(message: dict[str, Any]) -> None:
    """Raises Fault for a message, or a piece of one, that is an error or has one inside."""
    if error := error_in(message):
        raise fault_in(error)


def read_header(answer: Answer, message: dict[str, Any]) -> None:
    """Reads the provider's id of the answer, and the model that generated it."""
    answer.provider_response_id = read_word(message.get("id"))
    answer.model = read_word(message.get("model"))


def takes_answer(block: dict[str, Any]) -> bool:
    """Whether a block is a call of the answer tool, whose arguments are the answer."""
    return block.get("type") == "tool_use" and is_answer_tool(text_of(block.get("name")))


def warn_of_left_out_answer(answer: Answer) -> None:
    """Adds a notice that the model called the answer tool again: two answers would not be valid JSON together."""
    answer.warn("ANSWER_DROPPED", "the model gave more than one answer; only the first was taken")


def arguments_in(block: dict[str, Any]) -> str:
    """The arguments of a tool call, as JSON. Some servers write them as a text of JSON, or leave them blank."""
    arguments = written(block.get("input"))
    return arguments if arguments.strip() else "{}"


def piece_of(holder: dict[str, Any], name: str) -> str:
    """A piece of text, which may end within a surrogate pair."""
    piece = holder.get(name)
    return piece if isinstance(piece, str) else ""


def keep_block(answer: Answer, key: int, block_json: bytes, *, hidden: bool) -> None:
    """Keeps a block as opaque state, which must be sent back unchanged."""
    answer.attach_state(key, models_pb2.ProviderState(model=answer.model, data=block_json), redacted=hidden)


def is_hidden(block: dict[str, Any]) -> bool:
    """Whether a block is reasoning without its text."""
    return block.get("type") == "redacted_thinking" or block.get("thinking") == ""


def must_be_kept(block: dict[str, Any]) -> bool:
    """Whether a block must be sent back unchanged: thinking, signed or not, text with citations, a tool call with
    further members, and every kind that has no field in the contract."""
    kind = block.get("type")
    if any(block[name] for name in block.keys() - KNOWN_MEMBERS.get(text_of(kind), block.keys())):
        return True
    if kind == "text":
        return bool(items_of(block.get("citations")))
    if kind == "thinking":
        return bool(block.get("signature") or block.get("thinking"))
    if kind == "tool_use":
        caller = block.get("caller")
        is_direct = caller is None or (isinstance(caller, dict) and caller.get("type") == "direct")
        return not is_direct or bool(block.get("toolset_name"))
    return True


def read_finish(answer: Answer, holder: dict[str, Any], *, answered_by_tool: bool) -> None:
    """Reads the finish reason from a message or from a delta. Raises Fault for one that means an interrupted answer."""
    raw = finish_word(holder.get("stop_reason"))
    reason = finish_reason_of(raw)
    if answered_by_tool and reason == "tool_calls":
        # `Answer.complete` changes it to `tool_calls` if there are other calls.
        reason = "stop"
    is_first = not answer.finish_reason
    answer.finish(reason, raw)
    answer.stop_sequence = text_of(holder.get("stop_sequence"))
    details = holder.get("stop_details")
    if isinstance(details, dict) and is_first:
        _read_refusal(answer, details)


def _read_refusal(answer: Answer, details: dict[str, Any]) -> None:
    answer.add(REFUSAL, "refusal", text_of(details.get("explanation")))
    category = text_of(details.get("category"))
    if _CATEGORY.fullmatch(category):
        answer.warn("ANSWER_REFUSED", f"the provider's policy stopped the answer, in its category {category}")
