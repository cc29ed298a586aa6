"""What the fuzzers of running processes share: the three services, what is behind them, and what is watched of them.

Watched are: whether the processes live and their ports answer, their logs, their memory, how quickly they answer a
health call beside all else, and that a real chat goes through.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proto import models_pb2
from tests.fuzz.heartbeat import LATE_SECONDS
from tests.fuzz.report import Report
from tests.fuzz.upstream import Play, Upstream, answer_well
from tests.support.fork_server import ROOT
from tests.support.processes import Platform

NAMES = ("sessions", "models", "gateway")
HELD = "event loop held"
"""What a process logs of its own loop."""
GUARD = "import tests.fuzz.guard"
"""What a service does first."""
MIB = 1024 * 1024

CANARY = "canary-0123456789"
"""Stands in the keys of the providers: nobody may ever be told it."""

MAX_GROWTH_MIB = 96
"""How much larger a process may be at the end of a run than after its first tenth: what is stored meanwhile is more."""
MAX_PEAK_MIB = 512

CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 64 * MIB),
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
]

SERVES_SECONDS = 10.0
"""When a port that does not answer counts as dead. It is to answer within one; this machine may have other work."""


class Stall(NamedTuple):
    """A time in which a process did not get on, by the clock of `time.monotonic`."""

    service: str
    began: float
    seconds: float


class Memory(NamedTuple):
    """What a process holds, in MiB."""

    now: int
    peak: int


class FuzzedPlatform:
    """Three processes, a provider behind them, a heart beside them."""

    def __init__(self, directory: Path, upstream: Upstream, report: Report) -> None:
        self.upstream = upstream
        self.report = report
        self.stalls: list[Stall] = []
        """What the processes tell of their loops; where they do not, the late beats of the heart."""
        self.late_beats: list[Stall] = []
        self._platform = Platform(directory, **_settings(upstream))
        self._heart: _HeartProcess | None = None
        self._logs = {name: directory / f"{name}.log" for name in NAMES}
        self._read: dict[str, int] = dict.fromkeys(NAMES, 0)
        self._has_watchdog = any(HELD in path.read_text() for path in (ROOT / "services" / "shared").glob("*.py"))
        self._probes = 0
        self._first: dict[str, Memory] = {}
        self._events = Counter[str]()

    def start(self) -> None:
        for name in NAMES:
            self._platform.start(name, before=GUARD)
        self._heart = _HeartProcess(self)

    def close(self) -> None:
        if self._heart:
            self._heart.close()
        self._platform.close()

    def address(self, name: str) -> str:
        return self._platform.services[name].address

    def port(self, name: str) -> int:
        return int(self.address(name).rpartition(":")[2])

    def pid(self, name: str) -> int:
        return self._platform.services[name].pid

    def dead(self) -> list[str]:
        """The processes that have ended."""
        return [name for name in NAMES if not self._platform.services[name].runs]

    def restart(self) -> None:
        """Starts all processes again, at the same ports."""
        if self._heart:
            self._heart.close()
        self.start()
        self._first = {}

    def memory(self) -> dict[str, Memory]:
        return {name: _memory(self.pid(name)) for name in NAMES}

    def remember_memory(self) -> None:
        """Takes what the processes hold now for what they hold once they have warmed up."""
        self._first = self.memory()

    def new_log_lines(self) -> Iterator[tuple[str, dict[str, Any] | str]]:
        """The lines that came since the last time, as objects, and all together the text that others wrote there."""
        for name, path in self._logs.items():
            with path.open("rb") as file:
                file.seek(self._read[name])
                data = file.read()
            # A line may be half written.
            data = data[: data.rfind(b"\n") + 1]
            self._read[name] += len(data)
            text: list[str] = []
            for line in data.splitlines():
                if line.startswith(b"{"):
                    yield name, msgspec.json.decode(line, type=dict[str, Any])
                else:
                    text.append(line.decode(errors="replace"))
            if text:
                yield name, "\n".join(text)

    def note_log_line(self, service: str, line: dict[str, Any] | str, case: str = "") -> None:
        """Counts what no log may say, whatever was asked. `case` is what the line is about, where that is known."""
        if isinstance(line, str):
            if "Traceback" in line or "Fatal" in line:
                self.report.find(f"{service} wrote {line.rstrip().rpartition(chr(10))[2][:80]}", line[-4000:])
            return
        event = line.get("event")
        if event not in ("rpc", "library warning", "unexpected error"):
            self._events[f"{service}: {event}"] += 1
        if event == "event loop stuck":
            self.report.find(f"{service}: its event loop was stuck", line)
        elif event == "unexpected error":
            where = (line.get("where") or ["?"])[-1].rpartition("/")[2]
            self.report.find(f"{service}: unexpected {line.get('error')} at {where}", case or line)
        elif event == "library warning":
            told = line.get("error") or str(line.get("template"))[:60]
            self.report.find(f"{line.get('logger')} warned at {line.get('at')}: {told}", line)
        elif event == HELD:
            self.stalls.append(_logged_stall(service, line))
        if CANARY in str(line):
            self.report.find(f"{service} logged a key", line)

    def note_beat(self, beat: dict[str, Any]) -> None:
        """Takes what the heart told of one late or failed beat."""
        # A machine with other work is late too; a loop that is held uses its process's time, or waits for a thread
        # of it that does.
        if "failed" in beat or beat["cpu"] < LATE_SECONDS:
            return
        self.late_beats.append(Stall(beat["service"], beat["began"], beat["seconds"]))
        if not self._has_watchdog:
            self.stalls.append(self.late_beats[-1])

    async def serves(self, name: str, seconds: float = SERVES_SECONDS) -> bool:
        """Whether a new connection to a process can be made and is answered."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and name not in self.dead():
            if await _answers(self.address(name), end - time.monotonic()):
                return True
            await asyncio.sleep(0.05)
        return False

    async def all_serve(self) -> bool:
        return all(await asyncio.gather(*(self.serves(name) for name in NAMES)))

    async def chats(self) -> str:
        """Asks a real question through the gateway; says what is wrong with the answer, or nothing."""
        self._probes += 1
        request = models_pb2.ChatRequest(
            # A name that nobody can have registered.
            model=f"openai/probe-{self._probes}-{self.pid('models')}",
            messages=[models_pb2.ChatMessage(role="user", content="Hello")],
        )
        async with grpc.aio.insecure_channel(self.address("gateway"), options=CHANNEL_OPTIONS) as channel:
            chat = channel.unary_unary(
                "/genai_platform.v1.ModelService/Chat",
                request_serializer=models_pb2.ChatRequest.SerializeToString,
                response_deserializer=models_pb2.ChatResponse.FromString,
            )
            play, self.upstream.play = self.upstream.play, _well_for_probes(self.upstream.play)
            try:
                response = await chat(request, timeout=SERVES_SECONDS)
            except grpc.aio.AioRpcError as error:
                return f"{error.code().name} {error.details()}"
            finally:
                self.upstream.play = play
        return "" if response.text.startswith("Hello") else f"answered {response.text[:40]!r}"

    async def check(self) -> list[str]:
        """What is wrong with the processes now: each that is dead, does not answer, or does not chat."""
        serving = await asyncio.gather(*(self.serves(name) for name in NAMES))
        dead = self.dead()
        problems = [
            f"{name} has ended" if name in dead else f"{name} no longer answers"
            for name, serves in zip(NAMES, serving, strict=True)
            if not serves
        ]
        if not problems:
            said = await self.chats()
            problems += [f"a chat through the gateway: {said}"] if said else []
        return problems

    async def finish(self) -> None:
        """Notes what was measured, and that the processes stop when they are asked to."""
        for service, line in self.new_log_lines():
            self.note_log_line(service, line)
        assert self._heart
        longest = await asyncio.to_thread(self._heart.close)
        self.report.facts["longest health call"] = ", ".join(
            f"{name} {seconds * 1000:.0f} ms" for name, seconds in longest.items()
        )
        self._note_memory()
        if self._events:
            told = (f"{event} ({count:,})" for event, count in self._events.most_common(12))
            self.report.facts["logged beside calls"] = ", ".join(told)
        for name in reversed(NAMES):
            process = self._platform.services[name]
            process.send(signal.SIGTERM)
            try:
                code = await process.end(15)
            except subprocess.TimeoutExpired:
                self.report.find(f"{name} does not stop", "SIGTERM at the end of the run")
                process.kill()
            else:
                if code:
                    self.report.find(f"{name} ended with {code}", process.log()[-2000:])

    def _note_memory(self) -> None:
        last = self.memory()
        told = []
        for name, memory in last.items():
            first = self._first.get(name, memory)
            told.append(f"{name} {first.now} -> {memory.now} (peak {memory.peak})")
            if memory.now - first.now > MAX_GROWTH_MIB:
                self.report.find(f"{name} grew by more than {MAX_GROWTH_MIB} MiB", f"{first} -> {memory}")
            if memory.peak - first.now > MAX_PEAK_MIB:
                self.report.find(f"{name} grew by more than {MAX_PEAK_MIB} MiB for a time", f"{first} -> {memory}")
        self.report.facts["memory in MiB"] = ", ".join(told)


class _HeartProcess:
    """The heartbeat, as a process of its own."""

    def __init__(self, platform: FuzzedPlatform) -> None:
        told = [f"{name}={platform.address(name)}={platform.pid(name)}" for name in NAMES]
        self._platform = platform
        self._longest: dict[str, float] = {}
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.heartbeat", *told],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> dict[str, float]:
        """Ends it, and returns the longest beat of each process in seconds."""
        if self._popen.stdin and not self._popen.stdin.closed:
            self._popen.stdin.close()
        self._thread.join(20)
        self._popen.kill()
        self._popen.wait()
        return self._longest

    def _read(self) -> None:
        assert self._popen.stdout
        for line in self._popen.stdout:
            told = json.loads(line)
            if "longest" in told:
                self._longest = told["longest"]
            elif "service" in told:
                self._platform.note_beat(told)
        self._popen.stdout.close()


@contextlib.asynccontextmanager
async def fuzzed_platform(report: Report, play: Play = answer_well) -> AsyncIterator[FuzzedPlatform]:
    """A running platform for the length of a block, with all of its data in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        async with Upstream(play) as upstream:
            platform = FuzzedPlatform(Path(directory), upstream, report)
            try:
                platform.start()
                yield platform
            finally:
                await asyncio.to_thread(platform.close)


def _settings(upstream: Upstream) -> dict[str, str]:
    return {
        "FUZZ_PORTS": str(upstream.port),
        "FUZZ_MEMORY_BYTES": str(6 * 1024 * MIB),
        "OPENAI_API_KEY": f"sk-{CANARY}",
        "OPENAI_BASE_URL": f"{upstream.url}/v1",
        "ANTHROPIC_API_KEY": f"sk-{CANARY}",
        "ANTHROPIC_BASE_URL": upstream.url,
        "GENAI_GRACE_SECONDS": "2",
    }


def _well_for_probes(play: Play) -> Play:
    return lambda request: answer_well(request) if b'"model":"probe-' in request.body else play(request)


def _memory(pid: int) -> Memory:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return Memory(0, 0)
    sizes = {key: value for key, _, value in (line.partition(":") for line in lines)}
    kib = [int(sizes[key].split()[0]) if key in sizes else 0 for key in ("VmRSS", "VmHWM")]
    return Memory(kib[0] // 1024, kib[1] // 1024)


def _logged_stall(service: str, line: dict[str, Any]) -> Stall:
    milliseconds = next((value for key, value in line.items() if key in ("milliseconds", "ms", "duration_ms")), 0)
    written = datetime.datetime.fromisoformat(line["ts"]).timestamp()
    ended = time.monotonic() - (time.time() - written)
    return Stall(service, ended - milliseconds / 1000, milliseconds / 1000)


async def _answers(address: str, seconds: float) -> bool:
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        try:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=max(seconds, 0.1))
        except grpc.aio.AioRpcError:
            return False
    return True
