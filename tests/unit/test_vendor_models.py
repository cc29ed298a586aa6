"""What is known of the vendors' models: of ourselves, and by their own lists, whose word wins."""

from __future__ import annotations

import dataclasses
import datetime

from proto import models_pb2
from services.models.catalog.lifecycle import ACTIVE, DEPRECATED, RETIRED, WARNING_DAYS
from services.models.catalog.listings import ListedModel
from services.models.catalog.vendor_model import VendorModel
from services.models.catalog.vendor_models import VendorModels
from services.models.catalog.vendors import anthropic, openai
from tests.rows import for_each

TODAY = datetime.date(2026, 11, 22)
DAY = datetime.timedelta(days=1)
OPENAI, ANTHROPIC = openai.VENDOR, anthropic.VENDOR
REPLACED = [row.name for vendor in (OPENAI, ANTHROPIC) for row in vendor.models if row.lifecycle.replacement]


def found(models: VendorModels, name: str) -> VendorModel:
    model = models.find(name)
    assert model
    return model


def learned(*told: ListedModel) -> VendorModels:
    models = VendorModels()
    models.learn(OPENAI, [model for model in told if "claude" not in model.id], TODAY)
    models.learn(ANTHROPIC, [model for model in told if "claude" in model.id], TODAY)
    return models


@for_each("name", REPLACED)
def test_model_is_served_until_its_shutdown_and_then_replaced(name: str) -> None:
    models = VendorModels()
    model = found(models, name)
    shutdown = model.lifecycle.shutdown
    assert shutdown
    assert models.answering(model, shutdown - DAY) is model
    assert models.answering(model, shutdown).upstream == model.lifecycle.replacement


@for_each("name", REPLACED)
def test_caller_is_warned_before_the_shutdown_and_told_after(name: str) -> None:
    model = found(VendorModels(), name)
    shutdown = model.lifecycle.shutdown
    assert shutdown
    first_warning = shutdown - WARNING_DAYS * DAY
    assert model.warnings(first_warning - DAY) == []
    for day, code in (
        (first_warning, "MODEL_RETIRING"),
        (shutdown - DAY, "MODEL_RETIRING"),
        (shutdown, "MODEL_RETIRED"),
    ):
        (warning,) = model.warnings(day)
        assert (warning.code, warning.field) == (code, "model")
        assert str(shutdown) in warning.message
        assert model.lifecycle.replacement in warning.message


@for_each("name", REPLACED)
def test_capabilities_are_those_of_the_model_that_answers_with_the_lifecycle_of_the_one_named(name: str) -> None:
    models = VendorModels()
    model = found(models, name)
    shutdown = model.lifecycle.shutdown
    assert shutdown
    for day, state in ((shutdown - DAY, DEPRECATED), (shutdown, RETIRED)):
        capabilities = models.capabilities(model, day)
        assert capabilities.lifecycle.state == state
        assert capabilities.lifecycle.shutdown_date == shutdown.isoformat()
        assert capabilities.lifecycle.replacement == model.lifecycle.replacement
        served = model.vendor.facts(models.answering(model, day).upstream)
        assert set(capabilities.unsupported_parameters) == served.unsupported
        assert (capabilities.source, capabilities.as_of) == ("catalogue", model.vendor.as_of)


def test_replacement_that_is_retired_too_is_replaced_and_every_step_is_told() -> None:
    models = learned(ListedModel("claude-sonnet-4-6", state=RETIRED))
    first = found(models, "claude-3-5-sonnet")
    assert models.answering(first, TODAY).upstream == "claude-sonnet-4-6"
    assert [warning.code for warning in models.warnings(first, TODAY)] == ["MODEL_RETIRED"]
    after = datetime.date(2026, 12, 11)
    second = dataclasses.replace(first, lifecycle=dataclasses.replace(first.lifecycle, replacement="claude-sonnet-4-5"))
    assert models.answering(second, after).upstream == "claude-sonnet-4-6"
    named = [warning.message.partition(" was retired")[0] for warning in models.warnings(second, after)]
    assert named == ["claude-3-5-sonnet", "claude-sonnet-4-5"]


def test_end_of_what_answers_in_place_of_a_retired_model_is_told_too() -> None:
    models = learned(ListedModel("claude-sonnet-4-6", shutdown=TODAY + DAY))
    warnings = models.warnings(found(models, "claude-3-5-sonnet"), TODAY)
    assert [warning.code for warning in warnings] == ["MODEL_RETIRED", "MODEL_RETIRING"]


def test_snapshot_of_a_built_in_model_ends_with_it_and_is_never_replaced() -> None:
    models = VendorModels()
    snapshot = models.describe(OPENAI, "gpt-4o-2024-11-20")
    assert snapshot.max_output_tokens == 16_384
    (warning,) = models.warnings(snapshot, TODAY)
    assert (warning.code, "gpt-6-luna" in warning.message) == ("MODEL_RETIRING", True)
    after = datetime.date(2027, 2, 1)
    assert models.answering(snapshot, after) is snapshot
    assert snapshot.capabilities(after).lifecycle.state == RETIRED


def test_snapshot_with_an_end_of_its_own_keeps_that() -> None:
    early = VendorModels().describe(OPENAI, "gpt-4o-2024-05-13")
    assert early.lifecycle.shutdown == datetime.date(2026, 10, 23)
    assert VendorModels().describe(OPENAI, "gpt-3.5-turbo").capabilities(TODAY).lifecycle.state == RETIRED


def test_what_a_vendor_tells_of_a_snapshot_holds_for_the_model_that_it_lists_under_no_other_name() -> None:
    models = learned(
        ListedModel("claude-haiku-4-5-20250101", context_window=1),
        ListedModel("claude-haiku-4-5-20251001", context_window=2),
    )
    assert found(models, "claude-haiku-4-5").context_window == 2
    assert "claude-3-5-haiku" not in dict(models.missing_replacements(ANTHROPIC))


def test_model_without_a_replacement_is_still_asked_for_after_its_shutdown() -> None:
    models = VendorModels()
    model = found(models, "gpt-5.1")
    assert models.answering(model, datetime.date(2027, 4, 1)) is model
    (warning,) = model.warnings(datetime.date(2027, 3, 31))
    assert warning.code == "MODEL_RETIRING"
    assert "ListModels" in warning.message


def test_day_that_openai_tells_wins() -> None:
    model = found(learned(ListedModel("gpt-5.2", shutdown=TODAY + DAY)), "gpt-5.2")
    assert model.source == models_pb2.MODEL_SOURCE_BUILT_IN
    assert [warning.code for warning in model.warnings(TODAY)] == ["MODEL_RETIRING"]
    capabilities = model.capabilities(TODAY)
    assert (capabilities.lifecycle.state, capabilities.lifecycle.shutdown_date) == (DEPRECATED, "2026-11-23")
    assert (capabilities.source, capabilities.as_of) == ("provider", "2026-11-22")


def test_day_that_openai_does_not_tell_is_still_ours() -> None:
    assert found(learned(ListedModel("gpt-4o")), "gpt-4o").lifecycle.shutdown == datetime.date(2027, 1, 14)


def test_state_that_anthropic_tells_wins_over_a_day_in_the_past() -> None:
    overdue = learned(ListedModel("claude-sonnet-4-5", shutdown=TODAY - DAY, state=DEPRECATED))
    model = found(overdue, "claude-sonnet-4-5")
    assert overdue.answering(model, TODAY) is model
    withdrawn = ListedModel("claude-sonnet-4-5", state=ACTIVE)
    assert found(learned(withdrawn), "claude-sonnet-4-5").lifecycle.shutdown is None


def test_limits_and_capabilities_that_anthropic_tells_win() -> None:
    told = ListedModel(
        "claude-sonnet-4-6",
        context_window=7,
        max_output_tokens=5,
        images=False,
        documents=True,
        json_schema=False,
        takes_budget=False,
        efforts=("low",),
    )
    model = found(learned(told), "claude-sonnet-4-6")
    ours = anthropic.VENDOR.facts("claude-sonnet-4-6")
    assert ours.reasoning
    assert (model.context_window, model.max_output_tokens) == (7, 5)
    assert model.facts.media == {"document"}
    assert model.facts.schema_output == "tool"
    assert model.facts.reasoning == dataclasses.replace(ours.reasoning, efforts=("low",), takes_budget=False)
    assert model.facts.unsupported == ours.unsupported


def test_what_is_not_told_stays_as_it_was() -> None:
    models = VendorModels()
    before = found(models, "claude-sonnet-4-6")
    models.learn(ANTHROPIC, [ListedModel("claude-sonnet-4-6")], TODAY)
    assert found(models, "claude-sonnet-4-6") == dataclasses.replace(before, listed_on=TODAY)


def test_id_that_only_the_vendor_lists_is_discovered_and_goes_with_the_list() -> None:
    models = learned(ListedModel("gpt-4o-2024-11-20"), ListedModel("claude-opus-9", context_window=9))
    for name, vendor in (("gpt-4o-2024-11-20", OPENAI), ("claude-opus-9", ANTHROPIC)):
        model = found(models, name)
        assert (model.vendor, model.upstream, model.source) == (vendor, name, models_pb2.MODEL_SOURCE_DISCOVERED)
        assert model.facts == model.vendor.facts(name)
    assert found(models, "gpt-4o-2024-11-20").context_window == 128_000
    models.learn(OPENAI, [], TODAY)
    assert models.find("gpt-4o-2024-11-20") is None
    assert models.find("claude-opus-9")
    assert models.find("gpt-4o")


def test_replacement_that_the_vendor_does_not_list_is_named() -> None:
    models = learned(ListedModel("gpt-6-luna"), ListedModel("gpt-6.1-sol"))
    assert dict(models.missing_replacements(OPENAI)) == {"gpt-5-mini": "gpt-6.1-terra"}


def test_listed_id_that_begins_with_a_vendors_name_leads_to_that_vendor() -> None:
    models = learned(ListedModel("anthropic/claude-opus-5"), ListedModel("openai/gpt-4o"), ListedModel("team/model"))
    assert models.find("team/model")
    for name in ("anthropic/claude-opus-5", "openai/gpt-4o"):
        assert models.find(name) is None
