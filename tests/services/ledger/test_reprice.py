"""Calls without a cost get that of today's prices, with their sums, exactly once; what is not stored is not guessed."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from proto import models_pb2, usage_pb2
from services.models.ledger import reprice as reprice_module
from services.models.ledger.ledger import Ledger
from services.models.ledger.outbox import Outbox
from services.models.ledger.records import (
    PRICE_NOT_LISTED,
    PRICE_NOT_REGISTERED,
    USAGE_INCOMPLETE,
    USAGE_UNKNOWN,
    UsageRecord,
)
from services.models.ledger.reprice import CAUSE_NOT_RECORDED, RepricedModel, RepriceQuery, Repricing
from services.shared.identity import Callers
from tests.rows import for_each
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.ledger.test_shipping import opened, record
from tests.services.ledger.test_usage_service import SIGNER, caller
from tests.services.model_service import (
    LOG,
    STRANGER,
    ModelService,
    anthropic_message,
    chat_request,
    completion,
    model_service,
    registration,
)
from tests.support.errors import failure_of
from tests.support.processes import environment

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
DAY = date(2026, 11, 20)
THAT_DAY = RepriceQuery(DAY, DAY)

Days = dict[tuple[str, ...], tuple[int, ...]]


class Rates:
    """Prices of three nano-USD for each input token and five for each output token, of some models."""

    name = "a list"

    def __init__(self, *models: str) -> None:
        self._models = models

    def require_loaded(self) -> None:
        """They are always known."""

    def listed(self, provider: str, model_id: str, day: date, usage: models_pb2.TokenUsage) -> int | None:
        assert (provider, day) == ("openai", DAY)
        return self._cost(model_id, usage)

    def registered(self, name: str, provider: str, usage: models_pb2.TokenUsage) -> int | None:
        return self._cost(name, usage)

    def _cost(self, model: str, usage: models_pb2.TokenUsage) -> int | None:
        return 3 * usage.prompt_tokens + 5 * usage.completion_tokens if model in self._models else None


def unpriced(call_id: str, why: str = PRICE_NOT_LISTED, **fields: Any) -> UsageRecord:
    return record(call_id, **{"at": NOON, "cost_nano_usd": None, "unpriced": why} | fields)


async def ship(ledger: Ledger, *records: UsageRecord) -> None:
    for each in records:
        await ledger.outbox.end(each)
    await ledger.flush()


async def days(ledger: Ledger) -> Days:
    """The sums by model and tag: calls, input, cost, and calls without one."""
    columns = "model, tag_key, tag_value, calls, input, cost_nano_usd, unpriced_calls"
    async with ledger.store.database.read() as connection:
        rows = await connection.execute(text(f"SELECT {columns} FROM usage_daily"))
        return {tuple(row[:3]): tuple(row[3:]) for row in rows}


async def stored(ledger: Ledger) -> dict[str, tuple[Any, ...]]:
    async with ledger.store.database.read() as connection:
        rows = await connection.execute(text("SELECT call_id, cost_nano_usd, price_as_of, unpriced FROM usage_events"))
        return {row[0]: tuple(row[1:]) for row in rows}


async def test_costs_move_with_their_sums_and_only_once(tmp_path: Path, database_url: str) -> None:
    rates = Rates("gpt-4o", "mine")
    async with opened(tmp_path, database_url) as ledger:
        # No tag is counted yet, so that the sums of its value never have this call.
        await ship(ledger, unpriced("early", tags={"customer": "acme"}))
    async with opened(tmp_path, database_url, tag_keys=("customer",)) as ledger:
        await ship(
            ledger,
            unpriced("a", tags={"customer": "acme"}),
            unpriced("b", tags={"customer": "zeta", "other": "x"}),
            unpriced("c", PRICE_NOT_REGISTERED, model_served="mine", provider="house"),
            record("paid", at=NOON, tags={"customer": "acme"}),
        )
        before = await days(ledger)
        assert before["gpt-4o", "customer", "acme"] == (2, 6, 10, 1)
        repricing = Repricing(ledger.store, rates)
        found = {
            ("openai", "gpt-4o"): RepricedModel(calls=3, cost_nano_usd=3 * 19),
            ("house", "mine"): RepricedModel(calls=1, cost_nano_usd=19),
        }
        assert await repricing.run(THAT_DAY, apply=False) == found
        assert await days(ledger) == before
        assert await repricing.run(THAT_DAY, apply=True) == found
        after = {
            ("gpt-4o", "", ""): (4, 12, 10 + 3 * 19, 0),
            ("gpt-4o", "customer", "acme"): (2, 6, 10 + 19, 0),
            ("gpt-4o", "customer", "zeta"): (1, 3, 19, 0),
            ("mine", "", ""): (1, 3, 19, 0),
        }
        assert await days(ledger) == after
        assert (await stored(ledger))["a"] == (19, "a list", "")
        assert (await stored(ledger))["c"] == (19, "", "")
        assert await repricing.run(THAT_DAY, apply=True) == {}
        # A record that is shipped again is known by its id, whatever it says.
        await ship(ledger, unpriced("a", tags={"customer": "acme"}))
        assert await days(ledger) == after


async def test_beyond_the_counted_values_the_common_row_moves(tmp_path: Path, sqlite_file: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("services.models.ledger.store.MAX_TAG_VALUES", 1)
        async with opened(tmp_path, f"sqlite:///{sqlite_file}", tag_keys=("customer",)) as ledger:
            await ship(ledger, *(unpriced(name, tags={"customer": name}) for name in "abc"))
            await Repricing(ledger.store, Rates("gpt-4o")).run(THAT_DAY, apply=True)
            assert await days(ledger) == {
                ("gpt-4o", "", ""): (3, 9, 57, 0),
                ("gpt-4o", "customer", "a"): (1, 3, 19, 0),
                ("gpt-4o", "customer", "_OTHER"): (2, 6, 38, 0),
            }


async def test_several_at_once_while_calls_are_shipped(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprice_module, "REPRICE_BATCH", 7)
    async with opened(tmp_path, database_url, tag_keys=("customer",)) as ledger:
        calls = [unpriced(f"{number:03}", tags={"customer": str(number % 3)}) for number in range(90)]
        await ship(ledger, *calls[:40])
        repricing = Repricing(ledger.store, Rates("gpt-4o"))

        async def go_on() -> None:
            for start in range(40, 90, 10):
                await ship(ledger, *calls[start : start + 10])

        *results, _ = await asyncio.gather(*(repricing.run(THAT_DAY, apply=True) for _ in range(3)), go_on())
        results.append(await repricing.run(THAT_DAY, apply=True))
        priced = sum(model.calls for result in results for model in result.values())
        assert priced == 90
        by_tag = {("gpt-4o", "customer", str(value)): (30, 90, 30 * 19, 0) for value in range(3)}
        assert await days(ledger) == {("gpt-4o", "", ""): (90, 270, 90 * 19, 0), **by_tag}


async def test_what_is_not_known_is_not_priced(tmp_path: Path, sqlite_file: Path) -> None:
    async with opened(tmp_path, f"sqlite:///{sqlite_file}") as ledger:
        causes = ("", USAGE_UNKNOWN, USAGE_INCOMPLETE, USAGE_INCOMPLETE)
        await ship(ledger, *(unpriced(f"{place}", cause) for place, cause in enumerate(causes)))
        await ship(ledger, unpriced("other", model_served="gpt-0"))
        before = await stored(ledger), await days(ledger)
        models = await Repricing(ledger.store, Rates("gpt-4o")).run(THAT_DAY, apply=True)
        assert models["openai", "gpt-4o"].unpriced == {CAUSE_NOT_RECORDED: 1, USAGE_UNKNOWN: 1, USAGE_INCOMPLETE: 2}
        assert models["openai", "gpt-0"] == RepricedModel(unpriced=models["openai", "gpt-0"].unpriced)
        assert models["openai", "gpt-0"].unpriced == {PRICE_NOT_LISTED: 1}
        assert (await stored(ledger), await days(ledger)) == before


async def test_only_the_days_and_models_that_are_named(tmp_path: Path, sqlite_file: Path) -> None:
    midnight = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    async with opened(tmp_path, f"sqlite:///{sqlite_file}") as ledger:
        await ship(
            ledger,
            unpriced("before", at=midnight - 0.001),
            unpriced("first", at=midnight),
            unpriced("last", at=midnight + 86399.999),
            unpriced("after", at=midnight + 86400),
            unpriced("another", model_served="gpt-5"),
        )
        query = THAT_DAY._replace(model_glob="openai/gpt-4*")
        await Repricing(ledger.store, Rates("gpt-4o", "gpt-5")).run(query, apply=True)
        assert {name for name, row in (await stored(ledger)).items() if row[0] is not None} == {"first", "last"}


# ------------------------------------------------------------------------------------------------- by the service


async def reprice(service: ModelService, **fields: Any) -> usage_pb2.RepriceUsageResponse:
    request = usage_pb2.RepriceUsageRequest(**{"from_day": "2026-01-01"} | fields)
    return await service.usage.RepriceUsage(
        request, metadata=caller("ops", "key-ops", "generate", "usage.read", "admin")
    )


async def test_a_model_whose_rates_are_registered_later(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    rates = {"prompt_nano_usd": 10**9, "completion_nano_usd": 2 * 10**9}
    async with model_service(tmp_path, upstream) as service:
        await service.stub.RegisterModel(registration(upstream))
        upstream.play(json_answer(completion()))
        await service.stub.Chat(chat_request("mine"))
        shown = await reprice(service, apply=True)
        [model] = shown.models
        assert [(each.reason, each.calls) for each in model.unpriced] == [("PRICE_NOT_REGISTERED", 1)]
        assert (shown.priced_calls, shown.unpriced_calls) == (0, 1)
        await service.stub.RegisterModel(registration(upstream, capabilities={"prices": rates}))
        assert not (await reprice(service)).applied
        answer = await reprice(service, apply=True, model_glob="mi*")
        cost = 9 * 1000 + 4 * 2000
        assert (answer.applied, answer.priced_calls, answer.cost_nano_usd, answer.unpriced_calls) == (True, 1, cost, 0)
        [row] = (await service.usage.ListUsage(usage_pb2.ListUsageRequest())).rows
        assert (row.sums.cost_nano_usd, row.sums.unpriced_calls) == (cost, 0)
        assert not (await reprice(service, apply=True)).models


async def on_the_command_line(service: ModelService, *arguments: str) -> tuple[str, str]:
    """The output of `genai usage reprice`, and what it says beside it."""
    script = str(Path(sys.executable).with_name("genai"))
    process = await asyncio.create_subprocess_exec(
        *(script, "usage", "reprice", "--from", "2026-01-01", *arguments),
        env=environment(GENAI_GATEWAY_URL=service.address),
        stdout=PIPE,
        stderr=PIPE,
    )
    output, words = await process.communicate()
    assert process.returncode == 0, words
    return output.decode(), words.decode()


async def test_the_command_shows_before_it_stores(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    rates = {"prompt_nano_usd": 10**12, "completion_nano_usd": 10**12}
    async with model_service(tmp_path, upstream) as service:
        await service.stub.RegisterModel(registration(upstream))
        upstream.play(json_answer(completion()))
        await service.stub.Chat(chat_request("mine"))
        await service.stub.RegisterModel(registration(upstream, capabilities={"prices": rates}))
        line = "mine\t1\t0.013000\t-\n"
        output, words = await on_the_command_line(service, "--model", "mi*")
        assert output.partition("\t")[2] == line
        assert "add --apply" in words
        output, words = await on_the_command_line(service, "--apply")
        assert output.partition("\t")[2] == line
        assert "1 calls are priced" in words
        assert (await on_the_command_line(service))[0] == ""


@for_each(
    ("model", "answer"),
    [
        ("gpt-4o", completion() | {"service_tier": "priority"}),
        ("mine", completion() | {"service_tier": "flex"}),
        (
            "claude-long",
            anthropic_message()
            | {
                "usage": {
                    "input_tokens": 9,
                    "output_tokens": 4,
                    "cache_creation_input_tokens": 5,
                    "cache_creation": {"ephemeral_1h_input_tokens": 5, "ephemeral_5m_input_tokens": 0},
                }
            },
        ),
    ],
)
async def test_rates_that_are_not_stored_are_not_guessed(
    tmp_path: Path, upstream: ScriptedUpstream, model: str, answer: dict[str, Any]
) -> None:
    prices = {"prompt_nano_usd": 10**9, "completion_nano_usd": 10**9, "cache_write_nano_usd": 10**9}
    registrations = {
        "mine": registration(upstream),
        "claude-long": registration(upstream, "claude-long", adapter_type="anthropic", endpoint=upstream.url),
    }
    async with model_service(tmp_path, upstream) as service:
        if model in registrations:
            await service.stub.RegisterModel(registrations[model])
        upstream.play(json_answer(answer))
        response = await service.stub.Chat(chat_request(model))
        assert not response.usage.HasField("cost_nano_usd")
        assert response.usage.not_at_list_price == ("service_tier" in answer)
        if model in registrations:
            registrations[model].capabilities.prices.CopyFrom(models_pb2.ModelPrices(**prices))
            await service.stub.RegisterModel(registrations[model])
        found = await reprice(service, apply=True)
        assert [(each.reason, each.calls) for each in found.models[0].unpriced] == [("USAGE_INCOMPLETE", 1)]
        assert found.cost_nano_usd == 0


async def test_a_call_whose_process_was_lost_stays_unknown(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    outbox = Outbox(tmp_path / "usage", LOG, max_bytes=1024**3)
    outbox.begin(UsageRecord(call_id="lost", at=time.time(), provider="openai", model_served="gpt-4o"))
    outbox.close()
    async with model_service(tmp_path, upstream) as service:
        found = await reprice(service, apply=True)
        assert [(each.reason, each.calls) for each in found.models[0].unpriced] == [("USAGE_UNKNOWN", 1)]


async def test_it_is_for_administrators(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    request = usage_pb2.RepriceUsageRequest(from_day="2026-01-01")
    async with model_service(tmp_path / "open", upstream) as service:
        failure = await failure_of(service.usage.RepriceUsage(request, metadata=STRANGER))
        assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "USAGE_NOT_SHOWN")
    callers = Callers()
    callers.require(SIGNER)
    async with model_service(tmp_path / "keys", upstream, callers=callers) as service:
        refused = service.usage.RepriceUsage(request, metadata=caller("red", "key", "generate", "usage.read"))
        failure = await failure_of(refused)
        assert (failure.code, failure.metadata["scope"]) == (grpc.StatusCode.PERMISSION_DENIED, "admin")
        assert (await reprice(service)).price_list


@for_each(
    ("fields", "field"),
    [
        ({"from_day": ""}, "from_day"),
        ({"from_day": "November"}, "from_day"),
        ({"from_day": "9999-12-31"}, "from_day"),
        ({"to_day": "2026-13-01"}, "to_day"),
        ({"model_glob": "a\0b"}, "model_glob"),
    ],
)
async def test_wrong_fields(tmp_path: Path, upstream: ScriptedUpstream, fields: dict[str, Any], field: str) -> None:
    async with model_service(tmp_path, upstream) as service:
        failure = await failure_of(reprice(service, **fields))
        assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
