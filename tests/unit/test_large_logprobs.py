"""Logprobs are cut out of documents that are too many values with them, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.models.providers.answers.large_logprobs import read_large_object
from services.models.providers.errors.faults import Fault
from services.shared import large_json
from tests.rows import for_each

TOKEN = {"token": 'a"]}\\', "logprob": -1, "bytes": [1, 2], "top_logprobs": [{"token": "{[", "bytes": None}] * 20}
MANY = [TOKEN] * 300
TALK = '"logprobs": [{"token": 1}]'


@pytest.fixture(autouse=True)
def few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """MANY are too many values for a document."""
    monkeypatch.setattr(large_json, "MAX_VALUES", 5000)


def wrapped(name: str, tokens: Any) -> dict[str, Any]:
    return {"text": TALK, "n": [1, {"b": [2]}], "logprobs": tokens if name == "logprobs" else {name: tokens}}


@for_each(("name", "separators"), [("logprobs", (",", ":")), ("content", (", ", ": ")), ("refusal", (" ,\n", " : "))])
def test_tokens_are_cut_out_and_the_rest_is_read(name: str, separators: tuple[str, str]) -> None:
    data = json.dumps(wrapped(name, MANY), separators=separators).encode()
    read, light = read_large_object(data)
    assert read == json.loads(light) == wrapped(name, [])


def test_few_are_left_where_they_are() -> None:
    data = json.dumps(wrapped("content", MANY[:10])).encode()
    assert read_large_object(data) == (json.loads(data), data)


@for_each(
    "other",
    [
        {"logprobs": [*MANY, 1]},
        {"logprobs": [*MANY, {"token": "x", "deep": [[[1]]]}]},
        {"tokens": MANY},
        {"content": [{"text": "x"}] * 10_000},
    ],
)
def test_what_is_something_else_is_too_much(other: dict[str, Any]) -> None:
    with pytest.raises(Fault):
        read_large_object(json.dumps(other).encode())


@for_each("cut", [20, 100_000, -1, -3])
def test_what_is_cut_off_is_no_document(cut: int) -> None:
    with pytest.raises(Fault):
        read_large_object(json.dumps(wrapped("logprobs", MANY)).encode()[:cut])
