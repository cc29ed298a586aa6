"""The variables that the SDK reads: from the environment, else from the file `.env` in the working directory.

The file is the one that the services read, too. It is read once, and never changes the environment of the program. A
file that is there and cannot be read is a UserWarning: the program may have all that it needs without it.
"""

from __future__ import annotations

import functools
import os
import re
import warnings
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
    """The variables in a file. Warns once of a file that cannot be read, which has none."""
    text, problem = _read_text(path)
    if problem:
        # From whichever call was the first to need a variable: no line of the program is the one to show.
        warnings.warn(f"{path} cannot be read: {problem}; none of its variables is used", stacklevel=1)
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[1]: _value(match[2].strip()) for match in found if match}


def _read_text(path: Path) -> tuple[str, str]:
    """The text of a file, empty if there is none, and the reason why it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    except OSError as error:
        return "", (error.strerror or "unknown error").lower()
    except UnicodeDecodeError:
        return "", "it is not UTF-8 text"
    return ("", "it contains a NUL character") if "\0" in text else (text, "")


def _value(text: str) -> str:
    """A value without its quotes, or without the comment behind it."""
    quote = text[:1]
    if quote in ("'", '"') and (end := text.find(quote, 1)) > 0:
        return text[1:end]
    return text.partition(" #")[0].strip()
