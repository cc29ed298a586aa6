"""The template language of prompts. It knows one thing: `{{name}}`.

A name begins with an ASCII letter or `_` and goes on with letters, digits and `_`. Everything else is plain text,
blanks inside the braces included.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

VARIABLE = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}")

_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""As `str.splitlines` takes it."""
_LOOKALIKE = re.compile(r"\{\{(?![A-Za-z_][A-Za-z0-9_]*\}\})[^{}\n\r\v\f\x1c-\x1e\x85\u2028\u2029]{1,80}\}\}")


def find_variables(content: str) -> list[str]:
    """The names of the variables, each once, in the order of their first use."""
    return list(dict.fromkeys(VARIABLE.findall(content)))


def find_lookalikes(content: str) -> Iterator[int]:
    """The numbers of the lines in which double braces hold what is no name, such as `{{ name }}` or `{{user.name}}`."""
    number = start = 0
    while found := _LOOKALIKE.search(content, start):
        number += len(content[start : found.end()].splitlines())
        yield number
        end = _LINE_END.search(content, found.end())
        if end is None:
            return
        start = end.end()


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
