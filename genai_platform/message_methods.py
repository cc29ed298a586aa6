"""Methods of the contract's messages that the SDK adds to their classes, which protobuf makes.

proto/generate.py adds their types to the stubs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from genai_platform.v1.models_pb2 import ChatResponse, Media, TokenUsage

SHOWN_CHARACTERS = 60


def cost_usd(usage: TokenUsage) -> float | None:
    """The cost of the tokens in US dollars; None if it is not known."""
    return usage.cost_nano_usd / 1e9 if usage.HasField("cost_nano_usd") else None


def media_from_file(
    message_type: type[Media], /, path: str | os.PathLike[str], *, mime_type: str | None = None, **fields: Any
) -> Media:
    """Media with the content and the name of a file.

    Its media type is told by the name's ending. Raises ValueError for an ending that is not known, if `mime_type` is
    not given, and OSError for a file that cannot be read.
    """
    file = Path(path)
    known = mime_type or _guess_mime_type(file.name)
    if not known:
        raise ValueError(f"the media type of {file.name} is not known by its ending; give it as mime_type=")
    return message_type(data=file.read_bytes(), mime_type=known, filename=file.name, **fields)


def _guess_mime_type(name: str) -> str | None:
    # Most programs need no media, and it reads the system's files when it is first used.
    import mimetypes

    return mimetypes.guess_type(name)[0]


def short_text(response: ChatResponse) -> str:
    """An answer in one line, for consoles: the beginning of its text, and its facts."""
    text = response.text if len(response.text) <= SHOWN_CHARACTERS else f"{response.text[:SHOWN_CHARACTERS]}…"
    return f"<ChatResponse {', '.join([repr(text), *_facts(response)])}>"


def notebook_view(response: ChatResponse) -> str:
    """An answer for a notebook, in Markdown: its whole text, and its facts below."""
    # Most programs show none.
    from genai_platform.notebook_views import to_markdown

    calls = [f"{call.name}({call.arguments_json})" for call in response.tool_calls]
    return to_markdown(response.text, calls, _facts(response), [warning.message for warning in response.warnings])


def _facts(response: ChatResponse) -> list[str]:
    usage = response.usage
    cost = cost_usd(usage)
    facts = [
        response.model,
        response.finish_reason,
        _counted(len(response.tool_calls), "tool call"),
        f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if response.HasField("usage") else "",
        f"${cost:.6f}" if cost is not None else "",
        _counted(len(response.warnings), "warning"),
    ]
    return [fact for fact in facts if fact]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}" if number else ""


def add_methods() -> None:
    """Adds the methods; done once, when the SDK is imported."""
    added: tuple[tuple[Any, str, Any], ...] = (
        (TokenUsage, "cost_usd", property(cost_usd)),
        (Media, "from_file", classmethod(cast(Any, media_from_file))),
        (ChatResponse, "__repr__", short_text),
        (ChatResponse, "_repr_markdown_", notebook_view),
    )
    for message_type, name, method in added:
        setattr(message_type, name, method)
