"""A request_id whose storage is locked, full of answers, or used by replicas with other clocks."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from services.models.calls import fingerprints, idempotency, surplus
from services.models.calls.kept_answers import Found, KeptAnswers, Key
from services.shared import sqlite
from services.shared.offload import LARGE_BYTES
from tests.rows import for_each
from tests.scripted_upstream import ScriptedUpstream, event_stream, json_answer
from tests.services.model_service import END, ModelService, chat_request, completion, model_service, piece
from tests.services.test_idempotency import is_repeated
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.databases import on_postgresql_too
from tests.support.errors import failure_of

CALLERS = {"a": "10.0.0.1", "b": "10.0.0.2"}


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """A database that another process writes to for the length of the block."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def codes(response: models_pb2.ChatResponse) -> list[str]:
    return [notice.code for notice in response.warnings]


async def test_running_call_is_waited_for_without_a_write(
    tmp_path: Path,
    hasty_sqlite: None,
    service: ModelService,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "LONGEST_PAUSE_SECONDS", 0.05)
    looks = asyncio.Semaphore(0)
    original = KeptAnswers.find

    async def find(self: KeptAnswers, key: Key, fingerprint: str) -> Found | None:
        looks.release()
        return await original(self, key, fingerprint)

    monkeypatch.setattr(KeptAnswers, "find", find)
    gate = asyncio.Event()
    upstream.play(event_stream(piece("Hi."), gate, END))
    request = chat_request(request_id="r-1")
    first = asyncio.ensure_future(service.stub.Chat(request))
    await upstream.received(1)
    second = asyncio.ensure_future(service.stub.Chat(request))
    async with asyncio.timeout(10):
        await looks.acquire()
        with locked(tmp_path / "calls.db"):
            for _ in range(6):
                await looks.acquire()
    gate.set()
    assert (await first).response_id == (await second).response_id
    assert len(upstream.requests) == 1


async def test_locked_storage_delays_no_call_beyond_its_deadline_and_leaves_the_id_free(
    tmp_path: Path, service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = answered_in_any_dialect
    request = chat_request(request_id="r-1")
    with locked(tmp_path / "calls.db"), pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Chat(request, timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert upstream.requests == []
    # A lease would be waited for.
    assert not is_repeated(await service.stub.Chat(request, timeout=5))


async def test_locked_storage_refuses_a_call_that_has_time(
    tmp_path: Path, hasty_sqlite: None, service: ModelService, upstream: ScriptedUpstream
) -> None:
    with locked(tmp_path / "calls.db"):
        failure = await failure_of(service.stub.Chat(chat_request(request_id="r-1"), timeout=30))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_BUSY")
    assert upstream.requests == []


async def test_answer_is_given_in_time_although_the_storage_is_locked_and_is_kept_later(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WRITER", (*sqlite._WRITER, "PRAGMA busy_timeout = 60000"))
    monkeypatch.setattr(idempotency, "KEEP_SECONDS", 60)
    gate = asyncio.Event()
    upstream.play(json_answer(completion("paid"), before=[gate]))
    request = chat_request(request_id="r-1")
    async with model_service(tmp_path, upstream) as service:
        first = asyncio.ensure_future(service.stub.Chat(request, timeout=2))
        await upstream.received(1)
        with locked(tmp_path / "calls.db"):
            gate.set()
            answer = await first
        assert answer.text == "paid"
        assert "ANSWER_NOT_KEPT" in codes(answer)
        assert is_repeated(await service.stub.Chat(request))
    assert len(upstream.requests) == 1


async def test_failure_does_not_wait_for_a_locked_storage(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WRITER", (*sqlite._WRITER, "PRAGMA busy_timeout = 60000"))
    monkeypatch.setattr(idempotency, "RELEASE_SECONDS", 0.1)
    gate = asyncio.Event()
    upstream.play(json_answer({"error": {"message": "no"}}, status=400, before=[gate]), answered_in_any_dialect)
    request = chat_request(request_id="r-1")
    async with model_service(tmp_path, upstream) as service:
        first = asyncio.ensure_future(failure_of(service.stub.Chat(request, timeout=10)))
        await upstream.received(1)
        with locked(tmp_path / "calls.db"):
            gate.set()
            assert (await first).reason == "UPSTREAM_INVALID_REQUEST"
        assert not is_repeated(await service.stub.Chat(request, timeout=5))


async def test_replica_with_another_clock_does_not_take_over_a_running_call(
    tmp_path: Path, upstream: ScriptedUpstream, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real_time = asyncio.Event(), time.time
    upstream.play(event_stream(piece("Hi."), gate, END), answered_in_any_dialect)
    request = chat_request(request_id="r-1")
    async with model_service(tmp_path, upstream, MODELS_CALLS_DATABASE_URL=postgresql_url) as service:
        first = asyncio.ensure_future(service.stub.Chat(request))
        await upstream.received(1)
        monkeypatch.setattr(time, "time", lambda: real_time() + 60)
        second = asyncio.ensure_future(service.stub.Chat(request))
        done, _ = await asyncio.wait({second}, timeout=0.5)
        assert not done
        gate.set()
        assert (await first).response_id == (await second).response_id
    assert len(upstream.requests) == 1


BOUNDS: dict[str, tuple[float, tuple[str, str]]] = {
    # The answers that there may be, in units of one, and the one that gives way.
    "CALLER_ANSWERS": (2, ("a", "1")),
    "CALLER_BYTES": (2.5, ("a", "1")),
    "ALL_ANSWERS": (3, ("b", "1")),
    "ALL_BYTES": (3.5, ("b", "1")),
}


@on_postgresql_too
@for_each("name", BOUNDS)
async def test_oldest_answers_beyond_the_bounds_give_way(
    tmp_path: Path,
    upstream: ScriptedUpstream,
    default_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    purged, original = asyncio.Event(), KeptAnswers.purge

    async def purge(self: KeptAnswers) -> None:
        await original(self)
        purged.set()

    async def ask(service: ModelService, caller: str, number: str) -> models_pb2.ChatResponse:
        metadata = [("x-genai-caller", f"ipv4:{CALLERS[caller]}:5")]
        response: models_pb2.ChatResponse = await service.stub.Chat(
            chat_request(request_id=f"{name} {number}"), metadata=metadata
        )
        return response

    upstream.default = answered_in_any_dialect
    limit, gone = BOUNDS[name]
    async with model_service(tmp_path, upstream, MODELS_CALLS_DATABASE_URL=default_database_url) as service:
        with monkeypatch.context() as patched:
            patched.setattr(KeptAnswers, "purge", purge)
            patched.setattr("services.models.calls.kept_answers.PURGES_PER_BOUND", surplus.CALLER_ANSWERS)
            for caller, number in (order := [("b", "1"), ("a", "1"), ("a", "2"), ("a", "3")]):
                size = (await ask(service, caller, number)).ByteSize()
                patched.setattr(surplus, name, int(limit * (size if name.endswith("BYTES") else 1)))
                await asyncio.wait_for(purged.wait(), 10)
                purged.clear()
        kept = [key for key in order if key != gone and is_repeated(await ask(service, *key))]
        assert kept == [key for key in order if key != gone]
        assert not is_repeated(await ask(service, *gone))


async def test_large_requests_are_compared_beside_the_event_loop(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    original = fingerprints._fingerprint

    def fingerprint(*arguments: Any) -> str:
        threads.append(threading.get_ident())
        return original(*arguments)

    monkeypatch.setattr(fingerprints, "_fingerprint", fingerprint)
    upstream.default = answered_in_any_dialect
    await service.stub.Chat(chat_request(text="x" * LARGE_BYTES, request_id="r-1"))
    assert threads
    assert threading.get_ident() not in threads
