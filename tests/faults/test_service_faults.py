"""Faults of the services' own processes, S1 to S15 of the fault matrix: signals, limits, clocks and disks."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proto import models_pb2_grpc
from tests.faults.outcomes import Outcome, ask
from tests.scripted_upstream import Received, Script, ScriptedUpstream, event_stream, json_answer
from tests.services.model_service import END, chat_request, completion, piece
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.errors import explain
from tests.support.processes import Platform, running, running_platform

Stub = models_pb2_grpc.ModelServiceStub

STREAMS = 60
CHATS = 30
RECOVERED_SECONDS = 5.0
ENDED_SECONDS = 3.0
"""Of a busy machine: it is a tenth of a second at rest."""
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def openai_at(upstream: ScriptedUpstream) -> dict[str, str]:
    return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{upstream.url}/v1"}


@contextlib.asynccontextmanager
async def called(address: str) -> AsyncIterator[models_pb2_grpc.ModelServiceStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield models_pb2_grpc.ModelServiceStub(channel)


class Streams:
    """Streams that have all come to their first token, and wait for the rest."""

    def __init__(self, stub: models_pb2_grpc.ModelServiceStub, upstream: ScriptedUpstream, count: int) -> None:
        self.rest = asyncio.Event()
        self.never = asyncio.Event()
        self._begun = 0
        self._all_begun = asyncio.Event()
        self._count = count
        # Every second one has an end.
        gates = [self.rest if number % 2 else self.never for number in range(count)]
        upstream.play(*(event_stream(piece("a"), gate, piece("b"), END) for gate in gates))
        self.reading = [asyncio.create_task(self._read(stub)) for _ in range(count)]

    def let_all_end(self) -> None:
        self.rest.set()
        self.never.set()

    async def begun(self) -> None:
        await asyncio.wait_for(self._all_begun.wait(), 20)

    async def _read(self, stub: models_pb2_grpc.ModelServiceStub) -> tuple[str, grpc.aio.AioRpcError | None]:
        """The text of a whole answer, or the tokens before the error."""
        text = ""
        last = None
        try:
            async for last in stub.ChatStream(chat_request(), timeout=60):
                text += last.token
                if text == "a":
                    self._begun += 1
                    if self._begun == self._count:
                        self._all_begun.set()
        except grpc.aio.AioRpcError as error:
            return text, error
        assert last is not None
        assert last.HasField("response"), "OK without a last chunk"
        return text, None


async def recovered(call: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """The first success of a call that is made again and again, which must come in time."""
    async with asyncio.timeout(RECOVERED_SECONDS):
        while True:
            outcome = await call()
            if outcome.response:
                return outcome
            await asyncio.sleep(0.05)


@pytest.fixture
async def platform(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Platform]:
    upstream.default = answered_in_any_dialect
    with running_platform(tmp_path, **openai_at(upstream)) as platform:
        yield platform


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 a file sends no notification
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------------------------ signals


async def test_s1_killing_the_model_service_ends_every_stream_at_once(
    platform: Platform, upstream: ScriptedUpstream
) -> None:
    async with called(platform.address) as stub:
        streams = Streams(stub, upstream, STREAMS)
        await streams.begun()
        loop = asyncio.get_running_loop()
        killed_at = loop.time()
        await asyncio.to_thread(platform.services["models"].kill)
        ended = await asyncio.gather(*streams.reading)
        assert loop.time() - killed_at < ENDED_SECONDS
        for text, error in ended:
            assert error
            failure = explain(error)
            assert (text, failure.code, failure.reason) == ("a", UNAVAILABLE, "BACKEND_LOST")
        for request in upstream.requests:
            await request.closed_by_peer(ENDED_SECONDS)
        await asyncio.to_thread(platform.start, "models")
        await recovered(lambda: ask(stub))


async def test_s2_killing_the_gateway_loses_no_answer_of_a_call_that_is_repeated(
    platform: Platform, upstream: ScriptedUpstream
) -> None:
    """Chats with a request_id are repeated until they succeed: each has one answer, however often it is asked for."""
    answers = 0
    half = asyncio.Event()

    def play(request: Received) -> Script:
        nonlocal answers
        answers += 1
        if answers == CHATS // 2:
            half.set()
        return json_answer(completion(f"answer {answers}"), before=[half])

    async with called(platform.address) as stub:
        upstream.default = play
        ids = [f"chat-{number}" for number in range(CHATS)]
        first = [asyncio.create_task(ask(stub, "Chat", request_id=name, model="gpt-4o-mini")) for name in ids]
        await asyncio.wait_for(half.wait(), 20)
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.to_thread(platform.services["gateway"].kill)
        # Those that the gateway had not answered have a status of grpc's own, without details.
        before = [end for end in await asyncio.gather(*first, return_exceptions=True) if isinstance(end, Outcome)]
        await asyncio.to_thread(platform.start, "gateway")
    async with called(platform.address) as stub:
        asked = [recovered(functools.partial(ask, stub, "Chat", request_id=name, model="gpt-4o-mini")) for name in ids]
        texts = [outcome.answer.text for outcome in await asyncio.gather(*asked)]
        again = [(await ask(stub, "Chat", request_id=name, model="gpt-4o-mini")).answer.text for name in ids]
    assert texts == again
    assert len(set(texts)) == CHATS
    assert {outcome.answer.text for outcome in before} <= set(texts)


async def test_s4_a_stop_lets_the_streams_finish_that_can_and_ends_the_others(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    with running("models", tmp_path, GENAI_GRACE_SECONDS="2", **openai_at(upstream)) as process:
        async with called(process.address) as stub:
            streams = Streams(stub, upstream, STREAMS)
            await streams.begun()
            process.send(signal.SIGTERM)
            streams.rest.set()
            ended = await asyncio.gather(*streams.reading)
        assert await process.end() == 0
        log = process.log()
    whole = [text for text, error in ended if error is None]
    cut = [(text, error.code()) for text, error in ended if error]
    assert whole == ["ab"] * (STREAMS // 2)
    assert {text for text, _ in cut} == {"a"}
    assert {code for _, code in cut} <= {UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert "Traceback" not in log
    assert "was destroyed" not in log


async def test_s6_a_service_that_was_stopped_for_a_while_goes_on_and_mixes_nothing_up(
    platform: Platform, upstream: ScriptedUpstream
) -> None:
    async with called(platform.address) as stub:
        streams = Streams(stub, upstream, 2)
        await streams.begun()
        models = platform.services["models"]
        models.send(signal.SIGSTOP)
        late = stub.ChatStream(chat_request("gpt-4o-mini"), timeout=0.5)
        assert await late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        models.send(signal.SIGCONT)
        upstream.default = event_stream(piece("new"), END)
        assert {(await ask(stub)).answer.text for _ in range(5)} == {"new"}
        streams.let_all_end()
        assert await asyncio.gather(*streams.reading) == [("ab", None)] * 2


# --------------------------------------------------------------------------------------------- loops, clocks and limits

HELD_SECONDS = 0.8
HELD_LOOP = f"""
import signal, time
def hold(*_):
    until = time.process_time() + {HELD_SECONDS}
    while time.process_time() < until:
        pass
signal.signal(signal.SIGUSR1, hold)
"""


async def first_error(health: health_pb2_grpc.HealthStub) -> grpc.StatusCode:
    """The status of the first check that fails, of those that are made one after another."""
    async with asyncio.timeout(20):
        while True:
            try:
                await health.Check(health_pb2.HealthCheckRequest(), timeout=0.3)
            except grpc.aio.AioRpcError as error:
                return error.code()


async def test_s7_a_loop_that_is_held_misses_its_health_check_and_says_where(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    with running("models", tmp_path, before=HELD_LOOP, **openai_at(upstream)) as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            stub, health = models_pb2_grpc.ModelServiceStub(channel), health_pb2_grpc.HealthStub(channel)
            streams = Streams(stub, upstream, 2)
            await streams.begun()
            process.send(signal.SIGUSR1)
            assert await first_error(health) is grpc.StatusCode.DEADLINE_EXCEEDED
            await health.Check(health_pb2.HealthCheckRequest(), timeout=20)
            streams.let_all_end()
            assert await asyncio.gather(*streams.reading) == [("ab", None)] * 2
        process.send(signal.SIGTERM)
        assert await process.end() == 0
        held = [entry for entry in process.entries() if entry["event"] == "event loop held"]
    assert held
    assert any(" hold" in place for place in held[0]["where"])


HOUR = 3600
ROOM_OF_OTHERS = 8 * 1024 * 1024
"""Bytes beyond the databases and the outbox of a service that has hardly been used."""
SHIFTED_CLOCK = """
import pathlib, time
offset, now, now_ns = pathlib.Path({path!r}), time.time, time.time_ns
time.time = lambda: now() + int(offset.read_text())
time.time_ns = lambda: now_ns() + int(offset.read_text()) * 10**9
"""


async def test_s12_a_clock_that_jumps_during_a_call_moves_no_deadline_and_no_pause(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    clock = tmp_path / "offset"
    clock.write_text("0")
    loop = asyncio.get_running_loop()
    before = SHIFTED_CLOCK.format(path=str(clock))
    with running("models", tmp_path, before=before, **openai_at(upstream)) as process:
        async with called(process.address) as stub:
            streams = Streams(stub, upstream, 2)
            await streams.begun()
            for offset in (HOUR, -HOUR):
                gate = asyncio.Event()
                headers = {"retry-after-ms": "200"}
                upstream.requests.clear()
                upstream.play(json_answer({"error": {}}, status=429, headers=headers, before=[gate]))
                limited = asyncio.create_task(ask(stub))
                await upstream.received(1)
                upstream.play(event_stream(piece("a"), streams.never))
                expiring = stub.ChatStream(chat_request(), timeout=2)
                await upstream.received(2)
                upstream.default = answered_in_any_dialect
                jumped_at = loop.time()
                clock.write_text(str(offset))
                gate.set()
                assert (await limited).attempts == ["UPSTREAM_RATE_LIMITED", "ok"]
                assert 0.2 <= loop.time() - jumped_at < 10
                await upstream.requests[1].closed_by_peer(10)
                assert await expiring.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                clock.write_text("0")
            streams.let_all_end()
            assert await asyncio.gather(*streams.reading) == [("ab", None)] * 2
        process.send(signal.SIGTERM)
        assert await process.end() == 0
        calls = [entry for entry in process.entries() if entry["event"] == "rpc"]
    assert [entry["code"] for entry in calls].count("DEADLINE_EXCEEDED") == 2
    assert all(0 <= entry["duration_ms"] < 60_000 for entry in calls)


async def test_s13_a_full_log_volume_stops_nothing_and_is_told_once_there_is_room(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The limit on the size of a file stands for the volume; it can be lifted while the process runs."""
    upstream.default = answered_in_any_dialect
    with running("models", tmp_path, **openai_at(upstream)) as process:
        async with called(process.address) as stub:
            assert (await ask(stub)).answer.text == "Hi."
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            # Half of a line has room.
            log_file = tmp_path / "models.log"
            await until(lambda: '"rpc"' in process.log())
            # The limit is for every file of the process, and the others are to have room.
            with log_file.open("ab") as log:
                log.write(b"#\n" * (ROOM_OF_OTHERS // 2))
            full = log_file.stat().st_size + 100
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (full, hard))
            outcomes = [await ask(stub) for _ in range(20)]
            await until(lambda: log_file.stat().st_size == full)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))
            outcomes.append(await ask(stub))
        process.send(signal.SIGTERM)
        assert await process.end() == 0
        entries = [json.loads(line) for line in process.log().splitlines() if line.endswith("}")]
    assert {outcome.answer.text for outcome in outcomes} == {"Hi."}
    events = [entry["event"] for entry in entries]
    [lost] = [entry["count"] for entry in entries if entry["event"] == "log lines dropped"]
    assert events.count("rpc") + lost == len(outcomes) + 1
    assert lost
    assert "stopped" in events
