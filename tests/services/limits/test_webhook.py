"""The webhook in front of receivers that take events, refuse them, are dead, or hang."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator

import pytest

from services.models.limits import webhook as module
from services.models.limits.event_queue import EventQueue
from services.models.limits.webhook import MAX_WAITING, TRIES, Webhook
from services.shared.backoff import Backoff
from services.shared.logs import LineWriter, Log
from tests.scripted_upstream import ScriptedUpstream, answer, no_answer
from tests.services.log_file import LogFile

KEY = "a key of the webhook"
RULE = "monthly"
TAKEN = answer(b"", status=204)
GIVEN_UP = "the webhook was not told of an event"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", Backoff(interval=0.02, first_retry=0.01))


@contextlib.asynccontextmanager
async def opened(url: str, seconds: float = 5.0, key: str = KEY) -> AsyncIterator[tuple[Webhook, LogFile]]:
    log = LogFile()
    webhook = Webhook(url, key, Log(LineWriter(log), "models", "info"), seconds=seconds)
    webhook.start()
    try:
        yield webhook, log
    finally:
        await webhook.close()


async def given_up(log: LogFile, count: int) -> list[tuple[str, str]]:
    """Waits until the log has so many lines, all of them of events that were given up; returns their ids and why."""
    await log.written(count)
    assert {entry["event"] for entry in log.entries()} <= {GIVEN_UP}
    return [(entry["event_id"], entry["why"]) for entry in log.entries()]


async def test_a_receiver_gets_each_event_once_and_signed() -> None:
    async with ScriptedUpstream(default=TAKEN) as receiver, opened(f"{receiver.url}/hook?token=1") as (webhook, log):
        webhook.tell(RULE, {"id": "1", "text": "größer"})
        webhook.tell(RULE, {"id": "2"})
        await receiver.received(2)
    assert [request.json() for request in receiver.requests] == [{"id": "1", "text": "größer"}, {"id": "2"}]
    first = receiver.requests[0]
    assert (first.method, first.path) == ("POST", "/hook?token=1")
    assert first.headers["content-type"] == "application/json"
    expected = hmac.new(KEY.encode(), first.body, hashlib.sha256).hexdigest()
    assert first.headers["x-genai-signature"] == f"sha256={expected}"
    assert await given_up(log, 0) == []


async def test_without_a_key_nothing_is_signed() -> None:
    async with ScriptedUpstream(default=TAKEN) as receiver, opened(receiver.url, key="") as (webhook, _):
        webhook.tell(RULE, {"id": "1"})
        assert "x-genai-signature" not in (await receiver.received(1)).headers


async def test_an_event_that_is_not_taken_is_sent_again() -> None:
    async with ScriptedUpstream(default=TAKEN) as receiver, opened(receiver.url) as (webhook, log):
        receiver.play(answer(b"", status=503), answer(b"", status=429))
        webhook.tell(RULE, {"id": "1"})
        await receiver.received(3)
    assert {request.body for request in receiver.requests} == {b'{"id": "1"}'}
    assert len(receiver.requests) == 3
    assert await given_up(log, 0) == []


async def test_a_refused_event_is_not_sent_again() -> None:
    async with ScriptedUpstream(default=TAKEN) as receiver, opened(receiver.url) as (webhook, log):
        receiver.play(answer(b"", status=410))
        webhook.tell(RULE, {"id": "refused"})
        webhook.tell(RULE, {"id": "next"})
        assert (await receiver.received(2)).json() == {"id": "next"}
    assert await given_up(log, 1) == [("refused", "HTTP 410")]


async def test_a_dead_receiver_is_given_up() -> None:
    async with ScriptedUpstream() as gone:
        url = gone.url
    async with opened(f"{url}/secret-path") as (webhook, log):
        webhook.tell(RULE, {"id": "1"})
        assert await given_up(log, 1) == [("1", "UPSTREAM_UNREACHABLE")]
    assert b"secret-path" not in log.getvalue()


async def test_a_hanging_receiver_holds_nobody_and_loses_no_later_event() -> None:
    async with ScriptedUpstream(default=TAKEN) as receiver, opened(receiver.url, seconds=0.05) as (webhook, log):
        receiver.play(*[no_answer() for _ in range(TRIES)])
        began = time.perf_counter()
        webhook.tell(RULE, {"id": "hangs"})
        webhook.tell(RULE, {"id": "next"})
        assert time.perf_counter() - began < 0.05
        assert (await receiver.received(TRIES + 1)).json() == {"id": "next"}
    assert await given_up(log, 1) == [("hangs", "it did not answer in time")]


async def test_a_queue_that_is_full_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.05)
    async with ScriptedUpstream(default=no_answer()) as receiver, opened(receiver.url) as (webhook, log):
        for number in range(MAX_WAITING + 1):
            webhook.tell(RULE, {"id": str(number)})
        assert await given_up(log, 1) == [(str(MAX_WAITING), "too many wait")]
        await receiver.received(1)
        async with asyncio.timeout(5):
            await webhook.close()
        assert len(await given_up(log, MAX_WAITING + 1)) == MAX_WAITING + 1


async def test_a_rule_that_fills_the_queue_loses_no_event_of_another() -> None:
    taken = asyncio.Event()
    async with ScriptedUpstream(default=TAKEN) as receiver, opened(receiver.url) as (webhook, log):
        receiver.play(answer(b"", status=204, before=[taken]))
        webhook.tell("end users", {"id": "first"})
        await receiver.received(1)
        for number in range(MAX_WAITING + 10):
            webhook.tell("end users", {"id": f"user {number}"})
        for number in range(3):
            webhook.tell("projects", {"id": f"project {number}"})
        taken.set()
        await receiver.received(MAX_WAITING + 1)
    told = [request.json()["id"] for request in receiver.requests]
    rounds = ["user 0", "project 0", "user 1", "project 1", "user 2", "project 2", "user 3", "user 4"]
    assert told[: len(rounds) + 1] == ["first", *rounds]
    assert told[len(rounds) + 1 :] == [f"user {number}" for number in range(5, MAX_WAITING - 3)]
    newest = [*range(MAX_WAITING, MAX_WAITING + 10), *reversed(range(MAX_WAITING - 3, MAX_WAITING))]
    assert await given_up(log, 13) == [(f"user {number}", "too many wait") for number in newest]


def test_an_event_of_one_rule_more_than_there_are_places_displaces_none() -> None:
    queue = EventQueue(2)
    assert [queue.add(rule, {"id": rule}) for rule in ("a", "b", "c")] == [None, None, {"id": "c"}]
    assert [queue.take(), queue.take(), len(queue)] == [{"id": "a"}, {"id": "b"}, 0]
