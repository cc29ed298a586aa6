"""OrderedNames in their order, and the nearest ones to a name that is none."""

from __future__ import annotations

import random
import string
import time

import pytest

from services.models.validation.fields import MAX_SUGGESTIONS, shorten, suggest
from services.shared.ordered_names import OrderedNames
from tests.built_in_models import BUILT_IN
from tests.rows import for_each

RANDOM = random.Random(7)


def name_of(letters: str, length: int = 128) -> str:
    return "".join(RANDOM.choices(letters, k=length))


OTHERS = OrderedNames(name_of(string.ascii_lowercase, RANDOM.randint(3, 40)) for _ in range(5000))


def test_names_are_ordered_after_a_name() -> None:
    names = OrderedNames(["b", "a", "B", "c", "a"])
    names.add("aa")
    names.remove("b")
    assert list(names) == ["B", "a", "aa", "c"]
    assert list(names.after(None)) == ["B", "a", "aa", "c"]
    assert list(names.after("a")) == ["aa", "c"]
    assert list(names.after("b")) == ["c"]
    assert list(names.after("z")) == []


def test_removed_name_is_not_suggested() -> None:
    names = OrderedNames(["support/answer"])
    assert suggest("support/anser", names) == "; did you mean support/answer?"
    names.remove("support/answer")
    assert suggest("support/anser", names) == ""


@for_each(
    ("wrong", "meant"),
    [
        ("gpt4o", "gpt-4o"),
        ("GPT-4O", "gpt-4o"),
        ("claud-3-5-sonnet", "claude-3-5-sonnet"),
        ("xlaude-3-5-haiku", "claude-3-5-haiku"),
        ("claude-haiku-3-5", "claude-3-5-haiku"),
        ("claude-3.5-sonnet", "claude-3-5-sonnet"),
        ("calude-opus-5", "claude-opus-5"),
    ],
)
def test_typo_is_corrected_among_thousands_of_names(wrong: str, meant: str) -> None:
    hint = suggest(wrong, OTHERS, OrderedNames(BUILT_IN))
    assert meant in hint.removesuffix("?").split("did you mean ")[1].split(", ")


@for_each("name", ["", "x", "llama-3", "qwen", "unheard-of", "\u202e" * 300])
def test_nothing_is_suggested_for_a_dissimilar_name(name: str) -> None:
    assert suggest(name, OrderedNames(BUILT_IN), OrderedNames()) == ""


ALIKE = {
    "few letters": lambda number: "a" + name_of("ab", 127),
    "one beginning": lambda number: "a" * 120 + f"{number:08}",
    "one end": lambda number: f"{number:08}" + "a" * 120,
    "one letter": lambda number: "a" * (number % 128 + 1),
    "any": lambda number: name_of(string.ascii_lowercase, RANDOM.randint(1, 128)),
}


@for_each("kind", ALIKE)
def test_cost_of_a_suggestion_does_not_grow_with_the_names(kind: str) -> None:
    """CPU of 20 wrong names, with room of a factor of ten; to compare with each would take a hundred times that."""
    names = OrderedNames(ALIKE[kind](number) for number in range(5000))
    asked = [ALIKE[kind](number) for number in range(20)]
    started = time.thread_time()
    for name in asked:
        assert suggest(name, names, names).count(",") < MAX_SUGGESTIONS
    assert time.thread_time() - started < 20 * 0.005 * 10


def test_only_names_that_may_be_similar_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    around = OrderedNames.similar_to

    def spy(names: OrderedNames, name: str) -> list[str]:
        found = list(around(names, name))
        looked_at.extend(found)
        return found

    monkeypatch.setattr(OrderedNames, "similar_to", spy)
    suggest("x" * 128, OrderedNames(f"{'x' * 100}{number:05}" for number in range(10_000)))
    assert 0 < len(looked_at) <= 4 * 64


def test_name_is_quoted_without_invisible_characters() -> None:
    assert shorten("gpt-\u202e\x9b\n\u200b\u2028\ufeff\U000e0041x") == "gpt-???????x"
    assert shorten("Zürich 中文") == "Zürich 中文"
    assert shorten("y" * 1000) == "y" * 128
