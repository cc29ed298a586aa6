"""Results of tools, with the notices of what neither of OpenAI's dialects says of them."""

from __future__ import annotations

from collections.abc import Iterator

from proto import models_pb2
from services.models.providers.openai.common.cache import refuse_breakpoint
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.tool_results import Result, read_results


def results_with_notices(
    message: models_pb2.ChatMessage, path: str, translation: OpenAITranslation
) -> Iterator[Result]:
    """The results in a tool message of parts. A mark of failure has a notice, and a cache breakpoint of a whole result
    is refused."""
    for result in read_results(message, path):
        if result.whole:
            here, part = result.whole
            refuse_breakpoint(part, here, "a result as a whole, only on a piece of its content", translation)
            if result.is_error:
                problem = (
                    f"{translation.traits.title} takes no mark of a tool that failed; only what it answered says so"
                )
                translation.warn("ERROR_MARK_DROPPED", f"{here}.tool_result.is_error", problem)
        yield result
