"""Changes in JSON: values of other kinds, members that are missing or come twice, depth, and what is no JSON at all."""

from __future__ import annotations

import json
import random
from typing import Any

SECRET = "text-of-the-provider-0123456789"
"""Stands in errors of upstreams: no caller is told their words."""

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**40, -(2**63), 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", " ", "a", "0",
    "\0", "\ud800", "\udfff", "\u2028", "\U0001f600", "null", "stop", "[DONE]", SECRET, "a" * 5000, "\n\n",
    "data: x", [], {}, [None],
    [[]], [{}], {"": ""}, {"a": {"b": {}}}, ["a"] * 100, [{"index": 5}], {"type": "text"}, {"message": SECRET},
    [1, "a", None, {}],
)  # fmt: skip


def mutated(rng: random.Random, value: Any, times: int) -> Any:
    for _ in range(times):
        value = mutate_json(rng, value)
    return value


def mutate_json(rng: random.Random, value: Any) -> Any:
    """The value with one place in it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        return _mutate_member(rng, value, key)
    if isinstance(value, list) and value and rng.random() < 0.85:
        index = rng.randrange(len(value))
        changed = mutate_json(rng, value[index])
        return rng.choice(
            (
                [*value[:index], changed, *value[index + 1 :]],
                [*value[:index], changed, *value[index + 1 :]],
                [*value[:index], *value[index + 1 :]],
                [*value, *[value[index]] * rng.choice((1, 10, 300))],
                value[::-1],
            )
        )
    kind = rng.random()
    if kind < 0.1 and isinstance(value, str):
        return rng.choice(
            (value[: len(value) // 2], value * 50, value + "\ud83d", "\udc00" + value, value.upper(), value + "\0")
        )
    if kind < 0.15:
        return rng.choice(([value], {"value": value}, [value] * 3, str(value)))
    if kind < 0.2:
        return _nested(rng.choice((10, 100, 500)), value)
    return rng.choice(ODD_VALUES)


def _mutate_member(rng: random.Random, value: dict[str, Any], key: str) -> dict[str, Any]:
    kind = rng.random()
    if kind < 0.12:
        return {name: member for name, member in value.items() if name != key}
    if kind < 0.18:
        return {
            **value,
            rng.choice(
                ("error", "type", "index", "id", "usage", "choices", "content", "", "\ud800", key.upper())
            ): rng.choice(ODD_VALUES),
        }
    return {**value, key: mutate_json(rng, value[key])}


def _nested(depth: int, value: Any) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def written(rng: random.Random, value: Any) -> bytes:
    try:
        text = json.dumps(value)
    except RecursionError:
        # Nested once more than Python writes.
        return b'{"a":' * 2000
    kind = rng.random()
    if kind < 0.05:
        return rng.choice(("\ufeff", " \r\n", "[", ")]}',\n")).encode() + text.encode()
    if kind < 0.1:
        return text.encode() + rng.choice((b" ", b"\n", b"\0", b"{}", b",", b"x", b"\xff"))
    if kind < 0.13:
        return text.encode(rng.choice(("utf-16", "utf-32-le", "utf-7")))
    if kind < 0.16:
        return text.replace(":", ": " + " " * 500, 3).encode()
    if kind < 0.18:
        depth = rng.choice((100, 1000, 5000, 100_000))
        return b'{"choices":' + rng.choice((b"[", b'{"a":')) * depth
    if kind < 0.2:
        return (
            text[:-1].encode()
            + b',"x":'
            + rng.choice((b"1" * 5000, b"-", b"1e99999", b"01", b"NaN", b'"\xff"', b'"\\ud800"', b'"\n"'))
            + b"}"
        )
    return text.encode()
