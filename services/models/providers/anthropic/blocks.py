"""Messages → content blocks. https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers.anthropic.cache import Block, CacheBreakpoints, bare
from services.models.providers.anthropic.kept_blocks import (
    THINKING_BLOCKS,
    has_breakpoint,
    is_answer_block,
    is_unsigned_thought,
    type_of,
)
from services.models.providers.anthropic.media import media_block
from services.models.providers.base import HISTORY_FIELD
from services.models.providers.requests.parts import PlacedPart, place
from services.models.providers.requests.provider_state import refuse_forged_state
from services.models.providers.requests.tool_results import Result, read_results
from services.models.providers.requests.translation import Translation
from services.models.providers.state.container_state import Container, container_in
from services.models.providers.state.opaque_state import is_made_by
from services.shared import json_text


def kind_of(block: Block) -> str:
    """The type of a block, marked or not."""
    block = bare(block)
    return type_of(block) if isinstance(block, msgspec.Raw) else str(block["type"])


class BlockEncoder:
    """The blocks of each message of one request. Refuses media that Messages does not take."""

    def __init__(self, breakpoints: CacheBreakpoints, translation: Translation) -> None:
        self._breakpoints = breakpoints
        self._translation = translation
        self._state_owner = translation.target.state_owner
        self._signs_thoughts = translation.target.facts.signs_thoughts
        self.container = ""
        """The id of the newest container that an answer names."""

    # -------------------------------------------------------------------------------------------- text and media

    def plain(self, message: models_pb2.ChatMessage, path: str) -> list[Block]:
        """The blocks of a message that has text and media only. Refuses an empty one.

        An empty one in the history would make every later request fail, so it has no blocks.
        """
        if message.parts:
            blocks, _ = self._plain_blocks(place(message.parts, f"{path}.parts"))
        else:
            content = message.content
            blocks = [_text_block(content)] if content.strip() else []
        if not blocks:
            self._leave_out(path)
        return blocks

    def _leave_out(self, path: str) -> None:
        if path != HISTORY_FIELD:
            self._translation.refuse(path, "holds white space only, which Messages refuses; send a text")
            return
        text = "a message that holds white space only was left out; Messages refuses such"
        self._translation.warn("EMPTY_MESSAGE_DROPPED", path, text)

    def _plain_blocks(self, parts: Iterable[PlacedPart]) -> tuple[list[Block], str]:
        """The blocks of texts and media, and white space that could not be joined to any text.

        Messages refuses a text of only white space, so such a text is joined to the text before or after it.
        """
        blocks: list[Block] = []
        texts: list[tuple[dict[str, Any], list[str]]] = []
        leading: list[str] = []
        pieces = leading
        for path, part in parts:
            if part.HasField("media"):
                blocks.append(
                    self._breakpoints.mark(media_block(part.media, f"{path}.media", self._translation), part, path)
                )
                pieces = leading
            elif part.text.strip():
                block, pieces = _text_block(part.text), [*leading, part.text]
                leading = []
                texts.append((block, pieces))
                blocks.append(self._breakpoints.mark(block, part, path))
            else:
                self._breakpoints.drop(part, path, "white space alone")
                pieces.append(part.text)
        for block, pieces in texts:
            block["text"] = "".join(pieces)
        return blocks, "".join(leading)

    # -------------------------------------------------------------------------------------------------- assistant

    def assistant(self, message: models_pb2.ChatMessage, path: str) -> list[Block]:
        """The blocks of an assistant's message, without texts of only white space, which models write before a call."""
        if message.parts:
            return [
                block
                for here, part in place(message.parts, f"{path}.parts")
                for block in self._assistant_block(part, here)
            ]
        content = message.content
        blocks: list[Block] = [_text_block(content)] if content.strip() else []
        blocks.extend(map(_tool_use, message.tool_calls))
        return blocks

    def _assistant_block(self, part: models_pb2.ContentPart, path: str) -> Iterator[Block]:
        if part.HasField("provider_state"):
            container = container_in(part)
            if container is not None:
                self._take_container(container, part, path)
                return
            if self._is_own(part) and is_answer_block(part):
                if self._signs_thoughts and is_unsigned_thought(part):
                    self._leave_out_thought(part, path)
                else:
                    yield self._replayed(part, path)
                return
            self._leave_out_state(part, path)
        kind = part.WhichOneof("kind")
        if kind == "tool_call":
            yield self._breakpoints.mark(_tool_use(part.tool_call), part, path)
        elif kind in ("text", "refusal"):
            text = part.text or part.refusal
            if text.strip():
                yield self._breakpoints.mark(_text_block(text), part, path)
            else:
                self._breakpoints.drop(part, path, "white space alone")
        elif kind == "reasoning":
            self._leave_out_thought(part, path)

    def _leave_out_thought(self, part: models_pb2.ContentPart, path: str) -> None:
        self._breakpoints.drop(part, path, "reasoning")
        text = "reasoning can only go back to the provider that signed it; this part was not sent"
        self._translation.warn("REASONING_DROPPED", path, text)

    def _is_own(self, part: models_pb2.ContentPart) -> bool:
        return is_made_by(self._state_owner, part)

    def _take_container(self, container: Container, part: models_pb2.ContentPart, path: str) -> None:
        """Sets the container's id. One of another provider is left out without a notice, because the conversation does
        not change without it."""
        self._breakpoints.drop(part, path, "a container")
        if self._is_own(part):
            self.container = container.id or self.container

    def _leave_out_state(self, part: models_pb2.ContentPart, path: str) -> None:
        """Adds a notice for state that is left out: another provider's, or forged state in a session's history. Refuses
        forged state elsewhere."""
        if self._is_own(part) and refuse_forged_state(path, self._translation):
            return
        kind = part.WhichOneof("kind")
        if kind == "reasoning":
            # `_leave_out_thought` adds a notice for the whole part.
            return
        text = "only the provider that made it can read this part's state; the part was sent without"
        if kind is None:
            self._breakpoints.drop(part, path, "what was not sent")
            text = "only the provider that made this part can read it, such as a call of its own tool; it was not sent"
        self._translation.warn("PROVIDER_STATE_DROPPED", path, text)

    def _replayed(self, part: models_pb2.ContentPart, path: str) -> Block:
        """The provider's own block, byte for byte, which may have a breakpoint already."""
        raw = msgspec.Raw(part.provider_state.data)
        if not part.HasField("cache"):
            return raw
        if type_of(raw) in THINKING_BLOCKS:
            self._breakpoints.drop(part, path, "thinking")
            return raw
        return raw if has_breakpoint(raw) else self._breakpoints.mark(raw, part, path)

    # ----------------------------------------------------------------------------------------------- tool results

    def tool_results(self, message: models_pb2.ChatMessage, path: str) -> Iterator[Block]:
        """The blocks of a tool's message. Its own content is one result, in the place of the first such part."""
        if not message.parts:
            # White space is allowed here.
            yield {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
            return
        yield from map(self._tool_result, read_results(message, path))

    def _tool_result(self, result: Result) -> Block:
        content = self._result_content(result.content)
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.call_id, "content": content}
        if result.whole is None:
            return block
        if result.is_error:
            block["is_error"] = True
        path, part = result.whole
        return self._breakpoints.mark(block, part, path)

    def _result_content(self, pieces: Sequence[PlacedPart]) -> str | list[Block]:
        """The content of a tool's result: a single plain text, which may be white space here, as a text; any other
        content as blocks."""
        blocks, white_space = self._plain_blocks(pieces)
        if not blocks:
            return white_space
        if len(blocks) == 1 and isinstance(blocks[0], dict) and blocks[0]["type"] == "text":
            return str(blocks[0]["text"])
        return blocks


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _tool_use(call: models_pb2.ToolCall) -> dict[str, Any]:
    arguments = json_text.raw(call.arguments_json or "{}")
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
