"""What safety costs: authentication, limits, the ledger and metrics, beside the same two services without them.

python -m benchmarks.guarded            # about 2 minutes
python -m benchmarks.guarded --quick    # under a minute, rougher
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.costs import Costs, Subject, measure
from benchmarks.load import connected
from benchmarks.processes import LOAD_CORE, MEASURED_CORE, Measured, started
from benchmarks.report import table
from benchmarks.scale import FULL, PACE_MS, QUICK, UNARY, Scale

PLAIN = "without"
GUARDED = "with"
RULES = (
    ("requests", "100000000", "--per", "min", "--org"),
    ("tokens", "100000000000", "--per", "min", "--project", "shop"),
    ("concurrent", "10000", "--key", "*"),
    ("usd", "1000000", "--per", "month", "--team", "search"),
)
"""One limit of each kind, none of which is ever reached."""


@dataclass(frozen=True)
class Pair:
    """The gateway and the Model Service behind it."""

    gateway: Measured
    models: Measured

    def cpu_seconds(self) -> float:
        return self.gateway.cpu_seconds() + self.models.cpu_seconds()


class Benchmark:
    """One run, in front of a mock provider and beside a mock Session Service."""

    def __init__(self, upstream: str, sessions: str, directory: Path) -> None:
        self._upstream = upstream
        self._sessions = sessions
        self._directory = directory

    async def run(self, scale: Scale) -> tuple[dict[str, Costs], list[str]]:
        """The costs of both, and why what is missing could not be measured."""
        async with self._plain() as plain, self._guarded() as guarded:
            return await measure(scale, {PLAIN: plain, GUARDED: guarded})

    @contextlib.asynccontextmanager
    async def _plain(self) -> AsyncIterator[Subject]:
        command = ["-m", "benchmarks.uncounted", "{}"]
        async with self._pair(self._settings(), command) as pair, connected(pair.gateway.address) as client:
            await client.check(UNARY)
            yield Subject(pair, client.run)

    @contextlib.asynccontextmanager
    async def _guarded(self) -> AsyncIterator[Subject]:
        settings = {**self._settings(), "AUTH_MODE": "required"}
        admin_key = await asyncio.to_thread(_genai, settings, "keys", "create", "--admin", "--quiet")
        async with self._pair(settings, ["services/{}/main.py"]) as pair:
            caller = {**settings, "GENAI_GATEWAY_URL": pair.gateway.address, "GENAI_API_KEY": admin_key}
            key = await asyncio.to_thread(_prepare, caller)
            async with connected(pair.gateway.address, (("authorization", f"Bearer {key}"),)) as client:
                await client.check(UNARY)
                yield Subject(pair, client.run)

    @contextlib.asynccontextmanager
    async def _pair(self, settings: Mapping[str, str], command: Sequence[str]) -> AsyncIterator[Pair]:
        """Both services on one core; `command` has {} for the name of a service."""

        def program(service: str) -> list[str]:
            return [part.format(service) for part in command]

        async with started(program("models"), MEASURED_CORE, settings) as models:
            await models.wait_until_serving()
            addresses = {"MODELS_ADDRESS": models.address, "SESSIONS_ADDRESS": self._sessions}
            async with started(program("gateway"), MEASURED_CORE, {**settings, **addresses}) as gateway:
                await gateway.wait_until_serving()
                yield Pair(gateway, models)

    def _settings(self) -> dict[str, str]:
        return {
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"http://{self._upstream}/v1",
            "ANTHROPIC_API_KEY": "",
            "MODELS_DISCOVERY": "off",
            "MODELS_PORT": "0",
            "GATEWAY_PORT": "0",
            "GENAI_DATA_DIR": tempfile.mkdtemp(dir=self._directory),
            "GENAI_GRACE_SECONDS": "1",
        }


def _prepare(caller: Mapping[str, str]) -> str:
    """Makes the limits, and the key of an application that all of them count."""
    _genai(caller, "teams", "create", "search")
    _genai(caller, "projects", "create", "shop", "--team", "search")
    for rule in RULES:
        _genai(caller, "limits", "set", *rule)
    return _genai(caller, "keys", "create", "app", "--project", "shop", "--quiet")


def _genai(settings: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-c", "from genai_platform.cli import main; main()", *arguments]
    ended = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"genai {' '.join(arguments)}: {ended.stderr}"
    return ended.stdout.strip()


def rows(costs: Mapping[str, Costs]) -> list[list[str]]:
    """The rows of the table: the costs of both, and the median of their ratios."""
    return [
        [
            name,
            f"{statistics.median(plain):.1f}",
            f"{statistics.median(guarded):.1f}",
            f"{statistics.median(one / other for one, other in zip(guarded, plain, strict=True)):.3f}",
            limit,
        ]
        for name, plain, guarded, limit in (
            ("unary", costs[PLAIN].unary, costs[GUARDED].unary, "≤ 1.15"),
            ("per token, saturated", costs[PLAIN].saturated, costs[GUARDED].saturated, ""),
            (f"per token, paced at {PACE_MS} ms", costs[PLAIN].paced, costs[GUARDED].paced, "≤ 1.02"),
        )
    ]


async def _measure(scale: Scale, directory: Path) -> tuple[dict[str, Costs], list[str]]:
    async with (
        started(["-m", "benchmarks.upstream"], LOAD_CORE) as upstream,
        started(["-m", "benchmarks.floors", "echo"], LOAD_CORE) as sessions,
    ):
        return await Benchmark(upstream.address, sessions.address, directory).run(scale)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.guarded", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers to this file")
    arguments = parser.parse_args()
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        parser.error("the measurements need Linux (for /proc) and two cores")
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory() as directory:
        costs, gaps = asyncio.run(_measure(QUICK if arguments.quick else FULL, Path(directory)))
    if costs.keys() >= {PLAIN, GUARDED}:
        print(table(["Gateway and Model Service, CPU µs", PLAIN, GUARDED, "ratio", "target"], rows(costs)))
    print("".join(f"not measured: {gap}\n" for gap in gaps), end="")
    if arguments.json:
        arguments.json.write_text(json.dumps({name: asdict(cost) for name, cost in costs.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
