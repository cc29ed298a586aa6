"""Docstrings begin with a term and not with a riddle, as far as a program can tell."""

from __future__ import annotations

import ast
import re
import tokenize
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


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """The texts that stand as statements, such as those after an attribute, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


def comments(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


@for_each("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sentences_are_plain(path: Path) -> None:
    wrong = [f"line {line}: {text}" for line, text in docstrings(path) if RIDDLE.match(text)]
    wrong += [f"line {line}: {text}" for line, text in (*docstrings(path), *comments(path)) if WHOEVER.search(text)]
    assert not wrong
