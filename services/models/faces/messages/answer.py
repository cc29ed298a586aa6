"""ChatResponse → the body of a message, and what the events of one have in common with it.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from proto import models_pb2
from services.models.faces.base import About
from services.models.faces.messages.assistant import LETTERS, UNSIGNED, VENDOR
from services.models.faces.state_envelope import Bond, seal
from services.models.providers.state.container_state import container_in
from services.shared import json_text

encode = msgspec.json.encode

NO_USAGE = b'{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}'
"""The usage before the provider has told it."""

KEPT_WORDS = frozenset({"model_context_window_exceeded", "pause_turn", "compaction", "stop_sequence"})
"""Stop reasons that keep the provider's own word: the dialect has it, and the contract a wider one."""

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}

KINDS = {"text": "text", "refusal": "text", "reasoning": "thinking", "tool_call": "tool_use"}
"""The kinds of blocks that have names, by those of parts."""

ENVELOPE = b'{"type":"redacted_thinking","data":"'
"""The beginning of a block with an envelope."""

SEALED = ENVELOPE + b"gs1"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def whole_message(response: models_pb2.ChatResponse, model: str, about: About) -> bytes:
    """The body of a complete answer."""
    blocks = b",".join(_blocks(response))
    return b"".join(
        (
            b'{"id":"msg_%b","type":"message","role":"assistant","model":' % about.id.encode(),
            encode(model),
            b',"content":[',
            blocks,
            b"],",
            ending_members(response),
            b',"usage":',
            usage_json(response.usage),
            b"}",
        )
    )


def ending_members(response: models_pb2.ChatResponse) -> bytes:
    """The members of a message, and of the last delta of one, that are known at its end: the reason why it ended, and
    the container that its code ran in."""
    members = b'"stop_reason":%b,"stop_sequence":%b' % (
        encode(stop_reason(response)),
        encode(response.stop_sequence or None),
    )
    if explanation := explanation_of(response):
        members += b',"stop_details":{"type":"refusal","category":null,"explanation":%b}' % encode(explanation)
    if container := _container_of(response):
        members += b',"container":' + container
    return members


def stop_reason(response: models_pb2.ChatResponse) -> str:
    """The stop reason in the dialect's words. An answer that calls a tool never ends a turn: agents would stop."""
    if response.raw_finish_reason in KEPT_WORDS and response.finish_reason != "tool_calls":
        return response.raw_finish_reason
    if response.stop_sequence and response.finish_reason == "stop":
        return "stop_sequence"
    known = STOP_REASONS.get(response.finish_reason)
    return known or ("tool_use" if response.tool_calls else "end_turn")


def explanation_of(response: models_pb2.ChatResponse) -> str:
    """The provider's explanation of a refusal, which the dialect has a member for; "" for a refusal in the model's own
    words, which is the answer."""
    if response.raw_finish_reason != "refusal":
        return ""
    return "".join(part.refusal for part in response.message.parts)


def usage_json(usage: models_pb2.TokenUsage) -> bytes:
    """The usage: its input does not include what the cache gave and took."""
    read, written = usage.cached_prompt_tokens, usage.cache_write_tokens
    unread = max(0, usage.prompt_tokens - read - written)
    created = b""
    if usage.HasField("long_cache_write_tokens"):
        long = usage.long_cache_write_tokens
        short = max(0, written - long)
        created = b'"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":%d},' % (short, long)
    thoughts = b""
    if usage.HasField("reasoning_tokens"):
        thoughts = b',"output_tokens_details":{"thinking_tokens":%d}' % usage.reasoning_tokens
    counts = b'{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,' % (
        unread,
        written,
        read,
    )
    return counts + b'%b"output_tokens":%d%b}' % (created, usage.completion_tokens, thoughts)


class Names:
    """Names that blocks get in their order."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def next(self, kind: str) -> str:
        letter = LETTERS[kind]
        self.counts[letter] += 1
        return f"{letter}{self.counts[letter] - 1}"


def _blocks(response: models_pb2.ChatResponse) -> list[bytes]:
    """The blocks of an answer. One that calls nothing does not end with an envelope: clients take the last block for
    what the answer says."""
    message = response.message
    if not message.parts:
        texts = [text_block(message.content)] if message.content else []
        return texts + [call_block(call) for call in message.tool_calls]
    blocks: list[bytes] = []
    names = Names()
    explains = bool(explanation_of(response))
    for part in message.parts:
        if explains and part.HasField("refusal"):
            continue
        blocks += _blocks_of(part, names)
    while names.counts["t"] and not message.tool_calls and blocks[-1].startswith(SEALED):
        blocks.pop()
    return blocks


def _blocks_of(part: models_pb2.ContentPart, names: Names) -> Iterator[bytes]:
    """The blocks of a part: its own one, and that of its state where the first has no member for it."""
    kind = part.WhichOneof("kind")
    state = part.provider_state if part.HasField("provider_state") else None
    if state is not None and state.provider == VENDOR:
        yield from _native_block(part, names)
    elif kind == "reasoning":
        yield _thought_block(part, names)
    elif kind is None:
        if state is not None:
            yield sealed_block(seal(state, Bond.ALONE))
    elif kind == "tool_call" or part.text or part.refusal:
        name = names.next("tool_use" if kind == "tool_call" else "text")
        yield call_block(part.tool_call) if kind == "tool_call" else text_block(part.text or part.refusal)
        if state is not None:
            yield sealed_block(seal(state, Bond.NAMED, name))


def _native_block(part: models_pb2.ContentPart, names: Names) -> Iterator[bytes]:
    """The block of Anthropic's own; none of a container, which is a member of the message."""
    if container_in(part) is not None:
        return
    kind = KINDS.get(part.WhichOneof("kind") or "")
    if kind is not None and (kind != "thinking" or "thinking" in members_of(part.provider_state.data)):
        names.next(kind)
    yield one_line(part.provider_state.data)


def _thought_block(part: models_pb2.ContentPart, names: Names) -> bytes:
    """The block of a thought of another vendor."""
    sealed = seal(part.provider_state) if part.HasField("provider_state") else UNSIGNED
    if not part.reasoning.text and sealed != UNSIGNED:
        return sealed_block(sealed)
    names.next("thinking")
    return b'{"type":"thinking","thinking":%b,"signature":"%b"}' % (encode(part.reasoning.text), sealed.encode())


def text_block(text: str) -> bytes:
    return b'{"type":"text","text":%b}' % encode(text)


def call_block(call: models_pb2.ToolCall) -> bytes:
    """The block of a call. Arguments that are no object, as half ones are, go into one."""
    arguments = call.arguments_json.strip() or "{}"
    given = arguments.encode() if json_text.is_object(arguments) else encode({"arguments": arguments})
    return b'{"type":"tool_use","id":%b,"name":%b,"input":%b}' % (encode(call.id), encode(call.name), given)


def sealed_block(envelope: str) -> bytes:
    """The block that clients return without having read it, with an envelope."""
    return b'%b%b"}' % (ENVELOPE, envelope.encode())


def one_line(block: bytes) -> bytes:
    """JSON without line breaks, which would end a line of an event; within its texts there are none."""
    return block.replace(b"\n", b" ").replace(b"\r", b" ")


def members_of(block: bytes) -> dict[str, msgspec.Raw]:
    """The members of a block that is the provider's own; none of one that cannot be read."""
    try:
        return _members.decode(block)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}


def _container_of(response: models_pb2.ChatResponse) -> bytes:
    """The container of an answer of Anthropic's; b"" without one."""
    for part in reversed(response.message.parts):
        if part.provider_state.provider == VENDOR and container_in(part) is not None:
            return one_line(bytes(members_of(part.provider_state.data)["container"]))
    return b""
