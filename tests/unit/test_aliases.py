"""MODELS_ALIASES."""

from __future__ import annotations

import pytest

from services.models.catalog.vendor_models import VendorModels
from services.models.routing.aliases import by_model, read_aliases
from services.shared.errors import StartupError
from tests.rows import for_each


def test_aliases_are_read_with_spaces_and_a_last_comma() -> None:
    text = " fast = gpt-4o-mini ,smart=anthropic/claude-opus-5-5,"
    assert read_aliases(text, VendorModels()) == {"fast": "gpt-4o-mini", "smart": "anthropic/claude-opus-5-5"}
    assert read_aliases("", VendorModels()) == {}


@for_each("text", ["fast", "fast=", "=gpt-4o", "fast gpt-4o", "a=b=c d", f"{'x' * 300}=gpt-4o"])
def test_entry_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(StartupError, match="MODELS_ALIASES: each entry must be alias=model"):
        read_aliases(text, VendorModels())


@for_each(
    ("text", "problem"),
    [
        ("fast=gpt-4o,fast=gpt-4o-mini", "fast is there twice"),
        ("a=b,b=gpt-4o", "a stands for b, which is an alias itself"),
        ("a=a", "a stands for a"),
        ("openai/x=gpt-4o", "openai/x would hide a model of that provider"),
    ],
)
def test_aliases_that_cannot_be_meant_stop_the_start(text: str, problem: str) -> None:
    with pytest.raises(StartupError, match=problem):
        read_aliases(text, VendorModels())


def test_aliases_of_a_model_are_sorted() -> None:
    aliases = {"z": "gpt-4o", "b": "gpt-5.2", "a": "gpt-4o"}
    assert by_model(aliases) == {"gpt-4o": ["a", "z"], "gpt-5.2": ["b"]}
