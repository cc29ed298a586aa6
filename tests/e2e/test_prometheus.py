"""A real Prometheus that scrapes a Model Service and evaluates the alerts; Debian's package prometheus has one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.shared import metric_names as names
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.model_service import chat_request, completion
from tests.services.test_metrics import scraped
from tests.support.admin import port_of

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "genai.rules.yml"
READY_SECONDS = 30.0


class Prometheus:
    """A running server, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        with urllib.request.urlopen(f"{self._root}{path}?{urllib.parse.urlencode(query)}", timeout=5) as response:
            return json.load(response)["data"]

    async def value(self, expression: str) -> float | None:
        """The value of an expression now; None while it has none."""
        with contextlib.suppress(OSError):
            result = (await asyncio.to_thread(self.get, "/api/v1/query", query=expression))["result"]
            return float(result[0]["value"][1]) if result else None
        return None

    async def wait_for(self, expression: str, value: float) -> None:
        async with asyncio.timeout(READY_SECONDS):
            while await self.value(expression) != value:  # noqa: ASYNC110 it tells nobody of a scrape
                await asyncio.sleep(0.1)


@contextlib.contextmanager
def prometheus(directory: Path, scraped_port: int) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a port of this machine each second."""
    program = os.environ.get("GENAI_TEST_PROMETHEUS") or shutil.which("prometheus")
    if not program:
        pytest.skip("prometheus is not installed; GENAI_TEST_PROMETHEUS may name it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "genai", "static_configs": [{"targets": [f"127.0.0.1:{scraped_port}"]}]}],
    }
    # JSON is YAML.
    (directory / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")
    command = [
        program,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(timeout=10)


async def test_prometheus_counts_the_calls_and_evaluates_every_alert(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.default = json_answer(completion())
    async with scraped(tmp_path, upstream) as service:
        for _ in range(3):
            await service.stub.Chat(chat_request())
        with prometheus(tmp_path, port_of(service.process)) as server:
            await server.wait_for(f'sum({names.CALLS}{{outcome="ok"}})', 3)
            await server.wait_for("up", 1)
            groups = (await asyncio.to_thread(server.get, "/api/v1/rules"))["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert len(rules) > 10
            assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
            assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
