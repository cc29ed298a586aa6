"""Globs: names in which `*` stands for any characters, and nothing else for any but itself."""

from __future__ import annotations


def matches_glob(glob: str, name: str) -> bool:
    """Whether a name matches a glob. Takes time by the lengths of both, whatever they are."""
    first, *others = glob.split("*")
    if not others:
        return name == first
    last, place = others.pop(), len(first)
    end = len(name) - len(last)
    if end < place or not name.startswith(first) or not name.endswith(last):
        return False
    for piece in others:
        found = name.find(piece, place, end)
        if found < 0:
            return False
        place = found + len(piece)
    return True
