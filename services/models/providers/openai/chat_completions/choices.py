"""Several choices, of which the first is the answer. A notice names the others, which are never mixed into it.

The platform asks for one, and takes no option that asks for more; some servers give several all the same. Others number
the pieces of the only one (text-generation-inference #1648, microsoft/foundry-local #263).
"""

from __future__ import annotations

import itertools
from typing import Any

from services.models.providers.answers.answer import Answer
from services.models.providers.errors.faults import Fault
from services.shared import json_text

MAX_HELD_BYTES = 16 * 1024 * 1024
"""Bytes of pieces whose choice is not known yet."""
PIECE_BYTES = 128
"""Memory of a piece beside its own bytes, about."""
BEHIND_ALL = 2**40
"""A number above those of all choices."""

Choice = dict[str, Any]


def first_choice(completion: dict[str, Any]) -> Choice:
    """The only choice, or an empty one: usage comes in a chunk without choices, and some servers send null."""
    choices = completion.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return {}


def sole_choice(completion: dict[str, Any], data: bytes, answer: Answer) -> tuple[Choice, bytes]:
    """The first choice of a whole answer, and the JSON in which it is the only one, as `data` is in nearly all."""
    if len(json_text.items_of(completion.get("choices"))) < 2:
        return first_choice(completion), data
    choices = _choices_in(completion)
    if len(choices) < 2:
        return first_choice(completion), data
    warn_of_others(answer)
    return _alone(choices, min(choices), data)


def warn_of_others(answer: Answer) -> None:
    answer.warn("CHOICES_DROPPED", "the provider gave several answers; only the first was taken")


class OtherChoices:
    """Pieces of a stream whose number is that of another choice than the first. They are held until the first choice
    continues, which shows that there are several; otherwise they may all belong to the answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._held: list[bytes] = []
        self._numbers: list[int] = []
        self._are_dropped = False

    def __bool__(self) -> bool:
        """Whether anything is held."""
        return bool(self._held)

    def sift(self, chunk: dict[str, Any], data: bytes, *, is_finished: bool) -> tuple[Choice, bytes]:
        """The pieces of the first choice in the chunk, empty if there are none, and the JSON in which it is the only
        one. `is_finished` says that it has ended."""
        choices = _choices_in(chunk)
        others = sorted(number for number in choices if number)
        if others and (0 in choices or is_finished):
            self._drop()
        if 0 in choices:
            if self._held:
                self._drop()
            return _alone(choices, 0, data)
        if others and not self._are_dropped:
            self._hold(others[0], _alone(choices, others[0], data)[1])
        return {}, data

    def take_back(self, *, has_first: bool) -> list[bytes]:
        """The held pieces that belong to the answer, at the end of a stream: all of them if their numbers are
        consecutive, else those of the lowest number. `has_first` says that there were pieces of the first choice."""
        held, numbers = self._held, self._numbers
        self._held, self._numbers = [], []
        in_order = itertools.pairwise([0, *numbers] if has_first else numbers)
        if all(later == earlier + 1 for earlier, later in in_order):
            return held
        if has_first or len(set(numbers)) > 1:
            warn_of_others(self._answer)
        return [] if has_first else [data for number, data in zip(numbers, held, strict=True) if number == min(numbers)]

    def _hold(self, number: int, data: bytes) -> None:
        self._answer.waiting_bytes += len(data) + PIECE_BYTES
        if self._answer.waiting_bytes > MAX_HELD_BYTES:
            raise Fault("OUTPUT_LIMIT")
        self._held.append(data)
        self._numbers.append(number)

    def _drop(self) -> None:
        self._are_dropped = True
        self._answer.waiting_bytes -= sum(len(data) + PIECE_BYTES for data in self._held)
        self._held.clear()
        self._numbers.clear()
        warn_of_others(self._answer)


def _choices_in(completion: dict[str, Any]) -> dict[int, Choice]:
    """The choices by their numbers: their places where they have none, and behind all others where it is taken."""
    choices: dict[int, Choice] = {}
    for place, choice in enumerate(json_text.items_of(completion.get("choices"))):
        if isinstance(choice, dict):
            number = json_text.count_of(choice.get("index"))
            number = place if number is None else number
            choices[BEHIND_ALL + place if number in choices else number] = choice
    return choices


def _alone(choices: dict[int, Choice], number: int, data: bytes) -> tuple[Choice, bytes]:
    """One of the choices, and the JSON in which it is the only one; `data` has them all."""
    choice = choices[number]
    return choice, data if len(choices) == 1 else json_text.encode_any({"choices": [choice]})
