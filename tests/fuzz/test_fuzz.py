"""A short run of each fuzzer, always of the same cases. `make fuzz` is the long one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.__main__ import FUZZERS, judge_all
from tests.fuzz.fuzzer import run_in_turn
from tests.fuzz.h2_fuzz import H2Fuzzer
from tests.fuzz.message_fuzz import MessageFuzzer
from tests.fuzz.report import Report
from tests.fuzz.upstream_fuzz import UpstreamFuzzer

SEED = 1
COUNTS = {"answers": 300, "streams": 300, "schemas": 25}


def test_a_short_run_at_processes_finds_nothing(tmp_path: Path) -> None:
    """Messages last: they leave registrations behind that take the names of others."""
    for report in run_in_turn({UpstreamFuzzer: 150, H2Fuzzer: 150, MessageFuzzer: 200}, SEED, tmp_path):
        check(report)


@pytest.mark.parametrize("name", COUNTS)
def test_a_short_run_finds_nothing(name: str, tmp_path: Path) -> None:
    module: Any = importlib.import_module(f"tests.fuzz.{FUZZERS[name][0]}")
    check(judge_all(module.main(range(COUNTS[name]), SEED), Report(name, SEED, COUNTS[name], tmp_path)))


def check(report: Report) -> None:
    cases = [case for finding in report.findings.values() for case in finding.cases]
    assert not report.findings, "\n".join([*report.lines(), *cases])
