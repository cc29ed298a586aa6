"""Templates of prompts, in which `{{name}}` is a variable.

A name begins with an ASCII letter or `_`, followed by letters, digits and `_`. All else is plain text, such as a name
with blanks inside the braces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

VARIABLE = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}")

_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""Line ends as of `str.splitlines`."""
_LOOKALIKE = re.compile(r"\{\{(?![A-Za-z_][A-Za-z0-9_]*\}\})[^{}\n\r\v\f\x1c-\x1e\x85\u2028\u2029]{1,80}\}\}")


def find_variables(content: str) -> list[str]:
    """The names of the variables, without repetitions, in the order of their first use."""
    return list(dict.fromkeys(VARIABLE.findall(content)))


def find_lookalikes(content: str) -> Iterator[int]:
    """The numbers of lines with double braces around text that is not a name, such as `{{ name }}` or
    `{{user.name}}`."""
    number = start = 0
    while found := _LOOKALIKE.search(content, start):
        number += len(content[start : found.end()].splitlines())
        yield number
        end = _LINE_END.search(content, found.end())
        if end is None:
            return
        start = end.end()


def render(content: str, values: Mapping[str, str]) -> str:
    """The text with the variables replaced by their values, in one pass: braces in a value are plain text.

    Every variable must have a value. `values` must be a dict: a protobuf map returns "" for a missing key.
    """
    return VARIABLE.sub(lambda variable: values[variable[1]], content)


def rendered_size(content: str, values: Mapping[str, str]) -> int:
    """The size in bytes of the text that `render` would return, computed without rendering it."""
    uses = Counter(VARIABLE.findall(content))
    added = sum((len(values[name].encode()) - len(f"{{{{{name}}}}}")) * count for name, count in uses.items())
    return len(content.encode()) + added
