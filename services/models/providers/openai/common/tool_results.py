"""Results of tools, with notices of the facts that neither of OpenAI's dialects has a field for."""

from __future__ import annotations

from collections.abc import Iterator

from proto import models_pb2
from services.models.providers.openai.common.cache import drop_breakpoint
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.tool_results import Result, read_results


def results_with_notices(
    message: models_pb2.ChatMessage, path: str, translation: OpenAITranslation
) -> Iterator[Result]:
    """The results in a tool message of parts. A mark of failure and a cache breakpoint of a whole result are dropped,
    each with a notice."""
    for result in read_results(message, path):
        if result.whole:
            here, part = result.whole
            drop_breakpoint(part, here, "a result as a whole, only on a piece of its content", translation)
            if result.is_error:
                problem = (
                    f"{translation.traits.title} takes no mark of a tool that failed; only what it answered says so"
                )
                translation.warn("ERROR_MARK_DROPPED", f"{here}.tool_result.is_error", problem)
        yield result
