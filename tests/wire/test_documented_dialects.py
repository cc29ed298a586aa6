"""The pages that are written by hand for each dialect have every dialect that is under the contract."""

from __future__ import annotations

from docs import answer_features
from docs.dropped_members import dropped_members
from tests.wire.adapters import ADAPTERS

TITLES = {adapter.speech.title for adapter in ADAPTERS}


def test_dropped_members_are_known_of_every_dialect() -> None:
    assert {entry.dialect for entry in dropped_members()} == TITLES


def test_answers_as_servers_send_them_are_read_in_every_dialect() -> None:
    assert set(answer_features.COLUMNS) == TITLES
