"""What traces cost: the Gateway and the Model Service with a collector, beside the same two without one.

python -m benchmarks.traced            # about 2 minutes
python -m benchmarks.traced --quick    # under a minute, rougher
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc

from benchmarks.costs import Costs, Subject, measure
from benchmarks.guarded import Pair
from benchmarks.load import connected
from benchmarks.processes import LOAD_CORE, MEASURED_CORE, started
from benchmarks.report import table
from benchmarks.scale import FULL, PACE_MS, QUICK, UNARY, Scale

EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService"

# Sent soon, so that the turn of the calls has the cost of their spans too.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
NONE, TENTH, ALL = "no collector", "one trace in ten", "every trace"
SAMPLERS: Mapping[str, Mapping[str, str]] = {TENTH: SOON, ALL: {"OTEL_TRACES_SAMPLER": "always_on", **SOON}}
"""The settings beside the collector; without a sampler it is the default, one trace in ten."""


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[str]:
    """The URL of a collector that takes everything and keeps nothing."""

    async def export(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return b""

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(export)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(EXPORT, {"Export": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def subject(settings: Mapping[str, str], sessions: str) -> AsyncIterator[Subject]:
    """Both services on one core, with these settings."""
    async with started(["services/models/main.py"], MEASURED_CORE, settings) as models:
        await models.wait_until_serving()
        addresses = {"MODELS_ADDRESS": models.address, "SESSIONS_ADDRESS": sessions}
        async with started(["services/gateway/main.py"], MEASURED_CORE, {**settings, **addresses}) as gateway:
            await gateway.wait_until_serving()
            async with connected(gateway.address) as client:
                await client.check(UNARY)
                yield Subject(Pair(gateway, models), client.run)


def settings_of(upstream: str, directory: Path) -> dict[str, str]:
    """The settings of a pair that differ from the defaults."""
    return {
        "OPENAI_API_KEY": "bench",
        "OPENAI_BASE_URL": f"http://{upstream}/v1",
        "ANTHROPIC_API_KEY": "",
        "MODELS_DISCOVERY": "off",
        "MODELS_PORT": "0",
        "GATEWAY_PORT": "0",
        "GENAI_DATA_DIR": tempfile.mkdtemp(dir=directory),
        "GENAI_GRACE_SECONDS": "1",
    }


async def run(scale: Scale, directory: Path) -> tuple[dict[str, Costs], list[str]]:
    """The costs of all, and why what is missing could not be measured."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(started(["-m", "benchmarks.upstream"], LOAD_CORE))
        sessions = await stack.enter_async_context(started(["-m", "benchmarks.floors", "echo"], LOAD_CORE))
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": await stack.enter_async_context(collector())}
        subjects = {}
        for name in (NONE, TENTH, ALL):
            traces = {**endpoint, **SAMPLERS[name]} if name in SAMPLERS else {}
            settings = settings_of(upstream.address, directory) | traces
            subjects[name] = await stack.enter_async_context(subject(settings, sessions.address))
        return await measure(scale, subjects)


def rows(costs: Mapping[str, Costs]) -> list[list[str]]:
    """The rows of the table: each cost, and its ratio to that without a collector, the median of those of rounds."""
    readings = {
        "unary": {name: cost.unary for name, cost in costs.items()},
        "per token, saturated": {name: cost.saturated for name, cost in costs.items()},
        f"per token, paced at {PACE_MS} ms": {name: cost.paced for name, cost in costs.items()},
    }
    return [
        [
            shown,
            *(f"{statistics.median(found[name]):.1f}" for name in (NONE, TENTH, ALL)),
            *(
                f"{statistics.median(one / other for one, other in zip(found[name], found[NONE], strict=True)):.3f}"
                for name in (TENTH, ALL)
            ),
        ]
        for shown, found in readings.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.traced", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under a minute")
    arguments = parser.parse_args()
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        parser.error("the measurements need Linux (for /proc) and two cores")
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory() as directory:
        costs, gaps = asyncio.run(run(QUICK if arguments.quick else FULL, Path(directory)))
    if costs.keys() >= {NONE, TENTH, ALL}:
        titles = ["Gateway and Model Service, CPU µs", NONE, TENTH, ALL, f"ratio, {TENTH}", f"ratio, {ALL}"]
        print(table(titles, rows(costs)))
    print("".join(f"not measured: {gap}\n" for gap in gaps), end="")


if __name__ == "__main__":
    main()
