"""The variables that the SDK reads: from the environment, else from the file `.env` in the working directory.

The file is the one that the services read, too. It is read once, and never changes the environment of the program.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path

FILE = ".env"

_LINE = re.compile(r"(?:export +)?(\w+) *=(.*)")


def read_variable(name: str) -> str:
    """The value of a variable; empty if it is not set."""
    given = os.environ.get(name)
    return _read_file(_directory() / FILE).get(name, "") if given is None else given


def stands_in_file(name: str) -> bool:
    """Whether the value of a variable comes from the file."""
    return name not in os.environ and bool(read_variable(name))


def _directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        # It was removed while the program runs in it.
        return Path(os.devnull)


@functools.cache
def _read_file(path: Path) -> Mapping[str, str]:
    """The variables in a file; none if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = (_LINE.fullmatch(line.strip()) for line in lines)
    return {match[1]: _value(match[2].strip()) for match in found if match}


def _value(text: str) -> str:
    """A value without its quotes, or without the comment behind it."""
    quote = text[:1]
    if quote in ("'", '"') and (end := text.find(quote, 1)) > 0:
        return text[1:end]
    return text.partition(" #")[0].strip()
