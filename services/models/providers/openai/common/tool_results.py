"""Results of tools, as both of OpenAI's dialects read them out of a message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from proto import models_pb2
from services.models.providers.openai.common.cache import refuse_breakpoint
from services.models.providers.openai.common.content import PlacedPart, place
from services.models.providers.openai.common.translation import OpenAITranslation


class Result(NamedTuple):
    """The result of one tool call."""

    call_id: str
    content: Sequence[PlacedPart]


def read_results(message: models_pb2.ChatMessage, path: str, translation: OpenAITranslation) -> Iterator[Result]:
    """The results in a tool message of parts: each that is one, and one of all parts that answer the message's own
    call."""
    parts = place(message.parts, f"{path}.parts")
    own = [(here, part) for here, part in parts if not part.HasField("tool_result")]
    for here, part in parts:
        if part.HasField("tool_result"):
            refuse_breakpoint(part, here, "a result as a whole, only on a piece of its content", translation)
            yield _result(part.tool_result, f"{here}.tool_result", translation)
        elif own:
            yield Result(message.tool_call_id, own)
            own = []


def _result(result: models_pb2.ToolResult, path: str, translation: OpenAITranslation) -> Result:
    if result.is_error:
        problem = f"{translation.traits.title} takes no mark of a tool that failed; only what it answered says so"
        translation.warn("ERROR_MARK_DROPPED", f"{path}.is_error", problem)
    return Result(result.tool_call_id, place(result.content, f"{path}.content"))
