"""What is known of the vendors' models.

The SDKs are imported by the tests that need them: they take seconds to load.
"""

from __future__ import annotations

import datetime
import re
import typing

from proto import models_pb2
from services.models.catalog.families import COMPATIBLE_FACTS, LOGPROBS, PENALTIES, SAMPLING
from services.models.catalog.vendor_model import VendorModel
from services.models.catalog.vendor_models import VendorModels
from services.models.catalog.vendors import VENDORS, anthropic, openai
from tests.built_in_models import BUILT_IN, CHAT_MODELS
from tests.rows import for_each

DAY = datetime.timedelta(days=1)
NAMES_OF_THE_README = {"gpt-4o", "gpt-4o-mini", "claude-3-5-sonnet", "claude-3-5-haiku"}

every_built_in = for_each("model", BUILT_IN.values(), ids=BUILT_IN)


def test_names_of_the_readme_are_there_and_lead_to_a_successor_once_they_end() -> None:
    assert set(BUILT_IN) >= NAMES_OF_THE_README
    for name in NAMES_OF_THE_README:
        assert BUILT_IN[name].lifecycle.shutdown
        assert BUILT_IN[name].lifecycle.replacement


def test_built_in_models_fit_on_the_first_page() -> None:
    """Programs that ask for no page size look for the names of the README there."""
    assert len(BUILT_IN) <= 50


@every_built_in
def test_replacement_is_in_the_catalogue_and_outlives_what_it_replaces(model: VendorModel) -> None:
    lifecycle = model.lifecycle
    if not lifecycle.replacement:
        return
    successor = BUILT_IN[lifecycle.replacement]
    assert successor.vendor == model.vendor
    assert lifecycle.shutdown
    day = max(lifecycle.shutdown, datetime.date.fromisoformat(model.vendor.as_of))
    assert not successor.lifecycle.is_retired(day)
    assert not successor.lifecycle.is_ending(day)


@every_built_in
def test_id_of_a_built_in_model_is_plainly_its_vendors(model: VendorModel) -> None:
    for model_id in (model.name, model.upstream):
        assert model.vendor.id_pattern.fullmatch(model_id)


def test_built_in_models_that_chat_are_those_that_the_vendors_sdks_name() -> None:
    from anthropic.types import Model
    from openai.types.shared import ChatModel

    sdk_ids = {
        "openai": set(typing.get_args(ChatModel)),
        "anthropic": set(typing.get_args(typing.get_args(Model)[0])) | {"claude-3-5-sonnet", "claude-3-5-haiku"},
    }
    for vendor, ids in sdk_ids.items():
        assert {name for name, model in CHAT_MODELS.items() if model.vendor.name == vendor} <= ids


def test_shutdown_days_are_those_of_openais_sdk() -> None:
    announced = _announced_by_openai()
    for model in BUILT_IN.values():
        if model.vendor is openai.VENDOR:
            assert model.lifecycle.shutdown == announced.get(model.upstream), model.name


def test_shutdown_days_are_those_of_anthropics_sdk() -> None:
    announced = _announced_by_anthropic()
    for model in BUILT_IN.values():
        if model.upstream in announced:
            assert model.lifecycle.shutdown == announced[model.upstream], model.name


def _announced_by_anthropic() -> dict[str, datetime.date]:
    from anthropic.resources.messages.messages import DEPRECATED_MODELS

    plain = {name: re.sub(r"(\d)(st|nd|rd|th)", r"\1", told) for name, told in DEPRECATED_MODELS.items()}
    return {name: datetime.datetime.strptime(day, "%B %d, %Y").date() for name, day in plain.items()}


def _ids_with_a_row(announced: dict[str, datetime.date]) -> set[str]:
    """The ids that are built in, or that a date makes of such a one and that end on its day."""
    rows = {id_: model.lifecycle.shutdown for model in BUILT_IN.values() for id_ in (model.name, model.upstream)}
    dated = re.compile(r"-(\d{4}-\d\d-\d\d|\d{8})$")
    return {name for name, day in announced.items() if name in rows or rows.get(dated.sub("", name)) == day}


def _announced_by_openai() -> dict[str, datetime.date]:
    """The days in the text below the SDK's list of models."""
    module = typing.cast(typing.Any, __import__("openai.types.shared.chat_model", fromlist=["chat_model"]))
    with open(module.__file__, encoding="utf-8") as file:
        text = " ".join(file.read().split())
    found = re.findall(r'- ((?:"[^"]+"(?:, )?)+): Announced shutdown date: (\d{4}-\d\d-\d\d)', text)
    return {name: datetime.date.fromisoformat(day) for names, day in found for name in re.findall(r'"([^"]+)"', names)}


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
        assert VENDORS[vendor].facts(model).unsupported <= names


@for_each(
    ("model", "vendor"),
    [
        ("gpt-4o", "openai"),
        ("gpt-6-luna", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("ft:gpt-4o-mini:acme::id", "openai"),
        ("o3-mini", "openai"),
        ("ft:o4-mini-2025-04-16:acme::id", "openai"),
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
    found = VendorModels().look_up(model)
    assert (found.vendor.name if found else None) == vendor


@for_each(
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
        ("gpt-5", False, False, False, "max_completion_tokens"),
        ("gpt-5-mini-2025-08-07", False, False, False, "max_completion_tokens"),
        ("gpt-5.1-codex", False, False, True, "max_completion_tokens"),
        ("gpt-5.2-pro", False, False, False, "max_completion_tokens"),
        ("gpt-audio-mini", True, True, True, "max_completion_tokens"),
        ("gpt-5.5", False, False, False, "max_completion_tokens"),
        ("gpt-6-luna", False, False, False, "max_completion_tokens"),
        ("o1", False, False, True, "max_completion_tokens"),
        ("o3", False, False, False, "max_completion_tokens"),
        ("o3-mini", False, False, False, "max_completion_tokens"),
        ("ft:o4-mini-2025-04-16:acme::id", False, False, False, "max_completion_tokens"),
        ("o4-mini-2025-04-16", False, False, False, "max_completion_tokens"),
    ],
)
def test_what_openais_models_take(model: str, sampling: bool, penalties: bool, stop: bool, length: str) -> None:
    facts = openai.VENDOR.facts(model)
    assert ("temperature" not in facts.unsupported) is sampling
    assert facts.unsupported.isdisjoint(PENALTIES) is penalties
    assert ("stop_sequences" not in facts.unsupported) is stop
    assert facts.length_parameter == length
    assert "top_k" in facts.unsupported
    assert facts.developer_role
    assert facts.default_max_tokens is None


@for_each(
    ("model", "sampling", "both_samplers", "length"),
    [
        ("claude-3-opus-20240229", True, True, 4096),
        ("claude-3-5-sonnet-latest", True, True, 4096),
        ("claude-opus-4-20250514", True, False, 16384),
        ("claude-opus-4@20250514", True, False, 16384),
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
    facts = anthropic.VENDOR.facts(model)
    assert facts.unsupported.isdisjoint(SAMPLING) is sampling
    assert (facts.exclusive is None) is both_samplers
    assert facts.default_max_tokens == length
    assert facts.max_temperature == (1.0 if sampling else None)
    assert {"seed", *PENALTIES} <= facts.unsupported
    assert not facts.developer_role


@for_each(
    ("vendor", "model", "media"),
    [
        ("openai", "gpt-4o", {"image", "document"}),
        ("openai", "gpt-6-luna", {"image", "document"}),
        ("openai", "gpt-4-turbo-2024-04-09", {"image"}),
        ("openai", "gpt-3.5-turbo", set()),
        ("openai", "o3-mini", set()),
        ("openai", "o3", {"image", "document"}),
        ("openai", "gpt-4o-audio-preview", {"audio"}),
        ("openai", "who-knows", None),
        ("anthropic", "claude-haiku-4-5", {"image", "document"}),
        ("anthropic", "somebody-elses", None),
    ],
)
def test_media_that_a_model_reads(vendor: str, model: str, media: set[str] | None) -> None:
    assert VENDORS[vendor].facts(model).media == media


@for_each(
    ("model", "efforts", "by_default"),
    [
        ("o3", "low medium high", True),
        ("gpt-5-mini", "minimal low medium high", True),
        ("gpt-5-pro", "high", True),
        ("gpt-5.1", "none low medium high", False),
        ("gpt-5.2-2025-12-11", "none low medium high xhigh", False),
        ("gpt-5.2-pro", "medium high xhigh", True),
        ("gpt-5.5", "none low medium high xhigh", True),
        ("gpt-5.6-sol", "none low medium high xhigh max", True),
        ("gpt-6-luna", "none low medium high xhigh max", True),
        ("gpt-6-astra", "", True),
    ],
)
def test_how_openais_models_reason(model: str, efforts: str, by_default: bool) -> None:
    facts = openai.VENDOR.facts(model)
    assert facts.can_reason
    assert facts.reasoning
    assert " ".join(facts.reasoning.efforts) == efforts
    assert facts.reasoning.on_by_default is by_default
    assert not facts.reasoning.takes_budget


@for_each(
    ("model", "efforts", "budget", "adaptive", "by_default"),
    [
        ("claude-3-7-sonnet-20250219", "", True, False, False),
        ("claude-opus-4-1", "", True, False, False),
        ("claude-haiku-4-5-20251001", "", True, False, False),
        ("claude-opus-4-5", "none low medium high", True, False, False),
        ("claude-sonnet-4-6", "none low medium high max", True, True, False),
        ("claude-opus-4-7", "none low medium high xhigh max", False, True, False),
        ("claude-opus-5", "none low medium high xhigh max", False, True, True),
        ("claude-haiku-5-5", "none low medium high xhigh max", False, True, True),
        ("claude-opus-5-5", "low medium high xhigh max", False, True, True),
        ("claude-fable-5-1", "low medium high xhigh max", False, True, True),
    ],
)
def test_how_claude_reasons(model: str, efforts: str, budget: bool, adaptive: bool, by_default: bool) -> None:
    facts = anthropic.VENDOR.facts(model)
    assert facts.can_reason
    assert facts.reasoning
    assert " ".join(facts.reasoning.efforts) == efforts
    assert (facts.reasoning.takes_budget, facts.reasoning.adaptive) == (budget, adaptive)
    assert facts.reasoning.on_by_default is by_default


@for_each("model", ["gpt-4o", "gpt-4.1-mini", "gpt-3.5-turbo", "ft:gpt-4o-mini:acme::id"])
def test_openais_models_that_do_not_reason(model: str) -> None:
    assert openai.VENDOR.facts(model).can_reason is False
    assert anthropic.VENDOR.facts("claude-3-5-haiku-latest").can_reason is False


@for_each(
    ("model", "together"),
    [
        ("gpt-7", True),
        ("gpt-6.1-sol", True),
        ("gpt-6-luna", True),
        ("gpt-5.6-terra", True),
        ("gpt-5.5", True),
        ("gpt-5.4-mini-2026-03-17", True),
        ("gpt-5.2", False),
        ("gpt-5", False),
        ("gpt-4o", False),
    ],
)
def test_tools_beside_reasoning_need_responses_from_gpt_5_4_on(model: str, together: bool) -> None:
    assert openai.VENDOR.facts(model).tools_with_reasoning_need_responses is together


def test_models_that_openais_sdk_names_for_responses_alone_are_asked_there() -> None:
    from openai.types.shared import ChatModel
    from openai.types.shared.responses_model import ResponsesModel

    # `Literal` of the ids that are no ChatModel.
    alone = {name for kind in typing.get_args(ResponsesModel) for name in typing.get_args(kind)}
    for name in alone - set(typing.get_args(ChatModel)):
        assert openai.VENDOR.facts(name).responses_only, name
    assert openai.VENDOR.facts("gpt-5.2-pro-2025-12-11").responses_only
    for name in ("gpt-4o", "gpt-5.5", "gpt-6-luna", "o3", "gpt-5-mini-2025-08-07", "ft:gpt-4o:acme:sales-pro-v2:id"):
        assert not openai.VENDOR.facts(name).responses_only


def test_optional_reasoning_excludes_sampling_while_it_lasts() -> None:
    reasoning = openai.VENDOR.facts("gpt-5.4").reasoning
    assert reasoning
    assert reasoning.excludes == {"temperature", "top_p", "stop_sequences", *PENALTIES, *LOGPROBS}


def test_models_of_the_o_series_do_not_let_parallel_calls_be_chosen() -> None:
    assert all("parallel_tool_calls" in openai.VENDOR.facts(model).unsupported for model in ("o1", "o3", "o4-mini"))


def test_announced_ends_are_those_of_the_vendors_sdks() -> None:
    """But for models that have a row, and their snapshots, which end with them."""
    announced = _announced_by_openai() | _announced_by_anthropic()
    told = {name: day for name, day in announced.items() if name not in _ids_with_a_row(announced)}
    assert {**openai.VENDOR.shutdowns, **anthropic.VENDOR.shutdowns} == told


@for_each(
    ("model", "schema_output", "forced", "prefill"),
    [
        ("claude-3-5-sonnet-latest", "tool", True, True),
        ("claude-opus-4-1-20250805", "tool", True, True),
        ("claude-sonnet-4-5", "native", True, True),
        ("claude-opus-4-6", "native", True, False),
        ("claude-sonnet-5", "native", True, False),
        ("claude-opus-5-5", "native", False, False),
        ("claude-sonnet-5-5", "native", False, False),
        ("claude-fable-5", "native", False, False),
        ("claude-mythos-5-1", "native", False, False),
        ("somebody-elses", "tool", True, True),
    ],
)
def test_what_claude_can_be_held_to(model: str, schema_output: str, forced: bool, prefill: bool) -> None:
    facts = anthropic.VENDOR.facts(model)
    assert (facts.schema_output, facts.forced_tool_choice, facts.prefill) == (schema_output, forced, prefill)


@for_each(
    ("model", "taken"),
    [
        ("claude-opus-4-8", True),
        ("claude-opus-4-8-20260528", True),
        ("claude-opus-5", True),
        ("claude-opus-5-5", True),
        ("claude-sonnet-5-5", True),
        ("claude-haiku-5-5", True),
        ("claude-fable-5", True),
        ("claude-mythos-5-2", True),
        ("claude-sonnet-6", True),
        ("claude-opus-4-7", False),
        ("claude-opus-4-6", False),
        ("claude-haiku-4-5-20251001", False),
        ("claude-3-5-haiku-latest", False),
        ("claude-mythos-preview", False),
        # Named as the one of its generation that takes none.
        ("claude-sonnet-5", False),
        ("claude-sonnet-5-20260630", False),
        ("somebody-elses", False),
    ],
)
def test_system_messages_within_the_conversation(model: str, taken: bool) -> None:
    assert anthropic.VENDOR.facts(model).system_turns is taken


def test_compatible_servers_take_everything_but_the_role() -> None:
    assert COMPATIBLE_FACTS.unsupported == frozenset()
    assert COMPATIBLE_FACTS.length_parameter == "max_tokens"
    assert not COMPATIBLE_FACTS.developer_role
