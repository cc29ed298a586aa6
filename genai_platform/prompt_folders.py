"""The folders of prompts, one for each: names to paths and back, never outside of the directory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from genai_platform.errors import FieldViolation

FACTS_FILE = "prompt.json"
CONTENT_FILE = re.compile(r"v([1-9][0-9]{0,8})\.md")

_LIKE_CONTENT_FILE = re.compile(r"v[0-9]+\.md", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,127}")


def folder_of(name: str) -> PurePosixPath:
    """The path of a prompt's folder: the parts of its name.

    Dots are written as %2E in parts that would leave the directory, be hidden, or look like a file of a prompt; an
    empty part is written as %. Names of prompts contain no %.
    """
    return PurePosixPath(*map(_escape, name.split("/")))


def name_of(folder: PurePosixPath) -> str | None:
    """The name of the prompt in a folder; None for a folder that is no prompt's."""
    name = "/".join("" if part == "%" else part.replace("%2E", ".") for part in folder.parts)
    return name if _NAME.fullmatch(name) and folder_of(name) == folder else None


def find_prompt_files(
    directory: Path, on_problem: Callable[[FieldViolation], object] = lambda _: None
) -> Iterator[PurePosixPath]:
    """The files of prompts below a directory. Symbolic links are reported, never followed; hidden folders are skipped.

    Raises OSError for a folder that cannot be read.
    """
    for root, folders, files in os.walk(directory, onerror=_raise):
        here = PurePosixPath(Path(root).relative_to(directory).as_posix())
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for name in (*folders, *files):
            if (Path(root) / name).is_symlink() and (name in folders or _is_prompt_file(name)):
                on_problem(FieldViolation(str(here / name), "is a symbolic link, which may lead out of the directory"))
            elif name in files and _is_prompt_file(name):
                yield here / name
            elif name in files and _LIKE_CONTENT_FILE.fullmatch(name):
                on_problem(FieldViolation(str(here / name), "is not how a version's file is called, such as v1.md"))


def is_linked(directory: Path, path: PurePosixPath) -> bool:
    """Whether a path below a directory is reached over a symbolic link."""
    return any((directory / part).is_symlink() for part in (path, *path.parents) if part.parts)


def _escape(part: str) -> str:
    if part.startswith(".") or part.endswith((".", ".md", ".json")):
        return part.replace(".", "%2E")
    return part or "%"


def _is_prompt_file(name: str) -> bool:
    return name == FACTS_FILE or CONTENT_FILE.fullmatch(name) is not None


def _raise(error: OSError) -> None:
    raise error
