"""Writes genai_platform/field_texts.py: what each call's fields are, for `help(platform.models.chat)` and its like.

    python tools/field_texts.py            write the module
    python tools/field_texts.py --check    write nothing; exit 1 if it is missing or out of date

Python does not keep the docstrings below the members of a TypedDict, which editors show; so they are read here from the
source. Works from any working directory.
"""

from __future__ import annotations

import argparse
import ast
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("calls", "request_fields", "requests", "usage_requests")
TARGET = ROOT / "genai_platform" / "field_texts.py"
WIDTH = 112

BEGINNING = '''\
"""The fields of the calls, by their TypedDicts, with a line for each; written by tools/field_texts.py."""

from __future__ import annotations

FIELD_TEXTS = {
'''


def read_fields() -> dict[str, dict[str, str]]:
    """The fields of each TypedDict, with what they are; a TypedDict's own come before those of the one below it."""
    found: dict[str, dict[str, str]] = {}
    for source in SOURCES:
        text = (ROOT / "genai_platform" / f"{source}.py").read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and any(word.arg == "total" for word in node.keywords):
                below = [found.get(base.id, {}) for base in node.bases if isinstance(base, ast.Name)]
                found[node.name] = dict(_own_fields(node)) | {name: each[name] for each in below for name in each}
    return found


def _own_fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for member, below in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if not isinstance(member, ast.AnnAssign) or not isinstance(member.target, ast.Name):
            continue
        if not isinstance(below, ast.Expr) or not isinstance(below.value, ast.Constant):
            sys.exit(f"{node.name}.{member.target.id}: has no docstring")
        yield member.target.id, " ".join(str(below.value.value).split())


def columns(fields: dict[str, str]) -> str:
    """A line for each field, with its name and what it is."""
    width = max(map(len, fields)) + 2
    return "\n".join(
        textwrap.fill(text, WIDTH, initial_indent=name.ljust(width), subsequent_indent=" " * width)
        for name, text in fields.items()
    )


def module() -> str:
    """The text of the module."""
    entries = "".join(f'    "{name}": r"""\n{columns(fields)}""",\n' for name, fields in read_fields().items())
    return BEGINNING + entries + "}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the module is not current")
    if not parser.parse_args().check:
        TARGET.write_text(module(), encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != module():
        sys.exit("genai_platform/field_texts.py: not current; run make proto")


if __name__ == "__main__":
    main()
