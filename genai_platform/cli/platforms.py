"""The SDK's client for commands, and the words and exit codes for calls that fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from genai_platform import GenAIError, GenAIPlatform, Unauthenticated
from genai_platform.cli.ending import EXIT_NOT_SIGNED_IN, fail, fail_interrupted

HINTS = {
    "GATEWAY_UNREACHABLE": "`genai doctor` says what is wrong",
    "MODEL_NOT_FOUND": "`genai models list` shows the names",
    "PROVIDER_NOT_CONFIGURED": "`genai models list --usable` shows the models that can be called",
    "PROMPT_NOT_FOUND": "`genai prompts list` shows the names",
    "SESSION_NOT_FOUND": "`genai sessions list` shows the ids",
}
"""The next step after an error, by its reason."""


@contextlib.contextmanager
def opened() -> Iterator[GenAIPlatform]:
    """The platform, for the length of a block. Ends the program where a call fails or Ctrl-C interrupts it."""
    try:
        with GenAIPlatform() as platform:
            yield platform
    except KeyboardInterrupt:
        fail_interrupted()
    except Unauthenticated as error:
        fail(str(error), EXIT_NOT_SIGNED_IN)
    except GenAIError as error:
        fail(explain(error))
    except (TypeError, ValueError) as error:
        fail(str(error))


def explain(error: GenAIError) -> str:
    """An error in one line, with the next step where one is known."""
    hint = HINTS.get(error.reason)
    return f"{error}; {hint}" if hint else str(error)
