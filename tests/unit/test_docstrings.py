"""Docstrings begin with a term and not with a riddle, as far as a program can tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.rows import for_each

ROOT = Path(__file__).resolve().parents[2]

RIDDLE = re.compile(r"(What|Whatever|Who|Whoever|Whose|How|Where|When)\b|Whether (it|they)\b")
WHOEVER = re.compile(r"\bwhoever\b", re.IGNORECASE)


def is_revised(path: Path) -> bool:
    return "migrations" not in path.parts


FILES = sorted(
    path for folder in ("services", "genai_platform") for path in (ROOT / folder).rglob("*.py") if is_revised(path)
)


def docstrings(text: str) -> Iterator[tuple[int, str]]:
    """The texts that stand as statements, such as those after an attribute, with their lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


@for_each("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sentences_are_plain(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    riddles = [f"line {line}: {told}" for line, told in docstrings(text) if RIDDLE.match(told)]
    assert riddles + [line for line in text.splitlines() if WHOEVER.search(line)] == []
