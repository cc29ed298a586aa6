"""The template language of prompts. It knows one thing: `{{name}}`.

A name begins with an ASCII letter or `_` and goes on with letters, digits and `_`. Everything else is plain text,
blanks inside the braces included.
"""

from __future__ import annotations

import re

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
