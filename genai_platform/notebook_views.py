"""Views of answers for notebooks, in Markdown.

A notebook runs what its own cells print, so a model's text must not become markup by which somebody else could write
into the page, or load anything: what comes out has no tag but those made here, and neither link nor image.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

NEW_LINE = "\n"
_TICKS = re.compile("(`+)")
_NOT_PLAIN = re.compile(r"[^\w ]|_")
_MARKUP = {"<": "&lt;", "[": "&#91;"}
"""The beginnings of tags, and of links, images and the definitions of both."""


def to_markdown(text: str, calls: Sequence[str], facts: Sequence[str], warnings: Sequence[str]) -> str:
    """A text with its formatting, calls of tools as code, and below these, small, facts and warnings."""
    parts = [_formatted(text)] if text else []
    parts += [f"<pre><code>{literal(call)}</code></pre>" for call in calls]
    parts += [f"<small>{literal(' · '.join(facts))}</small>"] if facts else []
    parts += [f"<small>⚠ {literal(warning)}</small>" for warning in warnings]
    return "\n\n".join(parts)


def literal(text: str) -> str:
    """The text itself, in a line of Markdown: nothing of it is markup, in whatever it stands."""
    return _NOT_PLAIN.sub(lambda match: f"&#{ord(match[0])};", text)


def _formatted(text: str) -> str:
    """Markdown without tags, links and images, which are shown as they are written. Code is put into tags, and not left
    to Markdown: readers differ in where it ends, and would take what follows for markup."""
    parts: list[str] = []
    paragraph: list[str] = []
    lines = iter(text.splitlines(keepends=True))
    for line in lines:
        fence = _fence(line)
        if fence or not line.strip():
            parts.append(_paragraph("".join(paragraph)))
            paragraph.clear()
        if fence:
            parts.append(_block(line, fence, lines))
        else:
            paragraph.append(line)
    return "".join([*parts, _paragraph("".join(paragraph))])


def _fence(line: str) -> str:
    """The marks by which a line begins a block of code; empty for any other line."""
    text = line.strip()
    marks = len(text) - len(text.lstrip(text[:1]))
    return text[:marks] if text[:1] in ("`", "~") and marks >= 3 and "`" not in text[marks:] else ""


def _block(first: str, fence: str, lines: Iterator[str]) -> str:
    """A block of code, whose lines are taken up to the end of the text or to a fence that is as long as its own."""
    indent = first[: len(first) - len(first.lstrip())]
    block: list[str] = []
    for line in lines:
        marks = line.strip()
        if len(marks) >= len(fence) and not marks.strip(fence[0]):
            return f"{indent}<pre><code>{literal(''.join(block).removesuffix(NEW_LINE))}</code></pre>\n"
        block.append(line.removeprefix(indent))
    return f"{indent}<pre><code>{literal(''.join(block).removesuffix(NEW_LINE))}</code></pre>"


def _paragraph(text: str) -> str:
    """A paragraph, whose code is between as many backticks on both sides."""
    pieces = _TICKS.split(text)
    closing: dict[str, deque[int]] = defaultdict(deque)
    for place in range(1, len(pieces), 2):
        closing[pieces[place]].append(place)
    parts, place = [], 0
    while place < len(pieces):
        piece = pieces[place]
        ends = closing[piece] if place % 2 and not pieces[place - 1].endswith("\\") else deque[int]()
        while ends and ends[0] <= place:
            ends.popleft()
        if ends:
            code = "".join(pieces[place + 1 : ends[0]])
            parts.append(f"<code>{literal(code.strip())}</code>")
            place = ends[0]
        else:
            parts.append(_defused(piece))
        place += 1
    return "".join(parts)


def _defused(text: str) -> str:
    return "".join(_MARKUP.get(character, character) for character in text)
