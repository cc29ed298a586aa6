"""The text of API keys."""

from __future__ import annotations

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from services.access.globs import covers, narrowed
from services.access.key_text import make_id, make_key, read_id
from tests.rows import for_each


def test_key_has_its_form_and_is_new_each_time() -> None:
    made = {make_key(make_id()).text for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"gk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", text) for text in made)
    assert make_key("A1b2C3d4E5f6").text.startswith("gk_A1b2C3d4E5f6_")
    assert read_id(make_key("A1b2C3d4E5f6").text) == "A1b2C3d4E5f6"


@given(st.integers(3, 64), st.sampled_from(string.ascii_letters + string.digits))
def test_each_typo_is_noticed(place: int, letter: str) -> None:
    text = make_key("A1b2C3d4E5f6").text
    changed = text[:place] + letter + text[place + 1 :]
    assert (read_id(changed) == "A1b2C3d4E5f6") is (changed == text)


@for_each("text", ["", "gk_", "sk-123", "gk_A1b2C3d4E5f6_", "é" * 65, " "])
def test_other_texts_are_no_keys(text: str) -> None:
    assert read_id(text) is None
    assert read_id(make_key("A1b2C3d4E5f6").text + text) is None or not text


@for_each(
    ("glob", "other", "covered"),
    [
        ("*", "gpt-4o", True),
        ("gpt-*", "gpt-4*", True),
        ("gpt-*", "gpt-*", True),
        ("gpt-4*", "gpt-*", False),
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4x", False),
        ("a*b", "a*c*b", True),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
    ],
)
def test_glob_covers_what_it_matches(glob: str, other: str, covered: bool) -> None:
    assert covers(glob, other) is covered


@for_each(
    ("project", "key", "allowed"),
    [
        ([], [], []),
        (["gpt-*"], [], ["gpt-*"]),
        ([], ["gpt-*"], ["gpt-*"]),
        (["gpt-*"], ["gpt-4o", "claude-*"], ["gpt-4o"]),
        # No globs would allow all.
        (["gpt-*"], ["claude-*"], [" "]),
    ],
)
def test_key_may_ask_models_of_its_project_only(project: list[str], key: list[str], allowed: list[str]) -> None:
    assert narrowed(project, key) == allowed
