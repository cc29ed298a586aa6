"""A model's answer as it grows.

Every dialect builds its answers here, whole or piece by piece, so that Chat and ChatStream cannot disagree. An answer
is a list of blocks in the order of their keys, which the dialect chooses. Pieces that arrive together leave together:
`drain_chunks` joins neighbours of one block into one chunk.

Whatever a provider sends, an answer has at most MAX_BLOCKS blocks, and whole parts of at most MAX_PARTS_BYTES.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Literal

from proto import models_pb2
from services.models.providers.answers.blocks import Block, fill_call, fill_part, fits_short_form
from services.models.providers.answers.logprobs import HeldLogprobs
from services.models.providers.answers.usage_counts import CountedTokens
from services.models.providers.errors.faults import Fault
from services.models.providers.names import make_call_id
from services.models.validation.limits import MAX_PARTS
from services.shared.tokens import estimate_tokens, text_bytes

MAX_CHARACTERS = 16 * 1024 * 1024
"""Limit for the characters of an answer; its response contains the text twice."""

MAX_BLOCKS = MAX_PARTS
"""Limit for the blocks of an answer, far above the output of any model, even if every piece of text has sources of its
own. A request may have no more parts."""

MAX_PARTS_BYTES = 31 * 1024 * 1024
"""Limit for the bytes of all whole parts together: the opaque state of one item may be repeated in many of them."""

MAX_COMPARED = 4 * 1024 * 1024
"""Limit for the characters of blocks that are compared with much shorter texts, which should equal them: comparing a
long block with each of many short events would take hours."""

MAX_CITED_BYTES = 8 * 1024 * 1024
"""Limit for the bytes of citations that arrive in pieces; the quoted texts become part of the answer."""


class Answer:
    """An answer under construction. `provider_response_id`, `model`, `stop_sequence`, `usage`, `counts_agree`,
    `at_standard_rates` and `warnings` may be set at any time before the end.

    `state_owner` is the owner of its opaque state, and `tool_names` has the callers' names of its tools; both must be
    set before a chunk or a response is taken.
    """

    def __init__(self) -> None:
        self.provider_response_id = ""
        self.model = ""
        self.finish_reason = ""
        self.raw_finish_reason = ""
        self.stop_sequence = ""
        """The stop sequence of the request that ended it, if the provider says so."""
        self.usage: models_pb2.TokenUsage | None = None
        self.counts = CountedTokens()
        """Counts of the usage so far, as the provider gave them."""
        self.counts_agree = True
        """False where the provider's counts contradict each other."""
        self.at_standard_rates = True
        """False if the provider reports that the call has other rates, such as those of another service tier."""
        self.warnings: list[models_pb2.Notice] = []
        self.state_owner = ""
        self.tool_names: Mapping[str, str] = {}
        """The caller's name for each tool that the provider knows by another one."""
        self.characters = 0
        self.parts_bytes = 0
        """Bytes of all parts that were given out whole."""
        self.waiting_bytes = 0
        """Bytes that the decoder holds back until it has received more."""
        self._blocks: dict[int, Block] = {}
        self._call_ids: set[str] = set()
        self._free_call_key = 0
        """The first key after those of all tool calls: a search from the start would take longer with each call."""
        self._chunks: list[models_pb2.ChatChunk] = []
        self._pending: list[str] = []
        self._pending_block: Block | None = None
        self._logprobs: HeldLogprobs | None = None
        self._next_index = 0
        self._compared = 0

    @property
    def size(self) -> int:
        """The approximate size of the answer in memory."""
        size = self.characters + self.parts_bytes + self.waiting_bytes
        return size if self._logprobs is None else size + self._logprobs.size

    @property
    def has_begun(self) -> bool:
        """Whether the answer has any block."""
        return bool(self._blocks)

    @property
    def has_logprobs(self) -> bool:
        """True if it has logprobs of its tokens."""
        return self._logprobs is not None

    @property
    def has_more_than_reasoning(self) -> bool:
        """Whether the answer has content other than reasoning."""
        return any(block.kind not in ("reasoning", "opaque") for block in self._blocks.values())

    def has_block(self, key: int) -> bool:
        """Whether the block `key` has begun."""
        return key in self._blocks

    # ------------------------------------------------------------------------------------------- growing

    def add(self, key: int, kind: Literal["text", "reasoning", "refusal"], piece: str) -> None:
        """Adds a piece of text to the block `key`, which begins with its first piece."""
        block = self._blocks.get(key)
        if block is None:
            if not piece:
                return
            block = self._begin(key, Block(kind))
        self._append(block, piece)

    def open_tool_call(self, key: int, call_id: str, name: str) -> int:
        """Begins a tool call at the key `key`, or after all earlier calls if the key is in use. Returns the key.

        An id that is missing, or already used in this answer, is replaced by a generated one.
        """
        if key in self._blocks:
            key = max(key, self._free_call_key)
        while key in self._blocks:
            key += 1
        self._free_call_key = max(self._free_call_key, key + 1)
        index = len(self._call_ids)
        if not call_id or call_id in self._call_ids:
            call_id = self._make_call_id(index)
        self._call_ids.add(call_id)
        self._begin(key, Block("tool_call", call_index=index, call_id=call_id, call_name=name))
        self.flush()
        delta = models_pb2.ToolCallDelta(index=index, id=call_id, name=name)
        self._emit(models_pb2.ChatChunk(tool_call_delta=delta))
        return key

    def _make_call_id(self, index: int) -> str:
        """An id that every provider takes, the same for the same answer."""
        content = f"{self.provider_response_id or uuid.uuid4().hex}:{index}"
        return make_call_id(content)

    def add_arguments(self, key: int, piece: str) -> None:
        """Adds a piece to the arguments of the tool call `key`."""
        self._append(self._blocks[key], piece)

    def close(self, key: int) -> str:
        """Ends the block `key`, if it has begun, and returns its text, or the arguments of a tool call."""
        block = self._blocks.get(key)
        if block is None:
            return ""
        self._flush_carry(block)
        return self._text(block)

    def close_to_compare(self, key: int, text: str) -> str:
        """Ends the block `key` and returns its text, for a comparison with `text`, which should equal it; "" if `text`
        is empty.

        Raises Fault as `count_compared` does.
        """
        if text:
            earlier = self.close(key)
            self.count_compared(earlier, text)
            return earlier
        if key in self._blocks:
            self._flush_carry(self._blocks[key])
        return ""

    def count_compared(self, earlier: str, text: str) -> None:
        """Counts the text of pieces that a whole text is compared with. Raises Fault for more than MAX_COMPARED."""
        self._compared += max(0, len(earlier) - 2 * len(text))
        if self._compared > MAX_COMPARED:
            raise Fault("UPSTREAM_PROTOCOL_ERROR")

    def cite(self, key: int, citations_json: str) -> None:
        """Sets the citations of the text block `key`, if it has begun: a JSON array in the provider's form."""
        block = self._blocks.get(key)
        if block is not None:
            block.citations_json = citations_json

    def add_logprobs(self, key: int, logprobs: models_pb2.Logprobs) -> None:
        """Adds the logprobs of the piece that was added last to the block `key`."""
        if self._logprobs is None:
            self._logprobs = HeldLogprobs()
        self._logprobs.add(key, logprobs)

    def complete_logprobs(self, key: int, logprobs: models_pb2.Logprobs) -> None:
        """Sets the logprobs of the whole block `key`, in place of those of its pieces."""
        if self._logprobs is None:
            self._logprobs = HeldLogprobs()
        self._logprobs.complete(key, logprobs)

    def attach_state(self, key: int, state: models_pb2.ProviderState, *, redacted: bool = False) -> None:
        """Attaches opaque provider state to the block `key`; without such a block, the state is a block of its own."""
        block = self._blocks.get(key) or self._begin(key, Block("opaque"))
        block.state = state
        block.redacted = redacted
        self.flush()
        self._emit_part(block)

    def warn(self, code: str, message: str, *, field: str = "") -> None:
        """Adds a warning for the caller, unless the same one is there already."""
        warning = models_pb2.Notice(code=code, field=field, message=message)
        if warning not in self.warnings:
            self.warnings.append(warning)

    def finish(self, reason: str, raw: str) -> None:
        """Sets the finish reason: the platform's word and the provider's own."""
        self.finish_reason = reason
        self.raw_finish_reason = raw

    def complete(self) -> None:
        """Closes all blocks at the end of the answer."""
        for block in self._blocks.values():
            self._flush_carry(block)
            if block.kind == "tool_call" and not self._text(block).strip():
                self._append(block, "{}")
        self.flush()
        refusals = [block for block in self._blocks.values() if block.kind == "refusal"]
        for block in refusals:
            # A refusal with state was emitted when it was complete.
            if block.state is None:
                self._emit_part(block)
        if self.finish_reason == "stop" and self._call_ids:
            self.finish_reason = "tool_calls"
        if self.finish_reason == "stop" and refusals:
            self.finish_reason = "refusal"

    def _begin(self, key: int, block: Block) -> Block:
        if len(self._blocks) >= MAX_BLOCKS:
            raise Fault("OUTPUT_LIMIT")
        self._blocks[key] = block
        return block

    def _flush_carry(self, block: Block) -> None:
        if block.held.carry:
            self._append(block, block.held.flush_carry())

    def _append(self, block: Block, piece: str) -> None:
        if not piece.isascii() or block.held.carry:
            piece = block.held.fit(piece)
        if not piece:
            return
        if block is not self._pending_block:
            self.flush()
            self._pending_block = block
        self._pending.append(piece)

    # ------------------------------------------------------------------------------------------- reading

    def drain_chunks(self) -> list[models_pb2.ChatChunk]:
        """The chunks for everything that was added since the last call; their `index` continues from the last one."""
        self.flush()
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            if chunk.HasField("completed_part"):
                self._name_owner(chunk.completed_part)
            if self.tool_names:
                self._name_tool(chunk.tool_call_delta)
                self._name_tool(chunk.completed_part.tool_call)
        return chunks

    def _name_tool(self, call: models_pb2.ToolCall | models_pb2.ToolCallDelta) -> None:
        if call.name in self.tool_names:
            call.name = self.tool_names[call.name]

    def _name_owner(self, part: models_pb2.ContentPart) -> None:
        if part.HasField("provider_state"):
            part.provider_state.provider = self.state_owner

    def last_chunk(self) -> models_pb2.ChatChunk:
        """The chunk that ends the stream, with the whole answer; call it once, after `complete`."""
        chunk = models_pb2.ChatChunk(index=self._next_index)
        self._fill(chunk.response)
        chunk.finish_reason = chunk.response.finish_reason
        if self.usage is not None:
            chunk.usage.CopyFrom(self.usage)
        return chunk

    def text_of(self, key: int) -> str:
        """The text of the block `key` so far, if it has begun, arguments of a tool call included."""
        block = self._blocks.get(key)
        return self._text(block) if block else ""

    def _text(self, block: Block) -> str:
        text = block.held.text()
        return text + "".join(self._pending) if block is self._pending_block else text

    def response(self) -> models_pb2.ChatResponse:
        """The whole answer; call it once, after `complete`."""
        response = models_pb2.ChatResponse()
        self._fill(response)
        return response

    def _fill(self, response: models_pb2.ChatResponse) -> None:
        # Filled in place: a large field would be copied again with every message that contains it.
        blocks = [self._blocks[key] for key in sorted(self._blocks)]
        text = "".join([block.held.text() for block in blocks if block.kind == "text"])
        message = response.message
        message.role = "assistant"
        message.content = response.text = text
        if self._call_ids:
            calls = sorted([block for block in blocks if block.kind == "tool_call"], key=lambda block: block.call_index)
            for block in calls:
                call = message.tool_calls.add()
                fill_call(call, block)
                self._name_tool(call)
            response.tool_calls.extend(message.tool_calls)
        if not fits_short_form(blocks):
            for block in blocks:
                part = message.parts.add()
                fill_part(part, block)
                self._name_owner(part)
                self._name_tool(part.tool_call)
        response.model = self.model
        if self.usage is not None:
            response.usage.CopyFrom(self.usage)
        response.finish_reason = self.finish_reason or "other"
        response.raw_finish_reason = self.raw_finish_reason
        response.provider_response_id = self.provider_response_id
        response.warnings.extend(self.warnings)
        response.stop_sequence = self.stop_sequence
        if self._logprobs is not None:
            self._logprobs.fill(response.logprobs)

    def estimated_completion_tokens(self) -> int:
        """The number of tokens of the answer, estimated by its length."""
        held = sum(block.held.utf8_bytes() for block in self._blocks.values())
        return estimate_tokens(held + sum(map(text_bytes, self._pending)))

    def flush(self) -> None:
        """Makes a chunk of the pieces that were added since the last one, for `drain_chunks`."""
        block = self._pending_block
        if block is None:
            if self._logprobs is not None:
                self._add_unsent_logprobs(None)
            return
        piece = "".join(self._pending)
        self._pending.clear()
        self._pending_block = None
        self.characters += len(piece)
        block.held.append(piece)
        if block.kind == "text":
            self._emit(models_pb2.ChatChunk(token=piece))
        elif block.kind == "reasoning":
            self._emit(models_pb2.ChatChunk(reasoning=piece))
        elif block.kind == "tool_call":
            delta = models_pb2.ToolCallDelta(index=block.call_index, arguments_json=piece)
            self._emit(models_pb2.ChatChunk(tool_call_delta=delta))
        if self._logprobs is not None:
            self._add_unsent_logprobs(block)

    def _add_unsent_logprobs(self, block: Block | None) -> None:
        """Adds the unsent logprobs to the last chunk, which has a piece of `block`; to a new chunk without a block, or
        for a refusal, whose pieces have no chunks."""
        unsent = self._logprobs.take_unsent() if self._logprobs is not None else None
        if unsent is None:
            return
        if block is None or block.kind == "refusal":
            self._emit(models_pb2.ChatChunk())
        self._chunks[-1].logprobs.CopyFrom(unsent)

    def _emit_part(self, block: Block) -> None:
        self.parts_bytes += block.part_bytes()
        if self.parts_bytes > MAX_PARTS_BYTES:
            raise Fault("OUTPUT_LIMIT")
        chunk = models_pb2.ChatChunk()
        fill_part(chunk.completed_part, block)
        self._emit(chunk)

    def _emit(self, chunk: models_pb2.ChatChunk) -> None:
        chunk.index = self._next_index
        self._next_index += 1
        self._chunks.append(chunk)
