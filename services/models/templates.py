"""The template language of prompts. It knows one thing: `{{name}}`.

A name begins with an ASCII letter or `_` and goes on with letters, digits and `_`. Everything else is plain text,
blanks inside the braces included.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

VARIABLE = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}")

_LOOKALIKE = re.compile(r"\{\{[^{}]{1,80}\}\}")


def find_variables(content: str) -> list[str]:
    """The names of the variables, each once, in the order of their first use."""
    return list(dict.fromkeys(VARIABLE.findall(content)))


def find_lookalikes(content: str) -> list[int]:
    """The numbers of the lines in which double braces hold what is no name, such as `{{ name }}` or `{{user.name}}`."""
    return [
        number
        for number, line in enumerate(content.splitlines(), start=1)
        if any(not VARIABLE.fullmatch(braces) for braces in _LOOKALIKE.findall(line))
    ]


def render(content: str, values: Mapping[str, str]) -> str:
    """The text with the value of each variable in its place, in one pass: what values contain is never a variable.

    Every variable must have a value; `values` is a dict, because a protobuf map invents those that it lacks.
    """
    return VARIABLE.sub(lambda variable: values[variable[1]], content)


def rendered_size(content: str, values: Mapping[str, str]) -> int:
    """The size in bytes of what `render` would return, found without making it."""
    places = Counter(VARIABLE.findall(content))
    added = sum((len(values[name].encode()) - len(f"{{{{{name}}}}}")) * count for name, count in places.items())
    return len(content.encode()) + added
