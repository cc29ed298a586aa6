"""One command that measures everything and prints it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import grpc

from benchmarks.costs import Costs, Subject, http_client, measure, server
from benchmarks.delays import measure_first_token, measure_latency
from benchmarks.processes import LOAD_CORE, MEASURED_CORE, started
from benchmarks.report import Report, Resource
from benchmarks.scale import FULL, QUICK, Scale
from tests.support.processes import NotStarted

SERVER = "grpc.aio server"
PROXY = "grpc.aio proxy of bytes"
CLIENT = "aiohttp client and json"
BARE = "both in one process"
MODELS = "Model Service"
GATEWAY = "Gateway"
SERVICES = {"sessions": "Session Service", "models": "Model Service", "gateway": "Gateway"}
LIMIT_SECONDS = 240.0


class Benchmark:
    """One run. What it measures is collected in `report`, what it cannot measure is named there.

    `upstream` is the address of the mock provider; `backend` that of a mock service, which stands in for whatever a
    process needs behind it without being measured with it.
    """

    def __init__(self, scale: Scale, upstream: str, backend: str, directory: Path, report: Report) -> None:
        self._scale = scale
        self._upstream = upstream
        self._backend = backend
        self._directory = directory
        self._report = report

    async def run(self) -> None:
        await self._measure_costs()
        for service, name in SERVICES.items():
            await self._attempt(f"{name}'s start", self._measure_start(service))
        await self._attempt("delays", self._measure_delays())

    async def _attempt(self, name: str, measurement: Awaitable[None]) -> None:
        """Goes on without what cannot be measured."""
        _progress(name)
        try:
            await measurement
        except (NotStarted, AssertionError) as gap:
            self._report.gaps.append(f"{name}: {gap}")
        except grpc.aio.AioRpcError as error:
            self._report.gaps.append(f"{name}: a call failed with {error.code().name}: {error.details()}")

    async def _measure_costs(self) -> None:
        floor = ["-m", "benchmarks.floors"]
        openings = {
            SERVER: server([*floor, "echo"]),
            PROXY: server([*floor, "proxy", "--backend", self._backend]),
            CLIENT: http_client(self._upstream),
            BARE: server([*floor, "bare", "--backend", self._upstream]),
            MODELS: server(_command("models"), self._settings()),
            GATEWAY: server(_command("gateway"), self._settings()),
        }
        subjects: dict[str, Subject] = {}
        async with AsyncExitStack() as stack:

            async def open_subject(name: str, opening: AbstractAsyncContextManager[Subject]) -> None:
                subjects[name] = await stack.enter_async_context(opening)

            for name, opening in openings.items():
                await self._attempt(name, open_subject(name, opening))
            _progress("costs")
            costs, gaps = await measure(self._scale, subjects)
        self._report.gaps += gaps
        self._report_costs(costs)

    def _report_costs(self, costs: Mapping[str, Costs]) -> None:
        for name in (SERVER, PROXY, CLIENT, BARE):
            if name in costs:
                self._report.floors += costs[name].as_floors(name)
        if {SERVER, CLIENT, MODELS} <= costs.keys():
            floors = costs[SERVER] + costs[CLIENT]
            self._report.costs += costs[MODELS].above(floors, MODELS, ("≤ 1.5 ×", "≤ 12 µs", "≤ 1.3 ×"))
        if {PROXY, GATEWAY} <= costs.keys():
            self._report.costs += costs[GATEWAY].above(costs[PROXY], GATEWAY, ("≤ 1.25 ×", "≤ 1.25 ×", "≤ 1.25 ×"))

    async def _measure_start(self, service: str) -> None:
        readings = []
        for _ in range(self._scale.starts):
            async with started(_command(service), MEASURED_CORE, self._settings()) as process:
                readings.append((await process.wait_until_serving(), process.rss_mib()))
        seconds, rss = sorted(readings)[len(readings) // 2]
        self._report.resources.append(Resource(SERVICES[service], seconds, rss))

    async def _measure_delays(self) -> None:
        async with AsyncExitStack() as stack:

            async def start(service: str, settings: dict[str, str]) -> str:
                process = await stack.enter_async_context(started(_command(service), MEASURED_CORE, settings))
                await process.wait_until_serving()
                return process.address

            models = await start("models", self._settings())
            gateway = await start("gateway", self._settings(models))
            servers = {"through the Model Service": models, "through Gateway and Model Service": gateway}
            self._report.latency += await measure_latency(self._scale, self._upstream, servers)
            self._report.first_token += await measure_first_token(self._scale, self._upstream, servers)

    def _settings(self, models: str | None = None) -> dict[str, str]:
        return {
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"http://{self._upstream}/v1",
            "ANTHROPIC_API_KEY": "",
            "MODELS_DISCOVERY": "off",
            "SESSIONS_PORT": "0",
            "MODELS_PORT": "0",
            "GATEWAY_PORT": "0",
            "MODELS_ADDRESS": models or self._backend,
            "SESSIONS_ADDRESS": self._backend,
            "GENAI_DATA_DIR": tempfile.mkdtemp(dir=self._directory),
            "GENAI_GRACE_SECONDS": "1",
        }


def _command(service: str) -> list[str]:
    return [f"services/{service}/main.py"]


def _progress(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


async def _measure(scale: Scale, directory: Path) -> Report:
    task = asyncio.current_task()
    assert task
    # As Ctrl-C does: the blocks that hold the children end.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    report = Report(load_average=os.getloadavg()[0])
    try:
        async with (
            asyncio.timeout(LIMIT_SECONDS),
            started(["-m", "benchmarks.upstream"], LOAD_CORE) as upstream,
            started(["-m", "benchmarks.floors", "echo"], LOAD_CORE) as backend,
        ):
            await Benchmark(scale, upstream.address, backend.address, directory, report).run()
    except TimeoutError:
        report.gaps.append(f"everything after {LIMIT_SECONDS:.0f} s")
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures the program beside the floors of what it is made of: under 4 minutes, loopback only.",
    )
    parser.add_argument("--quick", action="store_true", help="smaller numbers of everything: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers to this file")
    arguments = parser.parse_args()
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        parser.error("the measurements need Linux (for /proc) and two cores")
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        with tempfile.TemporaryDirectory() as directory:
            report = asyncio.run(_measure(QUICK if arguments.quick else FULL, Path(directory)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    print(report.as_text())
    if arguments.json:
        arguments.json.write_text(json.dumps(report.as_data(), indent=2) + "\n")


if __name__ == "__main__":
    main()
