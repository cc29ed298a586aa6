"""Which names strangers may take."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from proto.models_pb2 import RegisteredModel
from services.models.catalog.listings import ListedModel
from services.models.catalog.vendor_models import VendorModels
from services.models.catalog.vendors import openai
from services.models.custom_models.name_rules import NameRules, Overrides
from services.shared.errors import AlreadyExists, PreconditionFailed
from tests.rows import for_each

ALIASES = {"fast": "gpt-4o-mini", "Smart": "team-large"}


def rules(overrides: Overrides | None = None) -> NameRules:
    vendor_models = VendorModels()
    vendor_models.learn(openai.VENDOR, [ListedModel("Whisper-Large")], datetime.date(2026, 11, 22))
    return NameRules(vendor_models, ALIASES, overrides)


def model(name: str = "mine", *, untrusted: bool = True, **fields: Any) -> RegisteredModel:
    return RegisteredModel(name=name, untrusted=untrusted, **fields)


RESERVED = [
    "gpt-4o",
    "GPT-4o",
    "gpt-4O",
    "gpt-99-that-nobody-lists",
    "ft:gpt-4o:me::1",
    "o7-mini",
    "chatgpt-latest",
    "claude-3-5-haiku",
    "Claude-9",
    "openai/anything",
    "OpenAI/gpt-4o",
    "anthropic/x",
    "whisper-large",
    "Whisper-Large",
    "fast",
    "FAST",
    "smart",
    "team-large",
    "Team-Large",
]


@for_each("name", RESERVED)
def test_name_that_could_be_taken_for_anothers_is_reserved(name: str) -> None:
    with pytest.raises(PreconditionFailed) as raised:
        rules().check(model(name), replaces=False)
    assert raised.value.reason == "NAME_RESERVED"
    assert raised.value.metadata == {"name": name, "setting": "MODELS_OVERRIDES"}
    assert "MODELS_OVERRIDES" in raised.value.message
    with pytest.raises((PreconditionFailed, AlreadyExists)):
        rules().check(model(aliases=["free", name]), replaces=False)


@for_each("name", ["mine", "my-gpt-4o", "team/llama", "openai", "o", "gpt", "vllm/llama", "fast-llama"])
def test_other_names_are_free(name: str) -> None:
    rules().check(model(name, aliases=[f"also-{name}"]), replaces=False)


@for_each(
    ("overrides", "untrusted", "may"),
    [
        (None, False, True),
        (None, True, False),
        ("allow", False, True),
        ("allow", True, True),
        ("refuse", False, False),
        ("refuse", True, False),
    ],
)
def test_operators_setting_says_who_may_take_names_away(overrides: Overrides, untrusted: bool, may: bool) -> None:
    asked = rules(overrides)
    assert asked.may_override(untrusted) is may
    for name, replaces, reason in (("gpt-4o", False, "NAME_RESERVED"), ("mine", True, "NAME_TAKEN")):
        if may:
            asked.check(model(name, untrusted=untrusted), replaces=replaces)
            continue
        with pytest.raises(PreconditionFailed) as raised:
            asked.check(model(name, untrusted=untrusted), replaces=replaces)
        assert raised.value.reason == reason


@for_each("name", ["gpt-4o", "openai/x", "fast", "Whisper-Large"])
def test_strangers_registration_stands_back_wherever_its_name_leads_to_something_else(name: str) -> None:
    assert not rules().serves(model(name), name)
    assert not rules("refuse").serves(model("mine", aliases=[name]), name)
    assert rules("allow").serves(model(name), name)
    assert rules("refuse").serves(model(name, untrusted=False), name)
    assert rules().serves(model("mine", aliases=[name]), "mine")
