"""kill -9 of Model Services while they answer chats: `python -m tests.faults.ledger [--rounds 200]`.

In each round callers ask for whole answers and streams, some of which break off or are refused, until one of the
processes is killed at a random moment and started again on the same files. At the end the ledger is compared with what
the callers were told and with what the provider has counted. The exit code is 1 if one sum does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc

from proto import models_pb2, usage_pb2
from proto.models_pb2_grpc import ModelServiceStub
from proto.usage_pb2_grpc import UsageServiceStub
from services.shared.error_details import DETAILS_KEY, read_reason
from tests.faults.history import Sum
from tests.faults.run import report
from tests.scripted_upstream import Ending, Pause, Received, Script, ScriptedUpstream, event, event_stream, json_answer
from tests.services.model_service import chat_request, completion, piece
from tests.support.postgresql import running_postgresql
from tests.support.processes import Service, start

CALLERS = 12
LATEST_KILL_SECONDS = 0.5
CALL_SECONDS = 20.0
STOP_SECONDS = 30.0
SHIP_SECONDS = 120.0

EVENTS = "SELECT request_id, status, reason, input, output, cost_nano_usd FROM usage_events"
DAYS = (
    "SELECT sum(calls), sum(failed), sum(input), sum(output), sum(cost_nano_usd), sum(unpriced_calls) FROM usage_daily"
)


class Told(NamedTuple):
    """The end of a call as its caller was told it by the service."""

    code: str
    reason: str = ""
    input: int = 0
    output: int = 0


class Event(NamedTuple):
    """An event of the ledger."""

    request_id: str
    status: str
    reason: str
    input: int
    output: int
    cost_nano_usd: int | None


class Provider:
    """What the provider does with the call of a number, and what it has counted."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        """Requests by the call's id."""

    @staticmethod
    def tokens(number: int) -> tuple[int, int]:
        """The tokens of a call's question and answer."""
        return number % 89 + 1, number % 37 + 1

    def answer(self, request: Received) -> Script:
        body = request.json()
        call_id = body["messages"][0]["content"]
        self.asked[call_id] += 1
        number = int(call_id.partition("-")[2])
        question, answer = self.tokens(number)
        usage = {"prompt_tokens": question, "completion_tokens": answer, "total_tokens": question + answer}
        if number % 11 == 0:
            return json_answer({"error": {"message": "slow down"}}, status=429)
        pause = Pause(number % 7 / 50)
        if not body.get("stream"):
            return json_answer({**completion(), "usage": usage}, before=[pause])
        if number % 13 == 0:
            return event_stream(piece("Hel"), pause, piece("lo"), ending=Ending.CUT)
        finish = {"model": "gpt-4o", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        end = event(finish) + event({"model": "gpt-4o", "choices": [], "usage": usage}) + event("[DONE]")
        return event_stream(piece("Hel"), pause, piece("lo"), end)


class Trial:
    """Callers, their processes, and what they were told."""

    def __init__(self, directory: Path, provider: Provider, settings: dict[str, str], processes: int) -> None:
        self.told: dict[str, Told] = {}
        self.calls = 0
        self.kills = 0
        self._directory = directory
        self._provider = provider
        self._settings = settings
        self._services: list[Service] = []
        self._channels: list[grpc.aio.Channel] = []
        self._size = processes

    async def start(self, place: int) -> None:
        """Starts a process, in place of an earlier one."""
        service = await asyncio.to_thread(start, "models", self._directory, **self._settings)
        channel = grpc.aio.insecure_channel(service.address)
        if place == len(self._services):
            self._services.append(service)
            self._channels.append(channel)
            return
        self._services[place].close()
        await self._channels[place].close()
        self._services[place], self._channels[place] = service, channel

    async def begin(self) -> None:
        for place in range(self._size):
            await self.start(place)

    async def round(self, chance: random.Random) -> None:
        """Calls until one of the processes was killed, and is there again."""
        place = chance.randrange(self._size)
        callers = [asyncio.create_task(self._call_until_lost(number % self._size)) for number in range(CALLERS)]
        await asyncio.sleep(chance.uniform(0.02, LATEST_KILL_SECONDS))
        await asyncio.to_thread(self._services[place].kill)
        self.kills += 1
        restart = asyncio.create_task(self.start(place))
        # The other callers go on until theirs is told to stop.
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await restart

    async def end(self) -> None:
        """Stops the processes, after they have shipped what those that were killed have left.

        A stopping one may not have the time for all of it.
        """
        async with asyncio.timeout(SHIP_SECONDS):
            while any(outbox(self._directory).glob("*.log")):
                for channel in self._channels:
                    # Whoever asks for usage gets what the process has recorded until then.
                    await UsageServiceStub(channel).ListUsage(usage_pb2.ListUsageRequest())
        for service in self._services:
            service.send(signal.SIGTERM)
            await service.end(STOP_SECONDS)
        for channel in self._channels:
            await channel.close()

    def close(self) -> None:
        for service in self._services:
            service.close()

    async def _call_until_lost(self, place: int) -> None:
        """One call after the other, until the process is lost. A caller that is cancelled leaves its call."""
        stub = ModelServiceStub(self._channels[place])
        while True:
            self.calls += 1
            call_id = f"call-{self.calls}"
            try:
                self.told[call_id] = await self._call(stub, call_id, stream=self.calls % 2 == 0)
            except grpc.aio.AioRpcError as error:
                details = dict(error.trailing_metadata()).get(DETAILS_KEY)
                if details is None:
                    return
                assert isinstance(details, bytes)
                self.told[call_id] = Told(error.code().name, read_reason(details))

    async def _call(self, stub: ModelServiceStub, call_id: str, *, stream: bool) -> Told:
        request, metadata = chat_request(text=call_id), [("x-request-id", call_id)]
        if not stream:
            return _told(await stub.Chat(request, metadata=metadata, timeout=CALL_SECONDS))
        response = models_pb2.ChatResponse()
        async for chunk in stub.ChatStream(request, metadata=metadata, timeout=CALL_SECONDS):
            response = chunk.response
        return _told(response)


def _told(response: models_pb2.ChatResponse) -> Told:
    return Told("OK", "", response.usage.prompt_tokens, response.usage.completion_tokens)


def judge(trial: Trial, provider: Provider, events: list[Event], days: tuple[int, ...], files: list[str]) -> list[Sum]:
    """The sums that must hold."""
    known = {event.request_id: event for event in events}
    times = Counter(event.request_id for event in events)
    unsent = [event for event in events if event.request_id not in provider.asked]
    untold_asked = provider.asked.keys() - trial.told.keys()
    whole = [event for event in events if event.status == "OK"]
    counted = [provider.tokens(int(event.request_id.partition("-")[2])) for event in whole]
    of_events = (
        len(events),
        sum(event.status != "OK" for event in events),
        sum(event.input for event in events),
        sum(event.output for event in events),
        sum(event.cost_nano_usd or 0 for event in events),
        sum(event.cost_nano_usd is None for event in events),
    )
    return [
        Sum(
            "every told end is in the ledger as it was told",
            f"{len(trial.told)} calls",
            sum(not _agrees(told, known.get(call)) for call, told in trial.told.items()),
        ),
        Sum("every call is there once", f"{len(events)} events", sum(count > 1 for count in times.values())),
        Sum(
            "every request that the provider has counted is there",
            f"{len(provider.asked)} requests, {len(untold_asked)} of untold calls",
            sum(call not in known for call in provider.asked),
        ),
        Sum(
            "the provider knows every event, but of calls that were lost or left before they were sent",
            f"{len(unsent)} calls",
            sum(event.status not in ("UNKNOWN", "CANCELLED") or event.input > 0 for event in unsent),
        ),
        Sum(
            "the tokens of whole answers are the provider's own",
            f"{sum(map(sum, counted))} tokens of {len(whole)} answers",
            abs(sum(event.input + event.output for event in whole) - sum(map(sum, counted))),
        ),
        Sum(
            "the sums by day are those of the events",
            f"{tuple(map(int, days))}",
            int(tuple(map(int, days)) != of_events),
        ),
        Sum("no file is left", ", ".join([f"{trial.kills} kills", *files]), len(files)),
    ]


def _agrees(told: Told, event: Event | None) -> bool:
    if event is None or (event.status, event.reason) != (told.code, told.reason):
        return False
    return told.code != "OK" or (event.input, event.output) == (told.input, told.output)


def outbox(directory: Path) -> Path:
    """The directory of the ledger's files."""
    return directory / "data" / "usage"


def read_ledger(directory: Path, url: str) -> tuple[list[Event], tuple[int, ...]]:
    """The events and the sums of the rollups."""
    if url:
        import psycopg

        with psycopg.connect(url) as server:
            return [Event(*row) for row in server.execute(EVENTS)], server.execute(DAYS).fetchone() or ()
    with contextlib.closing(sqlite3.connect(directory / "data" / "usage.db")) as file:
        return [Event(*row) for row in file.execute(EVENTS)], file.execute(DAYS).fetchone()


async def kill_and_count(directory: Path, rounds: int, *, seed: int, processes: int = 1, url: str = "") -> list[Sum]:
    """The sums after some rounds, on SQLite or at the URL of a PostgreSQL schema."""
    chance, provider = random.Random(seed), Provider()
    async with ScriptedUpstream(default=provider.answer, forgets=True) as upstream:
        settings = {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
            "MODELS_MAX_ATTEMPTS": "1",
            "MODELS_DATABASE_URL": url,
        }
        trial = Trial(directory, provider, settings, processes)
        try:
            await trial.begin()
            for _ in range(rounds):
                await trial.round(chance)
            await trial.end()
        finally:
            trial.close()
    files = sorted(path.name for path in outbox(directory).iterdir())
    return judge(trial, provider, *read_ledger(directory, url), files)


@contextlib.contextmanager
def postgresql_url() -> Iterator[str]:
    with running_postgresql() as server:
        yield server.new_url()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.ledger", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200, help="kills (200)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what chance follows from")
    parser.add_argument("--processes", type=int, default=2, help="Model Services on the same files (2)")
    parser.add_argument("--sqlite", action="store_true", help="one process on SQLite instead of several on PostgreSQL")
    arguments = parser.parse_args()
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    with (
        tempfile.TemporaryDirectory(prefix="ledger-") as directory,
        contextlib.nullcontext("") if arguments.sqlite else postgresql_url() as url,
    ):
        processes = 1 if arguments.sqlite else arguments.processes
        work = kill_and_count(Path(directory), arguments.rounds, seed=arguments.seed, processes=processes, url=url)
        sums = asyncio.run(work)
    print(f"{report(sums, [])}\nseed {arguments.seed}")
    sys.exit(any(not each.holds for each in sums))


if __name__ == "__main__":
    main()
