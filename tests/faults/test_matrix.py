"""The fault matrix is whole: each row has its tests, or the reason why it has none, and every test has its row."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from tests.faults.matrix import ROWS

TESTS = Path(__file__).resolve().parents[1]
NUMBERS = {"U": 27, "C": 17, "S": 15, "D": 16}

ROW_IN_NAME = re.compile(r"test_([a-z]\d+)_")


@functools.cache
def names_in(module: str) -> frozenset[str]:
    """The tests of a module in `tests`."""
    nodes = ast.walk(ast.parse((TESTS / module).read_text(encoding="utf-8")))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def rows_of_tests() -> dict[str, str]:
    """The tests of this folder that are named after a row, with the row's id."""
    modules = Path(__file__).parent.glob("test_*_faults.py")
    names = [name for module in modules for name in names_in(f"faults/{module.name}")]
    return {name: found[1].upper() if (found := ROW_IN_NAME.match(name)) else "" for name in names}


def test_every_row_is_there_once() -> None:
    assert [row.id for row in ROWS] == [
        f"{letter}{number}" for letter, count in NUMBERS.items() for number in range(1, count + 1)
    ]


def test_every_row_has_a_test_or_the_reason_why_it_has_none() -> None:
    shown = set(rows_of_tests().values())
    assert [row.id for row in ROWS if not (row.tests or row.left_out or row.id in shown)] == []


def test_every_test_that_is_named_exists() -> None:
    named = [name.partition("::") for row in ROWS for name in row.tests]
    assert [f"{module}::{test}" for module, _, test in named if test not in names_in(module)] == []


def test_every_test_of_a_fault_is_named_after_its_row() -> None:
    ids = {row.id for row in ROWS}
    assert {name: row for name, row in rows_of_tests().items() if row not in ids} == {}
