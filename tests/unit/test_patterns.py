"""Every pattern that meets the text of a caller or a provider takes time that grows no faster than the text.

Patterns are found wherever a module of the project keeps one, and met with texts that are made of what they are made
of: a beginning that fits, pieces of it again and again, and an end that does not fit.
"""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import json
import pkgutil
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any, NamedTuple

import genai_platform
import services
from services.models.catalog.prices import PATH as PRICES
from tests.timing import is_in_proportion

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("services", "genai_platform")
REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
SEARCHING = frozenset({"search", "sub", "findall", "finditer"})
ANCHORED = frozenset({"match", "fullmatch"})
SIZE = 1024
SUSPICIOUS_SECONDS = 0.00015
"""More than a pattern that is linear, and of no odd kind, takes for a text of that size."""


# ----------------------------------------------------------------------------------------------------- all patterns


def modules() -> Iterator[ModuleType]:
    for package in (services, genai_platform):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # Scripts of migrations are run by Alembic, and cannot be imported.
            if not found.name.endswith("env") and ".migrations." not in found.name:
                yield importlib.import_module(found.name)


def patterns_in(holder: Any, seen: set[int]) -> Iterator[re.Pattern[str]]:
    """The patterns that an object of the project holds, or what it holds in turn."""
    if isinstance(holder, re.Pattern):
        yield holder
        return
    if id(holder) in seen:
        return
    seen.add(id(holder))
    for held in held_by(holder):
        yield from patterns_in(held, seen)


def held_by(holder: Any) -> Iterable[Any]:
    if isinstance(holder, dict):
        return [*holder, *holder.values()]
    if isinstance(holder, list | tuple | set | frozenset):
        return holder
    owner = holder if isinstance(holder, type | ModuleType) else type(holder)
    name = owner.__name__ if isinstance(owner, ModuleType) else owner.__module__
    if not name.startswith(FOLDERS):
        return ()
    slots = [getattr(holder, slot, None) for slot in getattr(holder, "__slots__", ())]
    return [*slots, *getattr(holder, "__dict__", {}).values()]


class Used(NamedTuple):
    """A pattern, and whether it is looked for within a text or held against one place of it."""

    pattern: re.Pattern[str]
    is_searched: bool


def all_patterns() -> Mapping[str, Used]:
    seen: set[int] = set()
    searched = set(searching_modules())
    anchored = set(anchored_patterns())
    found = {
        pattern.pattern: Used(pattern, module.__name__ in searched and pattern.pattern not in anchored)
        for module in modules()
        for pattern in patterns_in(module, seen)
    }
    told = re.findall(r'"(\^.*)"', PRICES.read_text(encoding="utf-8"))
    texts = [*(json.loads(f'"{text}"') for text in told), *patterns_of_msgspec()]
    return found | {text: Used(re.compile(text), is_searched=True) for text in texts}


def searching_modules() -> Iterator[str]:
    """Those that look for any of the patterns, their own or others', within a text."""
    for path, call in all_calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr in SEARCHING:
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def anchored_patterns() -> Iterator[str | bytes]:
    """Those of searching modules that have a name and under that name are held against one place only."""
    uses: dict[str, set[str]] = {}
    for _, call in all_calls():
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            uses.setdefault(call.func.value.id, set()).add(call.func.attr)
    for module in modules():
        for name, held in vars(module).items():
            if isinstance(held, re.Pattern) and uses.get(name, SEARCHING) <= ANCHORED:
                yield held.pattern


@functools.cache
def sources() -> list[tuple[Path, ast.Module]]:
    paths = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


@functools.cache
def all_calls() -> list[tuple[Path, ast.Call]]:
    return [(path, node) for path, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Call)]


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """The calls of what is called so, in all modules."""
    module, _, attribute = name.partition(".")
    for path, call in all_calls():
        match call.func:
            case ast.Attribute(value=ast.Name(id=owner), attr=called) if owner == module:
                if called.startswith(attribute):
                    yield path, call


def patterns_of_msgspec() -> Iterator[str]:
    for _, call in calls("msgspec.Meta"):
        yield from (ast.literal_eval(word.value) for word in call.keywords if word.arg == "pattern")


def test_patterns_are_compiled_where_they_are_found() -> None:
    """But for those that the table of prices holds."""
    uses = {f"{path.name}: {ast.unparse(call.func)}" for path, call in calls("re.")}
    assert {use for use in uses if not use.endswith(("re.compile", "re.escape"))} == {"prices.py: re.search"}
    within_functions = [
        f"{path.name}:{node.lineno}"
        for path, tree in sources()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "compile" and ast.unparse(node) == "re.compile"
    ]
    assert not within_functions


# ------------------------------------------------------------------------------------------------- adversarial texts


def parts_of(tree: Any) -> Iterator[list[str]]:
    """For each node of a parsed pattern, in order, some texts that fit it."""
    for kind, value in tree:
        if kind in REPEATS:
            yield from parts_of(value[2])
        elif kind is _constants.SUBPATTERN:
            yield from parts_of(value[3])
        elif kind is _constants.BRANCH:
            yield ["".join(texts[0] for texts in parts_of(branch)) for branch in value[1]]
        elif kind in (_constants.LITERAL, _constants.NOT_LITERAL):
            yield [chr(value) if kind is _constants.LITERAL else "a"]
        elif kind is _constants.IN:
            yield sorted({character for entry in value for character in characters_in(entry)})[:6] or ["a"]
        elif kind is _constants.ANY:
            yield ["a"]


def branches_in(tree: Any) -> Iterator[Any]:
    """The parsed alternatives of a pattern, those within others included."""
    for kind, value in tree:
        if kind in REPEATS:
            yield from branches_in(value[2])
        elif kind is _constants.SUBPATTERN:
            yield from branches_in(value[3])
        elif kind is _constants.BRANCH:
            for branch in value[1]:
                yield branch
                yield from branches_in(branch)


def characters_in(entry: Any) -> Iterable[str]:
    kind, value = entry
    if kind is _constants.LITERAL:
        return [chr(value)]
    if kind is _constants.RANGE:
        return [chr(value[0]), chr(value[1])]
    if kind is _constants.CATEGORY:
        return ["0"] if "DIGIT" in str(value) else ["a", " "]
    return ()


def attacks(pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    """Beginnings, pieces to repeat, and ends."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    parts = [texts for texts in parts_of(tree) if texts]
    whole = "".join(texts[0] for texts in parts)
    alternatives = ["".join(texts[0] for texts in parts_of(branch)) for branch in branches_in(tree)]
    single = list(dict.fromkeys([*(text for texts in parts for text in texts if text), "a", "0", "-", " ", "\n"]))
    pairs = ("".join(pair) for pair in itertools.permutations(single[:4], 2))
    beginnings = {"", whole, "".join(texts[0] for texts in parts[:-1]), "".join(texts[0] for texts in parts[:8])}
    pieces = dict.fromkeys([*single[:12], *alternatives, whole, *pairs])
    return itertools.product(beginnings, filter(None, pieces), ("", "\n", "é\0"))


def text_of(attack: tuple[str, str, str], size: int) -> str:
    beginning, piece, end = attack
    return beginning + piece * (size // len(piece)) + end


def uses_of(pattern: re.Pattern[Any], *, is_searched: bool) -> list[Callable[[str], Any]]:
    uses = [pattern.fullmatch, pattern.search, pattern.findall] if is_searched else [pattern.fullmatch]
    return [functools.partial(_use_on_bytes, use) for use in uses] if isinstance(pattern.pattern, bytes) else uses


def _use_on_bytes(use: Callable[[bytes], Any], text: str) -> Any:
    return use(text.encode("latin-1", "replace"))


def test_time_grows_no_faster_than_the_text() -> None:
    patterns = all_patterns().values()
    assert len(patterns) > 100
    for used in patterns:
        check_time(used)


def check_time(used: Used) -> None:
    for attack in attacks(used.pattern):
        text = text_of(attack, SIZE)
        for use in uses_of(used.pattern, is_searched=used.is_searched):
            started = time.thread_time()
            use(text)
            if time.thread_time() - started >= SUSPICIOUS_SECONDS:
                # With the square of its size, text of four times the size takes sixteen times as long.
                few, many = (functools.partial(use, text_of(attack, size)) for size in (4 * SIZE, 16 * SIZE))
                assert is_in_proportion(few, many, 8), (used, attack)
