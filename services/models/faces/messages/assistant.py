"""Blocks of an assistant's message → the parts of the answer that it was.

Opaque state comes back as the face has written it: Anthropic's in its own blocks, which are kept byte for byte, and any
other in envelopes within `thinking` and `redacted_thinking`.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from proto import models_pb2
from services.models.faces.messages.blocks import TEXT, BlockReader, CacheControl, Placed, is_marked
from services.models.faces.shapes import ABSENT, is_given
from services.models.faces.state_envelope import Bond, bond_of, name_in, open_envelope
from services.shared import json_text

VENDOR = "anthropic"
"""The owner of the state whose form is native here."""

UNSIGNED = Bond.THOUGHT.value
"""The signature of a thought without state. Clients drop thoughts that have none, and no server takes it for its own.
"""

LETTERS = {"text": "t", "thinking": "r", "tool_use": "u"}
"""Letters of the names of blocks, by their kinds. A name is the letter and the number among the blocks of its kind."""

OTHERS = frozenset({"image", "document", "tool_result", "search_result"})
"""Blocks that only a user's message has."""

PLAIN_CALL = frozenset({"type", "id", "name", "input", "cache_control", "caller"})
"""The members of a call that the contract has fields for, if the model itself has called."""


class _Thinking(msgspec.Struct):
    thinking: str
    signature: str | None = None


class _RedactedThinking(msgspec.Struct):
    data: str


class _Caller(msgspec.Struct):
    type: str = "direct"


class _ToolUse(msgspec.Struct):
    id: str
    name: str
    input: msgspec.Raw = ABSENT
    caller: _Caller | None = None
    cache_control: CacheControl | None = None


_THINKING = msgspec.json.Decoder(_Thinking)
_REDACTED = msgspec.json.Decoder(_RedactedThinking)
_TOOL_USE = msgspec.json.Decoder(_ToolUse)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class AssistantReader:
    """Reads one message."""

    def __init__(self, blocks: BlockReader) -> None:
        self._blocks = blocks
        self._problems = blocks.problems
        self.parts: list[models_pb2.ContentPart] = []
        self.paths: list[str] = []
        """The path of the block of each part."""
        self._named: dict[str, models_pb2.ContentPart] = {}
        """The parts of blocks that have names."""
        self._counts: Counter[str] = Counter()
        self._states: list[tuple[str, models_pb2.ProviderState]] = []
        """The states of parts by name."""

    def read(self, raw_blocks: list[msgspec.Raw], path: str) -> None:
        for block in self._blocks.placed(raw_blocks, path):
            part = self._part(block)
            if part is None:
                continue
            if letter := LETTERS.get(block.kind):
                self._named[f"{letter}{self._counts[letter]}"] = part
                self._counts[letter] += 1
            self.parts.append(part)
            self.paths.append(block.path)
        for name, state in self._states:
            self._attach(self._named.get(name), state)

    def _part(self, block: Placed) -> models_pb2.ContentPart | None:
        if block.kind == "text":
            return self._text(block)
        if block.kind == "tool_use":
            return self._tool_use(block)
        if block.kind == "thinking":
            return self._thinking(block)
        if block.kind == "redacted_thinking":
            return self._redacted(block)
        if block.kind in OTHERS:
            self._problems.add(f"{block.path}.type", f"must not be {block.kind} in an assistant's message")
            return None
        return models_pb2.ContentPart(provider_state=_native(block))

    def _text(self, block: Placed) -> models_pb2.ContentPart | None:
        text = self._problems.read(block.raw, TEXT, block.path)
        if text is None:
            return None
        if not is_marked(text.citations):
            part = models_pb2.ContentPart(text=text.text)
            self._blocks.mark(part, text.cache_control, block.path)
            return part
        citations_json = bytes(text.citations).decode()
        return models_pb2.ContentPart(text=text.text, citations_json=citations_json, provider_state=_native(block))

    def _tool_use(self, block: Placed) -> models_pb2.ContentPart | None:
        read = self._problems.read(block.raw, _TOOL_USE, block.path)
        if read is None:
            return None
        arguments_json = bytes(read.input).decode() if is_given(read.input) else "{}"
        if not json_text.is_object(arguments_json):
            self._problems.add(f"{block.path}.input", "must be an object")
            return None
        call = models_pb2.ToolCall(id=read.id, name=read.name, arguments_json=arguments_json)
        part = models_pb2.ContentPart(tool_call=call)
        if _MEMBERS.decode(block.raw).keys() <= PLAIN_CALL and (read.caller is None or read.caller.type == "direct"):
            self._blocks.mark(part, read.cache_control, block.path)
        else:
            part.provider_state.CopyFrom(_native(block))
        return part

    def _thinking(self, block: Placed) -> models_pb2.ContentPart | None:
        read = self._problems.read(block.raw, _THINKING, block.path)
        if read is None:
            return None
        part = models_pb2.ContentPart(reasoning=models_pb2.Reasoning(text=read.thinking, redacted=not read.thinking))
        if not read.signature or read.signature == UNSIGNED:
            part.reasoning.redacted = False
        elif bond_of(read.signature) is None:
            part.provider_state.CopyFrom(_native(block))
        elif state := self._opened(read.signature, f"{block.path}.signature"):
            part.provider_state.CopyFrom(state)
        return part

    def _redacted(self, block: Placed) -> models_pb2.ContentPart | None:
        read = self._problems.read(block.raw, _REDACTED, block.path)
        if read is None:
            return None
        redacted = models_pb2.Reasoning(redacted=True)
        bond = bond_of(read.data)
        if bond is None:
            return models_pb2.ContentPart(reasoning=redacted, provider_state=_native(block))
        state = self._opened(read.data, f"{block.path}.data")
        if state is None:
            return None
        if bond is Bond.THOUGHT:
            return models_pb2.ContentPart(reasoning=redacted, provider_state=state)
        if bond is Bond.ALONE:
            return models_pb2.ContentPart(provider_state=state)
        if bond is Bond.NAMED:
            self._states.append((name_in(read.data), state))
        elif self.parts:
            self._attach(self.parts[-1], state)
        return None

    def _opened(self, envelope: str, path: str) -> models_pb2.ProviderState | None:
        state = open_envelope(envelope)
        if state is None:
            self._problems.add(path, "was cut or changed; send it as it was given, or leave the block out")
        return state

    def _attach(self, part: models_pb2.ContentPart | None, state: models_pb2.ProviderState) -> None:
        """Gives a part its state. Where the client has left the part out, the state goes with it."""
        if part is not None and part.WhichOneof("kind") is not None and not part.HasField("provider_state"):
            part.provider_state.CopyFrom(state)


def _native(block: Placed) -> models_pb2.ProviderState:
    return models_pb2.ProviderState(provider=VENDOR, data=bytes(block.raw))
