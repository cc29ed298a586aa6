"""The rules of limits: what they match, what they charge, their windows, and the estimate of a call."""

from __future__ import annotations

import datetime
import io
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from proto import models_pb2
from services.models.limits.charges import Estimate, charges_of, matches
from services.models.limits.decisions import decide
from services.models.limits.estimate import FIRST_ANSWER_TOKENS, AnswerLengths, Estimator, ReservePolicy
from services.models.limits.memory_store import MemoryStore
from services.models.limits.opening import LimitSettings, open_limiter
from services.models.limits.rules import Facts, Rule, Window
from services.models.limits.windows import FOREVER, MICROSECONDS, TOTAL, Calendar
from services.models.providers.base import Conversation, Target
from services.models.providers.facts import ModelFacts
from services.models.providers.usage import estimate_prompt_tokens
from services.shared.errors import InvalidRequest, StartupError
from services.shared.logs import LineWriter, Log
from tests.rows import for_each

CALLER = Facts(team="t", project="p", key="k", end_user="e", models=("fast", "openai/gpt-4o"))
UTC = Calendar(ZoneInfo("UTC"))


def moment(text: str, zone: str = "UTC") -> int:
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * MICROSECONDS


@for_each(
    ("kind", "scope_id", "glob", "expected"),
    [
        ("org", "", "*", True),
        ("org", "", "", True),
        ("team", "t", "*", True),
        ("team", "other", "*", False),
        ("user", "*", "*", False),
        ("key", "*", "gpt-4o", False),
        ("key", "*", "openai/*", True),
        ("key", "*", "f*t", True),
        ("key", "*", "fas?", False),
        ("end_user", "*", "openai/gpt-*o", True),
    ],
)
def test_rules_match_by_scope_and_model(kind: str, scope_id: str, glob: str, expected: bool) -> None:
    rule = Rule("r", kind, scope_id, "requests", "min", 1, model_glob=glob)  # type: ignore[arg-type]
    assert matches(rule, CALLER) is expected


def test_keys_are_of_rule_member_and_window() -> None:
    rules = [
        Rule("b", "key", "*", "nano_usd", "day", 1),
        Rule("b", "key", "*", "nano_usd", "day", 2),
        Rule("a", "end_user", "*", "concurrent", "", 1),
        Rule("z", "team", "t", "requests", "min", 1),
    ]
    charges = charges_of(rules, CALLER, Estimate(1, 1), UTC, moment("2026-11-30T12:00:00"))
    keys = [charge.key for charge in charges]
    assert keys[:1] == ["z|t|min"]
    assert keys[2:] == ["b|k|day:2026-11-30"]
    assert len(keys) == 3
    odd = Facts(project="p", end_user='|"ü' * 100)
    [long] = charges_of(rules[2:3], odd, Estimate(1, 1), UTC, 0)
    [other] = charges_of(rules[2:3], Facts(project="q", end_user=odd.end_user), Estimate(1, 1), UTC, 0)
    assert len(long.key) < 64
    assert long.key != other.key, "the end users of another project are other people"


@for_each(
    ("rule", "field"),
    [
        (("", "org", "", "requests", "min", 1), "id"),
        (("r", "planet", "", "requests", "min", 1), "scope_kind"),
        (("r", "key", "", "requests", "min", 1), "scope_id"),
        (("r", "org", "", "apples", "min", 1), "resource"),
        (("r", "org", "", "nano_usd", "min", 1), "window"),
        (("r", "org", "", "concurrent", "day", 1), "window"),
        (("r", "org", "", "requests", "min", -1), "amount"),
    ],
)
def test_a_rule_that_cannot_be_kept_names_its_field(rule: tuple[str, ...], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        Rule(*rule)  # type: ignore[arg-type]
    assert [violation.field for violation in refusal.value.violations] == [field]


@for_each(
    ("window", "now", "start", "end"),
    [
        ("day", "2026-03-29T12:00:00", "2026-03-29", "2026-03-30"),
        ("week", "2026-11-29T23:59:59", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-30T00:00:00", "2026-11-30", "2026-12-07"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
    ],
)
def test_windows_are_those_of_the_time_zone(window: Window, now: str, start: str, end: str) -> None:
    calendar = Calendar(ZoneInfo("Europe/Berlin"))
    span = calendar.span(window, moment(now, "Europe/Berlin"))
    assert (span.start, span.end) == (moment(start, "Europe/Berlin"), moment(end, "Europe/Berlin"))
    assert span.label == f"{window}:{start}"
    assert calendar.span(window, span.end).start == span.end
    assert TOTAL.end == FOREVER


@for_each(("amount", "window"), [(7, "min"), (60, "min"), (999_983, "min"), (7_000_003, "hour"), (1, "hour")])
def test_a_rate_admits_its_whole_amount_at_once_and_tells_the_rest(amount: int, window: Window) -> None:
    rule = Rule("r", "org", "", "tokens", window, amount)
    now = moment("2026-11-30T12:00:00")
    store, left = MemoryStore(lambda: now), amount
    while left:
        units = max(1, left // 3)
        charges = charges_of([rule], CALLER, Estimate(units, 0), UTC, now)
        [standing] = decide(charges, store.admit_now(str(left), charges)).standings
        left -= units
        assert (standing.is_over, standing.remaining) == (False, left)
    charges = charges_of([rule], CALLER, Estimate(1, 0), UTC, now)
    [standing] = decide(charges, store.admit_now("last", charges)).standings
    assert standing.is_over
    assert standing.retry_seconds


def test_the_probable_answer_is_that_of_nine_in_ten() -> None:
    lengths = AnswerLengths()
    assert lengths.probable("p", "m") == FIRST_ANSWER_TOKENS
    for tokens in range(1, 1001):
        lengths.add("p", "m", tokens)
    assert lengths.probable("p", "m") == 981, "of the newest 200"
    assert lengths.probable("q", "m") == FIRST_ANSWER_TOKENS


def target(longest: int | None, *, has_price: bool = True) -> Target:
    return Target(
        dialect=None,  # type: ignore[arg-type]
        provider="p",
        model="m",
        endpoint="http://localhost",
        headers={},
        facts=ModelFacts(max_output_tokens=longest),
        price=(lambda usage: usage.prompt_tokens + 10 * usage.completion_tokens) if has_price else None,
    )


@for_each(
    ("policy", "asked", "longest", "answer"),
    [
        ("probable", None, None, 1024),
        ("probable", None, 500, 500),
        ("probable", 100, 500, 100),
        ("probable", 90_000, 100_000, 1024),
        ("worst", 90_000, 100_000, 90_000),
        ("worst", None, 100_000, 100_000),
        ("worst", None, None, 16_384),
    ],
)
def test_an_estimate_is_the_probable_answer_or_the_worst(
    policy: ReservePolicy, asked: int | None, longest: int | None, answer: int
) -> None:
    config = models_pb2.ChatConfig(max_tokens=asked)
    request = models_pb2.ChatRequest(config=config, messages=[models_pb2.ChatMessage(role="user", content="Hello!")])
    conversation = Conversation(request, request.messages)
    prompt = estimate_prompt_tokens(conversation)
    estimator = Estimator(policy)
    assert estimator.estimate(conversation, target(longest), "p") == Estimate(prompt + answer, prompt + 10 * answer)
    assert estimator.estimate(conversation, target(longest, has_price=False), "p").nano_usd is None


@for_each(
    ("options", "answer"),
    [
        ('{"temperature": 1}', 100),
        ('{"max_tokens": 5}', 100),
        ('{"max_tokens": 900}', 900),
        ('{"max_completion_tokens": 900, "max_tokens": 7}', 900),
        ('{"max_output_tokens": null}', 16_384),
        ('{"max\\u005ftokens": null}', 16_384),
        ('{"max_tokens": "many"}', 16_384),
        (f'{{"note": "{"x" * 70_000}"}}', 16_384),
    ],
)
def test_an_estimate_goes_by_the_longest_answer_that_options_may_ask_for(options: str, answer: int) -> None:
    request = models_pb2.ChatRequest(
        config=models_pb2.ChatConfig(max_tokens=100),
        messages=[models_pb2.ChatMessage(role="user", content="Hello!")],
        provider_options_json={"openai": options},
    )
    conversation = Conversation(request, request.messages)
    prompt = estimate_prompt_tokens(conversation)
    assert Estimator("worst").estimate(conversation, target(None), "p").tokens == prompt + answer


@for_each(
    ("settings", "named"),
    [
        ({"timezone": "Mars/Olympus"}, "LIMITS_TIMEZONE"),
        ({"store": "redis"}, "LIMITS_REDIS_URL"),
        ({"store": "redis", "redis_url": "http://x"}, "LIMITS_REDIS_URL"),
        ({"store": "postgresql", "database_url": "sqlite:///x.db"}, "LIMITS_DATABASE_URL"),
    ],
)
async def test_settings_that_cannot_be_used_end_the_start(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(StartupError, match=named):
        async with open_limiter(LimitSettings(**settings), Log(LineWriter(io.BytesIO()), "models", "error")):
            pass
