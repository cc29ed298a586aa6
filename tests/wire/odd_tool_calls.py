"""Tool calls as servers in the wild stream them: each the same two calls, of `find` and of `keep`."""

from __future__ import annotations

from typing import Any

MADE = "made"
"""Stands for an id of the platform's own, which a call gets that has none, or one that is taken."""


def function(name: str | None, arguments: str) -> dict[str, Any]:
    return {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}


TWO_CALLS = [("find", '{"a": 1}'), ("keep", '{"b": 2}')]

ODD_CALL_DELTAS: dict[str, list[dict[str, Any]]] = {
    "interleaved": [
        {"index": 0, "id": "a", "function": function("find", "")},
        {"index": 1, "id": "b", "function": function("keep", '{"b"')},
        {"index": 0, "function": function(None, '{"a"')},
        {"index": 1, "function": function(None, ": 2}")},
        {"index": 0, "function": function(None, ": 1}")},
    ],
    "all with index 0": [
        {"index": 0, "id": "a", "function": function("find", "")},
        {"index": 0, "function": function(None, '{"a": 1}')},
        {"index": 0, "id": "b", "function": function("keep", "")},
        {"index": 0, "function": function(None, '{"b": 2}')},
    ],
    "all with index 0, interleaved": [
        {"index": 0, "id": "a", "function": function("find", '{"a"')},
        {"index": 0, "id": "b", "function": function("keep", '{"b"')},
        {"index": 0, "id": "a", "function": function(None, ": 1}")},
        {"index": 0, "id": "b", "function": function(None, ": 2}")},
    ],
    "without index": [
        {"id": "a", "function": function("find", '{"a": ')},
        {"function": function(None, "1}")},
        {"id": "b", "function": function("keep", '{"b": 2}')},
    ],
    "without ids": [
        {"index": 0, "function": function("find", '{"a": 1}')},
        {"index": 1, "function": function("keep", '{"b": 2}')},
    ],
    "without index and ids": [{"function": function("find", '{"a": 1}')}, {"function": function("keep", '{"b": 2}')}],
    "with empty ids, all with index 0": [
        {"index": 0, "id": "", "function": function("find", '{"a": 1}')},
        {"index": 0, "id": "", "function": function("keep", '{"b": 2}')},
    ],
    "with one id for all": [
        {"index": 0, "id": "a", "function": function("find", '{"a": 1}')},
        {"index": 1, "id": "a", "function": function("keep", '{"b": 2}')},
    ],
    "with one id for all, without index": [
        {"id": "a", "function": function("find", '{"a": 1}')},
        {"id": "a", "function": function("keep", '{"b": 2}')},
    ],
    "with id and name on every piece": [
        {"index": 0, "id": "a", "function": function("find", '{"a"')},
        {"index": 0, "id": "a", "function": function("find", ": 1}")},
        {"index": 0, "id": "a", "function": function("find", "")},
        {"index": 1, "id": "b", "function": function("keep", '{"b": 2}')},
    ],
    "with the name after the id": [
        {"index": 0, "id": "a", "function": {}},
        {"index": 0, "function": function("find", '{"a": 1}')},
        {"index": 1, "id": "b", "function": function("keep", '{"b": 2}')},
    ],
    "with empty and null members": [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "find", "arguments": None}},
        {"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": '{"a": 1}'}},
        {"index": 1, "id": "b", "function": function("keep", "")},
        {"index": 1, "id": "", "function": {"name": "", "arguments": '{"b": 2}'}},
    ],
    "with names in pieces": [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "fi"}},
        {"index": 0, "function": {"name": "nd"}},
        {"index": 0, "function": function(None, '{"a": 1}')},
        {"index": 1, "id": "b", "type": "function", "function": {"name": "ke"}},
        {"index": 1, "id": "b", "type": "function", "function": function("ep", '{"b": 2}')},
    ],
    "with names in pieces, interleaved": [
        {"index": 0, "id": "a", "function": {"name": "fi"}},
        {"index": 1, "id": "b", "function": {"name": "ke"}},
        {"index": 0, "function": {"name": "nd"}},
        {"index": 1, "function": function("ep", '{"b": 2}')},
        {"index": 0, "function": function(None, '{"a": 1}')},
    ],
    "with arguments before the name": [
        {"index": 0, "id": "a", "function": function(None, '{"a"')},
        {"index": 0, "function": function("find", ": 1")},
        {"index": 1, "id": "b", "function": function(None, '{"b": 2}')},
        {"index": 0, "function": function(None, "}")},
        {"index": 1, "function": {"name": "keep"}},
    ],
    "with all arguments before the names": [
        {"index": 0, "id": "a", "function": function(None, '{"a": 1}')},
        {"index": 1, "id": "b", "function": function(None, '{"b": 2}')},
        {"index": 1, "function": {"name": "keep"}},
        {"index": 0, "function": {"name": "find"}},
    ],
    "with arguments before the name, without index and ids": [
        {"function": function(None, '{"a": 1}')},
        {"function": {"name": "find"}},
        {"function": function(None, '{"b": 2}')},
        {"function": {"name": "keep"}},
    ],
    "with arguments before the name, all with index 0": [
        {"index": 0, "id": "a", "function": function(None, '{"a": 1}')},
        {"index": 0, "id": "a", "function": {"name": "find"}},
        {"index": 0, "id": "b", "function": function(None, '{"b": 2}')},
        {"index": 0, "id": "b", "function": {"name": "keep"}},
    ],
    "with all of a call once more": [
        {"index": 0, "id": "a", "function": function("find", '{"a": 1}')},
        {"index": 1, "id": "b", "function": function("keep", '{"b"')},
        {"index": 1, "function": function(None, ": 2}")},
        {"index": 0, "id": "a", "function": function("find", '{"a": 1}')},
        {"index": 1, "id": "b", "function": function("keep", '{"b": 2}')},
    ],
    "with an index that is text": [
        {"index": "0", "id": "a", "function": function("find", '{"a"')},
        {"index": "1", "id": "b", "function": function("keep", '{"b"')},
        {"index": "0", "function": function(None, ": 1}")},
        {"index": "1", "function": function(None, ": 2}")},
    ],
    "with nothing around name and arguments": [
        {"index": 0, "id": "a", "name": "find", "arguments": '{"a": '},
        {"index": 0, "arguments": "1}"},
        {"index": 1, "id": "b", "name": "keep", "arguments": '{"b": 2}'},
    ],
    "with all arguments so far in every piece": [
        {"index": 0, "id": "a", "function": function("find", "{")},
        {"index": 0, "function": function(None, '{"a"')},
        {"index": 0, "function": function(None, '{"a": 1}')},
        {"index": 0, "function": function(None, '{"a": 1}')},
        {"index": 1, "id": "b", "function": function("keep", '{"b": ')},
        {"index": 1, "id": "b", "function": function("keep", '{"b": 2')},
        {"index": 1, "id": "b", "function": function("keep", '{"b": 2}')},
    ],
    "with nothing before the arguments": [
        {"index": 0, "id": "a", "function": function("find", "{}")},
        {"index": 0, "function": function(None, '{"a"')},
        {"index": 0, "function": function(None, ": 1}")},
        {"index": 1, "id": "b", "function": function("keep", "null")},
        {"index": 1, "function": function(None, '{"b": 2}')},
    ],
    "with another id in every piece": [
        {"index": 0, "id": "a", "type": "function", "function": function("find", "")},
        {"index": 0, "id": "a1", "type": "function", "function": function(None, '{"a"')},
        {"index": 0, "id": "a2", "type": "function", "function": function(None, ": 1}")},
        {"index": 0, "id": "a3", "type": "function", "function": function(None, "")},
        {"index": 1, "id": "b", "type": "function", "function": function("keep", '{"b"')},
        {"index": 1, "id": "b1", "type": "function", "function": function("keep", ": 2}")},
    ],
    "with all of a call once more, written otherwise": [
        {"index": 0, "id": "a", "function": function("find", '{"a"')},
        {"index": 0, "function": function(None, ": 1}")},
        {"index": 0, "id": "a", "function": function("find", '{"a":1}')},
        {"index": 1, "id": "b", "function": function("keep", '{"b": 2}')},
        {"index": 1, "function": function(None, '{"b":2}')},
    ],
    "with other names for the arguments": [
        {"index": 0, "id": "a", "function": {"name": "find", "parameters": '{"a": 1}'}},
        {"index": 1, "id": "b", "function": {"name": "keep", "input": '{"b": 2}'}},
    ],
}

ODD_CALL_IDS = {
    "without ids": [MADE, MADE],
    "without index and ids": [MADE, MADE],
    "with empty ids, all with index 0": [MADE, MADE],
    "with one id for all": ["a", MADE],
    "with one id for all, without index": ["a", MADE],
    "with arguments before the name, without index and ids": [MADE, MADE],
}
"""Of calls that do not get `a` and `b`, which the others have of their servers."""
