"""Random JSON Schemas that can be made in several sizes: the same choices, more of everything that was chosen."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Recipe = Callable[[int], str]
"""Makes the JSON of a schema, or of another value, of so many times its size."""

MAX_LEVELS = 62
MAX_REPEATED = 4000
_SQUARE = str.maketrans("{}", "[]")
_OTHERS = re.compile(r"[^][]+")

MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SINGLES = (
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
)
VALUES = ("enum", "const", "default", "examples", "x-ours", "description", "title", "pattern", "format", "type", "$ref")
VALUES += (
    "required",
    "minItems",
    "maxItems",
    "minLength",
    "uniqueItems",
    "$schema",
    "$comment",
    "\\u0074ype",
    "$id",
    "",
)

_LEAVES = r"""
{"type":"string"} true false {} {"type":"object"} {"properties":{}} null 5 "text" []
{"type":["object","null"]} {"enum":["a",null]} {"const":1e400} {"type":"string","default":"x"}
{"$ref":"#"} {"$ref":"#/$defs/d0"} {"$ref":"#/$defs/d1","description":"b"} {"$ref":"#/definitions/d2"}
{"type":"array","minItems":2} {"type":"number","minimum":0.10} {"allOf":[{}]} {"description":"\"\\"}
{"type":"object","additionalProperties":{"type":"string"}} {"type":"string","pattern":"(?=a)","format":"uri"}
{"allOf":[{"$ref":"#/$defs/d0"},{"$ref":"#/$defs/d1"}]}
{"allOf":[{"$ref":"#/$defs/d0"},{"properties":{"own":{}},"required":["own"]}],"title":"t"}
"""
LEAVES = _LEAVES.split()
PIECES = ('\\"', "\\\\", "a", "\\u0000", "\u00fc", "\U0001f600", "\\n", "]", "}", " ", "(?=", "\\/")


def schema_recipe(rng: random.Random) -> Recipe:
    """A schema: an object in which a few keywords are nested in each other, with definitions to refer to."""
    levels = rng.randint(1, 4)
    inner, chain = _members(rng, levels), rng.random() < 0.5 and _chain(rng, 1)
    definitions = [_definition(rng, number) for number in range(rng.randint(0, 3))]
    places = _places(rng)

    def make(scale: int) -> str:
        members = [inner(scale), places(scale) if definitions else "", f'"items":{chain(scale)}' if chain else ""]
        tables = ",".join(f'"d{number}":{make_one(scale)}' for number, make_one in enumerate(definitions))
        return "{" + ",".join([*filter(None, members), f'"$defs":{{{tables}}}']) + "}"

    return make


def _definition(rng: random.Random, number: int) -> Recipe:
    """Mostly an object that can be joined to others, and may refer to itself."""
    if rng.random() < 0.3:
        return _schema(rng, 2)
    width, child, again = rng.choice((1, 3, 20)), _schema(rng, 1), rng.choice(("", "", ',"again":' + LEAVES[-2]))

    def make(scale: int) -> str:
        text = child(1)
        properties = ",".join(f'"p{number}-{index}":{text}' for index in range(_times(width, text) * scale))
        return f'{{"type":"object","properties":{{{properties}{again}}}}}'

    return make


def _places(rng: random.Random) -> Recipe:
    """Where the definitions are joined: many times the same, or each a little different."""
    count, differs = rng.choice((0, 1, 5, 50)), rng.random() < 0.5
    keyword, joined = rng.choice(("properties", "anyOf", "items")), LEAVES[-2][:-1]

    def make(scale: int) -> str:
        made = [f'{joined},"title":"{index if differs else 0}"}}' for index in range(count * scale)]
        if keyword == "properties":
            return '"properties":{' + ",".join(f'"at{index}":{place}' for index, place in enumerate(made)) + "}"
        return f'"{keyword}":[{",".join(made)}]'

    return make


def _schema(rng: random.Random, levels: int) -> Recipe:
    kind = rng.random()
    if levels <= 0 or kind < 0.15:
        leaf = rng.choice(LEAVES)
        return lambda scale: leaf
    if kind < 0.5:
        return _chain(rng, levels)
    inner = _members(rng, levels)
    return lambda scale: "{" + inner(scale) + "}"


def _members(rng: random.Random, levels: int) -> Recipe:
    members = [_member(rng, levels) for _ in range(rng.randint(1, 4))]
    blank = rng.choice(("", "", " ", "\n\t"))
    return lambda scale: ("," + blank).join(make(scale) for make in members)


def _member(rng: random.Random, levels: int) -> Recipe:
    kind, child = rng.random(), _schema(rng, levels - 1)
    if kind < 0.3:
        keyword, names = rng.choice(MAPS), _names(rng)
        return lambda scale: (
            f'"{keyword}":{{' + ",".join(f"{name}:{text}" for name, text in names(scale, child(1))) + "}"
        )
    if kind < 0.6:
        keyword, width = rng.choice(LISTS), rng.choice((0, 1, 2, 2, 10))
        return lambda scale: f'"{keyword}":[{_listed(child(1), width, scale)}]'
    if kind < 0.8:
        keyword = rng.choice(SINGLES)
        return lambda scale: f'"{keyword}":{child(scale)}'
    keyword, value = rng.choice(VALUES), _value(rng)
    return lambda scale: f'"{keyword}":{value(scale)}'


def _chain(rng: random.Random, levels: int) -> Recipe:
    """Keywords nested straight in each other, some levels of JSON deep."""
    steps = [rng.choice(rng.choice((MAPS, LISTS, LISTS, SINGLES))) for _ in range(rng.choice((1, 1, 2, 3)))]
    beside = rng.choice(("", "", ',"type":"object"', ',"anyOf":[]', ',"maxLength":1', ',"description":"\\""'))
    depth, child = rng.choice((3, 8, 15)), _schema(rng, levels - 1)

    def make(scale: int) -> str:
        text = child(1)
        room = MAX_LEVELS - 2 * levels - _levels_of(text)
        for index in range(min(depth * scale, room // 2)):
            text = _wrapped(steps[index % len(steps)], text)[:-1] + beside + "}"
        return text

    return make


def _wrapped(keyword: str, text: str) -> str:
    if keyword in MAPS:
        return f'{{"{keyword}":{{"a":{text}}}}}'
    return f'{{"{keyword}":[{text},{{}}]}}' if keyword in LISTS else f'{{"{keyword}":{text}}}'


def _names(rng: random.Random) -> Callable[[int, str], list[tuple[str, str]]]:
    count, piece = rng.choice((0, 1, 3, 30)), rng.choice(PIECES)
    length = rng.choice((1, 1, 8, 500)) if count < 30 else 1

    def make(scale: int, text: str) -> list[tuple[str, str]]:
        end = piece * length * (scale if length == 500 else 1)
        return [(f'"n{index}{end}"', text) for index in range(_times(count, text) * scale)]

    return make


def _value(rng: random.Random) -> Recipe:
    """Anything: a text or a list that grows, or a value of a wrong type."""
    kind, piece = rng.random(), rng.choice(PIECES)
    length, width = rng.choice((1, 30, 1000)), rng.choice((1, 30, 300))
    if kind < 0.4:
        return lambda scale: f'"{piece * length * scale}"'
    item = rng.choice(("1", '"a"', "[]", "{}", f'"{piece}"', "null", '"object"', "1e400", "-" + "1" * 5000))
    if kind < 0.8:
        return lambda scale: f"[{_listed(item, width, scale)}]"
    return lambda scale: item


def _listed(text: str, width: int, scale: int) -> str:
    return ",".join([text] * _times(width, text) * scale)


def _times(width: int, text: str) -> int:
    """How often a text is repeated, so that what nests stays small."""
    return min(width, 1 + MAX_REPEATED // len(text))


def _levels_of(text: str) -> int:
    """About how deep it is nested; brackets in texts count too, which does no harm."""
    brackets, levels = text.translate(_SQUARE), 0
    brackets = _OTHERS.sub("", brackets)
    while brackets and levels <= MAX_LEVELS:
        brackets, levels = brackets.replace("[]", ""), levels + 1
    return levels
