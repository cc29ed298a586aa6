"""Views of answers for notebooks, in Markdown.

A notebook runs what its own cells print, so a model's text must not become markup by which somebody else could write
into the page, or load anything: what comes out has no tag but those made here, and neither link nor image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_CODE = re.compile(
    r"""
    ^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[^`\n]*\n(?P<block>.*?)(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)
    |
    (?<![`\\])(?P<ticks>`+)(?!`)(?P<span>(?:(?!\n[ \t]*\n).)+?)(?<!`)(?P=ticks)(?!`)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
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
    """Markdown without tags, links and images. They are shown as they are written."""
    parts, end = [], 0
    for match in _CODE.finditer(text):
        parts += [_defused(text[end : match.start()]), _code(match)]
        end = match.end()
    return "".join([*parts, _defused(text[end:])])


def _code(match: re.Match[str]) -> str:
    # As tags and not as Markdown's code: readers differ in where that ends, and would take what follows for markup.
    if match["fence"]:
        indent = match["indent"]
        lines = (line.removeprefix(indent) for line in match["block"].splitlines())
        return f"{indent}<pre><code>{literal(chr(10).join(lines))}</code></pre>"
    return f"<code>{literal(match['span'].strip())}</code>"


def _defused(text: str) -> str:
    return "".join(_MARKUP.get(character, character) for character in text)
