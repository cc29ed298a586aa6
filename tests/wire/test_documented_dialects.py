"""Every dialect is under the contract, and in the pages that are written by hand for each."""

from __future__ import annotations

from docs import answer_features
from docs.dropped_members import dropped_members
from services.models.catalog.vendors import ADAPTER_TYPES
from tests.wire.adapters import ADAPTERS

LOCALHOST = "http://localhost"
TITLES = {adapter.speech.title for adapter in ADAPTERS}


def test_every_adapter_type_is_under_the_contract() -> None:
    dialects = [adapter.target(LOCALHOST).dialect for adapter in ADAPTERS]
    for adapter_type in ADAPTER_TYPES.values():
        assert adapter_type.dialect in dialects, adapter_type.name


def test_dropped_members_are_known_of_every_dialect() -> None:
    assert {entry.dialect for entry in dropped_members()} == TITLES


def test_answers_as_servers_send_them_are_read_in_every_dialect() -> None:
    assert set(answer_features.COLUMNS) == TITLES
