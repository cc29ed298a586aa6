"""What is known of the vendors' models."""

from __future__ import annotations

import datetime

import pytest

from proto import models_pb2
from services.models.catalogue import (
    AS_OF,
    BUILT_IN_MODELS,
    COMPATIBLE_FACTS,
    PENALTIES,
    SAMPLING,
    WARNING_DAYS,
    BuiltInModel,
    facts_for,
    vendor_of,
)

DAY = datetime.timedelta(days=1)

every_built_in = pytest.mark.parametrize("model", BUILT_IN_MODELS.values(), ids=BUILT_IN_MODELS)


def test_built_in_names_never_change() -> None:
    assert {name: model.vendor for name, model in BUILT_IN_MODELS.items()} == {
        "gpt-4o": "openai",
        "gpt-4o-mini": "openai",
        "claude-3-5-sonnet": "anthropic",
        "claude-3-5-haiku": "anthropic",
    }


@every_built_in
def test_model_is_served_until_its_shutdown_and_then_replaced(model: BuiltInModel) -> None:
    assert model.served_id(model.shutdown - DAY) == model.upstream
    assert model.served_id(model.shutdown) == model.replacement
    assert not model.is_retired(model.shutdown - DAY)
    assert model.is_retired(model.shutdown)


@every_built_in
def test_caller_is_warned_before_the_shutdown_and_told_after(model: BuiltInModel) -> None:
    first_warning = model.shutdown - datetime.timedelta(days=WARNING_DAYS)
    assert model.warnings(first_warning - DAY) == []
    for day, code in [(first_warning, "MODEL_RETIRING"), (model.shutdown - DAY, "MODEL_RETIRING")]:
        (warning,) = model.warnings(day)
        assert (warning.code, warning.field) == (code, "model")
        assert str(model.shutdown) in warning.message
        assert model.replacement in warning.message
    (told,) = model.warnings(model.shutdown)
    assert (told.code, told.field) == ("MODEL_RETIRED", "model")
    assert model.replacement in told.message


@every_built_in
def test_capabilities_tell_the_lifecycle(model: BuiltInModel) -> None:
    before = model.capabilities(model.shutdown - DAY)
    after = model.capabilities(model.shutdown)
    assert before.lifecycle.state == models_pb2.LIFECYCLE_STATE_DEPRECATED
    assert after.lifecycle.state == models_pb2.LIFECYCLE_STATE_RETIRED
    assert after.lifecycle.shutdown_date == model.shutdown.isoformat()
    assert after.lifecycle.replacement == model.replacement
    assert (after.source, after.as_of) == ("catalogue", AS_OF)
    assert after.supports_streaming


@every_built_in
def test_capabilities_name_what_the_model_that_serves_does_not_take(model: BuiltInModel) -> None:
    for day in (model.shutdown - DAY, model.shutdown):
        served = facts_for(model.vendor, model.served_id(day))
        assert set(model.capabilities(day).unsupported_parameters) == served.unsupported


@every_built_in
def test_replacement_is_of_the_same_vendor_and_no_built_in_name(model: BuiltInModel) -> None:
    assert vendor_of(model.replacement) == model.vendor
    assert model.replacement not in BUILT_IN_MODELS


def test_unsupported_parameters_are_fields_of_the_config() -> None:
    names = set(models_pb2.ChatConfig.DESCRIPTOR.fields_by_name)
    models = [
        ("openai", "gpt-4o"),
        ("openai", "o3"),
        ("openai", "x"),
        ("anthropic", "claude-3-opus"),
        ("anthropic", "x"),
    ]
    for vendor, model in [*models, ("anthropic", "claude-opus-4-7"), ("anthropic", "claude-opus-4-6")]:
        assert facts_for(vendor, model).unsupported <= names  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "vendor"),
    [
        ("gpt-4o", "openai"),
        ("gpt-6-luna", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("ft:gpt-4o-mini:acme::id", "openai"),
        ("o3-mini", "openai"),
        ("o1", "openai"),
        ("claude-sonnet-4-6", "anthropic"),
        ("gpt", None),
        ("ollama", None),
        ("my-gpt-4", None),
        ("claude", None),
        ("", None),
    ],
)
def test_vendors_are_known_by_their_ids(model: str, vendor: str | None) -> None:
    assert vendor_of(model) == vendor


@pytest.mark.parametrize(
    ("model", "sampling", "penalties", "stop", "length"),
    [
        ("gpt-4o", True, True, True, "max_tokens"),
        ("gpt-4o-2024-11-20", True, True, True, "max_tokens"),
        ("gpt-4.1-nano", True, True, True, "max_tokens"),
        ("gpt-3.5-turbo", True, True, True, "max_tokens"),
        ("ft:gpt-3.5-turbo:acme::id", True, True, True, "max_tokens"),
        ("gpt-5.1", True, True, True, "max_completion_tokens"),
        ("gpt-5.4-mini", True, True, True, "max_completion_tokens"),
        ("gpt-5.1-2025-11-13", True, True, True, "max_completion_tokens"),
        ("gpt-5", False, False, True, "max_completion_tokens"),
        ("gpt-5-mini-2025-08-07", False, False, True, "max_completion_tokens"),
        ("gpt-5.1-codex", False, False, True, "max_completion_tokens"),
        ("gpt-5.5", False, False, True, "max_completion_tokens"),
        ("gpt-6-luna", False, False, True, "max_completion_tokens"),
        ("o1", False, False, True, "max_completion_tokens"),
        ("o3", False, False, False, "max_completion_tokens"),
        ("o3-mini", False, False, False, "max_completion_tokens"),
        ("o4-mini-2025-04-16", False, False, False, "max_completion_tokens"),
    ],
)
def test_what_openais_models_take(model: str, sampling: bool, penalties: bool, stop: bool, length: str) -> None:
    facts = facts_for("openai", model)
    assert ("temperature" not in facts.unsupported) is sampling
    assert facts.unsupported.isdisjoint(PENALTIES) is penalties
    assert ("stop_sequences" not in facts.unsupported) is stop
    assert facts.length_parameter == length
    assert "top_k" in facts.unsupported
    assert facts.developer_role
    assert facts.default_max_tokens is None


@pytest.mark.parametrize(
    ("model", "sampling", "both_samplers", "length"),
    [
        ("claude-3-opus-20240229", True, True, 4096),
        ("claude-3-5-sonnet-latest", True, True, 4096),
        ("claude-opus-4-20250514", True, False, 16384),
        ("claude-opus-4-1", True, False, 16384),
        ("claude-sonnet-4-5-20250929", True, False, 16384),
        ("claude-haiku-4-5", True, False, 16384),
        ("claude-sonnet-4-6", True, False, 16384),
        ("claude-opus-4-7", False, True, 16384),
        ("claude-sonnet-5", False, True, 16384),
        ("claude-haiku-5-5", False, True, 16384),
        ("claude-opus-5-5-20261101", False, True, 16384),
        ("claude-fable-5-1", False, True, 16384),
        ("somebody-elses", True, True, 4096),
    ],
)
def test_what_anthropics_models_take(model: str, sampling: bool, both_samplers: bool, length: int) -> None:
    facts = facts_for("anthropic", model)
    assert facts.unsupported.isdisjoint(SAMPLING) is sampling
    assert (facts.exclusive is None) is both_samplers
    assert facts.default_max_tokens == length
    assert facts.max_temperature == (1.0 if sampling else None)
    assert {"seed", *PENALTIES} <= facts.unsupported
    assert not facts.developer_role


def test_compatible_servers_take_everything_but_the_role() -> None:
    assert COMPATIBLE_FACTS.unsupported == frozenset()
    assert COMPATIBLE_FACTS.length_parameter == "max_tokens"
    assert not COMPATIBLE_FACTS.developer_role
