"""A short run of each fuzzer, always of the same cases. `make fuzz` is the long one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.__main__ import FUZZERS, OF_PROCESSES, judge_all
from tests.fuzz.report import Report

SEED = 1
COUNTS = {"messages": 300, "frames": 200, "upstreams": 250, "answers": 500, "streams": 500, "schemas": 40}


@pytest.mark.parametrize("name", FUZZERS)
def test_a_short_run_finds_nothing(name: str, tmp_path: Path) -> None:
    module: Any = importlib.import_module(f"tests.fuzz.{FUZZERS[name][0]}")
    if name in OF_PROCESSES:
        report: Report = module.main(COUNTS[name], SEED, folder=tmp_path)
    else:
        report = judge_all(module.main(range(COUNTS[name]), SEED), Report(name, SEED, COUNTS[name], tmp_path))
    cases = [case for finding in report.findings.values() for case in finding.cases]
    assert not report.findings, "\n".join([*report.lines(), *cases])
