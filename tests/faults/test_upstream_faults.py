"""Faults of providers, U1 to U27 of the fault matrix, as callers of a real Model Service see them."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from proto import models_pb2_grpc
from services.models.attempts import attempts, circuit_breaker
from services.models.attempts.retry_budget import CAPACITY, PER_CHAT, PER_SECOND
from services.models.health import results
from services.models.transport.sse import MAX_EVENT_BYTES
from services.shared.backoff import Backoff
from tests.faults.outcomes import CLOSE_SECONDS, VERBS, ask, assert_closed, clocks, resident
from tests.faults.stages import full_address
from tests.rows import for_each
from tests.scripted_upstream import (
    Ending,
    Pause,
    Received,
    Script,
    ScriptedUpstream,
    answer,
    event,
    event_stream,
    json_answer,
    no_answer,
    paced,
    raw,
)
from tests.services.gateway.gateways import refusing_address
from tests.services.model_service import (
    ModelService,
    chat_request,
    model_service,
    piece,
    registration,
    streamed_completion,
)
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.certificates import Authority
from tests.support.processes import running

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
INTERNAL = grpc.StatusCode.INTERNAL

FALLBACK = ["claude-opus-4-5"]
CANARY = "canary-0123456789"
MIB = 1024 * 1024


@pytest.fixture
def fast_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between attempts, where the provider names none."""
    monkeypatch.setattr(attempts, "PAUSES", Backoff(interval=0.02, first_retry=0.005))


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream, fast_pauses: None) -> AsyncIterator[ModelService]:
    """A Model Service that tries chats again, as it does by default."""
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="3") as service:
        yield service


def failing(status: int, headers: dict[str, str] | None = None, **error: object) -> Script:
    body = {"error": {"message": f"no {CANARY}", "type": "x", **error}}
    return json_answer(body, status=status, headers=headers)


def limited(**headers: str) -> Script:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return failing(429, told, code="rate_limit_exceeded")


# ------------------------------------------------------------------------------------------- refusals and failures


async def test_u1_a_rate_limit_that_passes_is_waited_for(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(limited(Retry_After="1"), answered_in_any_dialect)
    outcome = await ask(service.stub)
    assert outcome.answer.text == "Hi."
    assert outcome.attempts == ["UPSTREAM_RATE_LIMITED", "ok"]
    first, second = upstream.requests
    assert 1.0 <= second.arrived_at - first.arrived_at < 3.0


@for_each("verb", VERBS)
async def test_u2_a_rate_limit_that_lasts_is_told_with_its_delay(
    service: ModelService, upstream: ScriptedUpstream, verb: str
) -> None:
    upstream.requests.clear()
    upstream.default = limited(retry_after_ms="50")
    outcome = await ask(service.stub, verb)
    assert (outcome.error.code, outcome.error.reason) == (RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED")
    assert outcome.error.retry_seconds == 0.05
    assert len(upstream.requests) == 3


async def test_u3_a_rate_limit_of_ten_minutes_is_told_at_once(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = limited(Retry_After="600")
    outcome = await ask(service.stub)
    assert (outcome.error.code, outcome.error.reason) == (RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED")
    assert outcome.error.retry_seconds == 600
    assert outcome.seconds < 5
    assert len(upstream.requests) == 1


USED_UP = {
    "a quota of OpenAI's": failing(429, {"Retry-After": "1"}, code="insufficient_quota"),
    "a spend limit of Anthropic's": failing(
        400, type="invalid_request_error", details={"error_code": "enforced_spend_limit_reached"}
    ),
}


@for_each("case", USED_UP)
async def test_u4_a_used_up_quota_is_no_rate_limit_and_another_model_may_answer(
    service: ModelService, upstream: ScriptedUpstream, case: str
) -> None:
    upstream.requests.clear()
    upstream.play(USED_UP[case], USED_UP[case], answered_in_any_dialect)
    outcome = await ask(service.stub)
    assert (outcome.error.code, outcome.error.reason) == (RESOURCE_EXHAUSTED, "UPSTREAM_QUOTA_EXHAUSTED")
    assert outcome.error.retry_seconds is None
    assert len(upstream.requests) == 1
    outcome = await ask(service.stub, fallback_models=FALLBACK)
    assert outcome.answer.provider == "anthropic"


FAILING = {
    "500": failing(500),
    "502 of a proxy": answer(f"<html>{CANARY}</html>".encode(), status=502, headers={"Content-Type": "text/html"}),
    "503": answer(b"", status=503),
}


@for_each("verb", VERBS)
@for_each("case", FAILING)
async def test_u5_a_failing_server_is_asked_three_times_and_not_quoted(
    service: ModelService, upstream: ScriptedUpstream, case: str, verb: str
) -> None:
    upstream.requests.clear()
    upstream.play(FAILING[case], FAILING[case], FAILING[case])
    upstream.default = answered_in_any_dialect
    outcome = await ask(service.stub, verb)
    assert (outcome.error.code, outcome.error.reason) == (UNAVAILABLE, "UPSTREAM_SERVER_ERROR")
    assert CANARY not in str(outcome.error)
    assert len(upstream.requests) == 3
    # The circuit is kept from opening by the rows before.
    assert (await ask(service.stub, verb)).answer.text == "Hi."


OVERLOADED = {
    "the status": failing(529, type="overloaded_error"),
    "an event behind 200": event_stream(
        event({"type": "error", "error": {"type": "overloaded_error", "message": CANARY}}, "error")
    ),
}


@pytest.mark.parametrize("case", OVERLOADED)
async def test_u6_an_overloaded_server_is_the_same_in_both_shapes(
    service: ModelService, upstream: ScriptedUpstream, case: str
) -> None:
    upstream.default = OVERLOADED[case]
    outcomes = [await ask(service.stub, model="claude-opus-4-5") for _ in range(2)]
    assert {(outcome.error.code, outcome.error.reason) for outcome in outcomes} == {
        (UNAVAILABLE, "UPSTREAM_OVERLOADED")
    }
    # The circuit breaker counts either shape: five failures in a row open it.
    assert (await ask(service.stub, model="claude-opus-4-5")).error.reason == "CIRCUIT_OPEN"
    assert len(upstream.requests) == 5


CHATS = 300


async def test_u7_of_failures_by_half_the_budget_mends_what_it_may(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    """Further attempts are a fifth of all chats, and some more: the upstream is never asked much more often."""
    chance = random.Random(7)

    def play(request: Received) -> Script:
        return failing(500) if chance.random() < 0.5 else answered_in_any_dialect(request)

    upstream.default = play
    began = asyncio.get_running_loop().time()
    outcomes = [await ask(service.stub, "Chat") for _ in range(CHATS)]
    seconds = asyncio.get_running_loop().time() - began
    answered = sum(outcome.response is not None for outcome in outcomes)
    further = len(upstream.requests) - CHATS
    assert {outcome.error.reason for outcome in outcomes if outcome.failure} == {"UPSTREAM_SERVER_ERROR"}
    assert further <= CAPACITY + PER_CHAT * CHATS + PER_SECOND * seconds
    # The half that succeeds at once, and half of all further attempts, less the luck of the draw.
    assert answered > 0.4 * CHATS + 0.4 * further
    assert further > 0.9 * PER_CHAT * CHATS


OPEN_SECONDS = 1.0


async def test_u8_a_server_that_fails_everything_is_left_alone_until_it_has_recovered(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "OPEN_SECONDS", OPEN_SECONDS)
    upstream.default = failing(500)
    while (await ask(service.stub, "Chat")).error.reason != "CIRCUIT_OPEN":
        assert len(upstream.requests) <= circuit_breaker.FAILURES_IN_ROW
    sent = len(upstream.requests)
    refused = await asyncio.gather(*(ask(service.stub, "Chat") for _ in range(20)))
    assert {(outcome.error.code, outcome.error.reason) for outcome in refused} == {(UNAVAILABLE, "CIRCUIT_OPEN")}
    assert all(0 < (outcome.error.retry_seconds or 0) <= OPEN_SECONDS for outcome in refused)
    assert len(upstream.requests) == sent
    # A trial that fails keeps it open, and only one goes out.
    await asyncio.sleep(OPEN_SECONDS + 0.05)
    await asyncio.gather(*(ask(service.stub, "Chat") for _ in range(5)))
    assert len(upstream.requests) == sent + 1
    upstream.default = answered_in_any_dialect
    await asyncio.sleep(OPEN_SECONDS + 0.05)
    assert (await ask(service.stub, "Chat")).answer.text == "Hi."
    assert [(await ask(service.stub, "Chat")).answer.text for _ in range(3)] == ["Hi."] * 3


# ----------------------------------------------------------------------------------------------- silence and slowness


async def test_u9_a_server_that_cannot_be_connected_to_is_soon_given_up(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "PROBE_SECONDS", 0.2)
    with refusing_address() as refusing, full_address() as full:
        # The one that ends by the caller's own timeout comes first: it must leave half of the retry budget.
        for number, address in enumerate((full, refusing, "nowhere.invalid:80")):
            name = f"away-{number}"
            request = registration(upstream, name, endpoint=f"http://{address}/v1")
            await service.stub.RegisterModel(request)
            outcome = await ask(service.stub, model=name, timeouts=clocks(connect=0.2), timeout=8)
            assert (outcome.error.code, outcome.error.reason) == (UNAVAILABLE, "UPSTREAM_UNREACHABLE")
            assert outcome.attempts == ["UPSTREAM_UNREACHABLE"] * 3
            upstream.play(answered_in_any_dialect)
            outcome = await ask(service.stub, model=name, timeouts=clocks(connect=0.2), fallback_models=["gpt-4o"])
            assert outcome.attempts == ["UPSTREAM_UNREACHABLE", "ok"]


SILENT = {"Chat": clocks(total=0.5), "ChatStream": clocks(first_output=0.5)}


@pytest.mark.parametrize("verb", VERBS)
async def test_u10_a_server_that_never_says_a_byte_is_left_in_time(
    service: ModelService, upstream: ScriptedUpstream, verb: str
) -> None:
    """In the time of the clock, or of the caller if that is shorter; another model may still answer."""
    loop = asyncio.get_running_loop()
    upstream.play(no_answer(), answered_in_any_dialect)
    outcome = await ask(service.stub, verb, timeouts=SILENT[verb], fallback_models=FALLBACK)
    assert outcome.attempts == ["UPSTREAM_TIMEOUT", "ok"]
    silent, served = upstream.requests
    await assert_closed(silent, served.arrived_at)

    upstream.default = no_answer()
    outcome = await ask(service.stub, verb, timeouts=SILENT[verb])
    assert (outcome.error.code, outcome.error.reason) == (UNAVAILABLE, "UPSTREAM_TIMEOUT")
    await assert_closed(upstream.requests[-1], loop.time())

    call = getattr(service.stub, verb)(chat_request(model="gpt-4o-mini"), timeout=0.5)
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await assert_closed(upstream.requests[-1], loop.time())


SLOW_CALLS = 200


async def test_u11_slow_heads_end_in_time_and_hold_up_nobody(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    slow_head = raw(*paced(["HTTP/1.1 200 OK\r\n", *"X-Slow: 1\r\n" * 20], Pause(0.2)))

    def play(request: Received) -> Script:
        return slow_head if request.json()["model"] == "gpt-4o" else answered_in_any_dialect(request)

    upstream.default = play
    async with model_service(tmp_path, upstream) as service:
        slow = [asyncio.create_task(ask(service.stub, timeouts=clocks(first_output=4))) for _ in range(SLOW_CALLS)]
        await upstream.received(SLOW_CALLS)
        healthy = [await ask(service.stub, model="gpt-4o-mini") for _ in range(20)]
        assert not any(task.done() for task in slow)
        outcomes = await asyncio.gather(*slow)
    assert {outcome.answer.text for outcome in healthy} == {"Hi."}
    assert sorted(outcome.seconds for outcome in healthy)[len(healthy) // 2] < 0.5
    assert {(outcome.error.code, outcome.error.reason) for outcome in outcomes} == {(UNAVAILABLE, "UPSTREAM_TIMEOUT")}
    for request in upstream.requests[:SLOW_CALLS]:
        await request.closed_by_peer(CLOSE_SECONDS)


async def test_u13_a_stream_that_stalls_is_not_tried_again(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(event_stream(piece("a"), piece("b"), piece("c"), ending=Ending.STALL))
    outcome = await ask(service.stub, timeouts=clocks(silence=0.5), fallback_models=FALLBACK)
    ended = asyncio.get_running_loop().time()
    assert "".join(outcome.tokens) == "abc"
    assert (outcome.error.code, outcome.error.reason) == (UNAVAILABLE, "UPSTREAM_IDLE")
    told = {"phase": "mid_stream", "chunks": str(len(outcome.tokens)), "usage_estimated": "true"}
    assert outcome.error.metadata.items() >= told.items()
    assert int(outcome.error.metadata["completion_tokens"]) > 0
    assert outcome.attempts == ["UPSTREAM_IDLE"]
    assert len(upstream.requests) == 1
    await assert_closed(upstream.requests[0], ended)


# ------------------------------------------------------------------------------------------------- broken protocols

UNREADABLE: dict[str, str | bytes] = {
    "half of JSON": 'data: {"choices": [{"del\n\n',
    "no UTF-8": b'data: {"choices": "\xff\xfe"}\n\n',
    "no object": "data: [1]\n\n",
}


@for_each("case", UNREADABLE)
async def test_u14_what_cannot_be_read_is_tried_elsewhere_until_there_is_output(
    service: ModelService, upstream: ScriptedUpstream, case: str
) -> None:
    upstream.requests.clear()
    upstream.play(event_stream(UNREADABLE[case]), answered_in_any_dialect)
    outcome = await ask(service.stub, fallback_models=FALLBACK)
    assert outcome.attempts == ["UPSTREAM_PROTOCOL_ERROR", "ok"]
    upstream.play(event_stream(piece("So"), Pause(0.01), UNREADABLE[case]))
    outcome = await ask(service.stub, model="gpt-4o-mini", fallback_models=FALLBACK)
    assert (outcome.error.code, outcome.error.reason) == (INTERNAL, "UPSTREAM_PROTOCOL_ERROR")
    assert outcome.tokens == ["So"]
    assert not re.search(rf"{CANARY}|Error\b|Traceback|expected", outcome.error.message)
    assert len(upstream.requests) == 3


STOP = event({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


@for_each("ending", [Ending.CUT, Ending.RESET, Ending.CLEAN])
async def test_u17_a_break_behind_the_end_of_the_answer_costs_the_usage_and_not_the_answer(
    service: ModelService, upstream: ScriptedUpstream, ending: Ending
) -> None:
    upstream.requests.clear()
    upstream.play(event_stream(piece("Whole."), STOP, ending=ending))
    outcome = await ask(service.stub)
    assert (outcome.answer.text, outcome.answer.finish_reason) == ("Whole.", "stop")
    assert outcome.answer.usage.estimated
    assert len(upstream.requests) == 1


async def test_u19_an_event_without_end_costs_the_largest_event_and_no_more(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """A token of 5 MiB is passed on; a line of 64 MiB is cut where the largest event ends."""
    line = [b"data: ", *[b"x" * MIB] * 64]
    upstream.play(streamed_completion(piece("x" * 5 * MIB)), event_stream(*line))
    settings = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, "MODELS_MAX_ATTEMPTS": "1"}
    with running("models", tmp_path, **settings) as process:
        options = [("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(process.address, options=options) as channel:
            stub = models_pb2_grpc.ModelServiceStub(channel)
            assert len((await ask(stub)).answer.text) == 5 * MIB
            before = resident(process.pid, "VmRSS")
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
            outcome = await ask(stub)
            peak = resident(process.pid, "VmHWM")
    assert (outcome.error.code, outcome.error.reason) == (INTERNAL, "UPSTREAM_PROTOCOL_ERROR")
    assert peak - before < 2 * MAX_EVENT_BYTES
    assert upstream.requests[1].generated < 64


async def test_u21_a_redirect_takes_the_prompt_nowhere(service: ModelService, upstream: ScriptedUpstream) -> None:
    async with ScriptedUpstream(default=answered_in_any_dialect) as elsewhere:
        for status in (301, 302, 307, 308):
            upstream.play(answer(b"", status=status, headers={"Location": f"{elsewhere.url}/v1/chat/completions"}))
            outcome = await ask(service.stub, model="gpt-4o-mini" if status > 302 else "gpt-4o")
            assert (outcome.error.code, outcome.error.reason) == (FAILED_PRECONDITION, "UPSTREAM_REDIRECT")
        assert not elsewhere.connections
    assert len(upstream.requests) == 4


CERTIFICATES: dict[str, tuple[str, bool, Callable[[Authority], ssl.SSLContext]]] = {
    "expired": ("its certificate has expired", True, lambda authority: authority.issue_expired("IP:127.0.0.1")),
    "of another host": ("for another host", True, lambda authority: authority.issue("DNS:example.com")),
    "of an unknown authority": ("not trusted", False, lambda authority: authority.issue("IP:127.0.0.1")),
}


@pytest.mark.parametrize("case", CERTIFICATES)
async def test_u25_a_server_with_a_bad_certificate_gets_no_request(tmp_path: Path, case: str) -> None:
    words, trusted, issue = CERTIFICATES[case]
    authority = Authority(tmp_path)
    authorities = str(authority.path) if trusted else None
    async with (
        ScriptedUpstream(default=answered_in_any_dialect, tls=issue(authority)) as upstream,
        model_service(tmp_path, upstream, MODELS_CA_FILE=authorities) as service,
    ):
        outcome = await ask(service.stub)
        assert (outcome.error.code, outcome.error.reason) == (FAILED_PRECONDITION, "UPSTREAM_TLS")
        assert words in outcome.error.message
        assert not upstream.requests
