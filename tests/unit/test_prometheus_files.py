"""The alerts, the dashboard and the code speak of the same metrics and labels, and promtool accepts the alerts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# Imported for the metrics that their parts define.
import services.gateway.main
import services.models.main
import services.sessions.main  # noqa: F401
from docs import dashboard
from services.shared import metric_names
from services.shared.metrics import REGISTRY
from tests.rows import row

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS, OLD_NAMES, CASES = (
    PROMETHEUS / "genai.rules.yml",
    PROMETHEUS / "gen_ai_1_41.rules.yml",
    PROMETHEUS / "tests.yml",
)

NAMES = {value for name, value in vars(metric_names).items() if name.isupper()}
LIBRARY = {"process_resident_memory_bytes"}
"""Metrics of prometheus_client that the dashboard shows."""

SELECTOR = re.compile(r"\b([a-z_]+)\{([^{}]*)\}")
METRIC = re.compile(r"\b(?:genai|gen_ai_client|rpc_server|process)_[a-z_]+\b")
GROUPING = re.compile(r"\b(?:by|without) \(([^()]*)\)")
PART = re.compile(r"_(bucket|sum|count)$")
OF_PROMETHEUS = {"job", "instance", "le"}


def expressions(text: str) -> Iterator[str]:
    """The expressions of a file of rules, of one line each or of several."""
    for match in re.finditer(r"^( *)(?:- )?expr: (?:\|\n((?:\1 +.*\n)+)|(.*)\n)", text, re.MULTILINE):
        yield match[2] or match[3]


def all_expressions() -> Iterator[tuple[str, str]]:
    for file, count in ((ALERTS, 14), (OLD_NAMES, 13)):
        found = list(expressions(file.read_text(encoding="utf-8")))
        assert len(found) == count
        yield from ((file.name, expression) for expression in found)
    for shown in dashboard.ROWS:
        for panel in shown.panels:
            yield from ((panel.title, query.expression) for query in panel.queries)


def test_every_metric_that_is_shown_or_alerts_has_a_name_in_the_code() -> None:
    for place, expression in all_expressions():
        with row(place):
            found = {PART.sub("", name) for name in METRIC.findall(expression)}
            assert found
            assert found <= NAMES | LIBRARY


def test_every_metric_of_the_code_has_its_name_among_the_constants() -> None:
    defined = {family._name for family in families()}
    assert defined <= NAMES
    assert len(defined) >= 24


def test_selectors_use_labels_that_the_metrics_have() -> None:
    labels = {family._name: {*family._labels} for family in families()}
    checked = 0
    for place, expression in all_expressions():
        for name, matchers in SELECTOR.findall(expression):
            known = labels.get(PART.sub("", name))
            used = set(re.findall(r"([a-z_]+)\s*(?:=~|!=|=)", matchers))
            if known is not None and used - OF_PROMETHEUS:
                with row(place, name):
                    assert used <= known | OF_PROMETHEUS
                    checked += 1
    assert checked >= 10


def test_sums_are_by_labels_that_the_metrics_have() -> None:
    labels = {family._name: {*family._labels} for family in families()}
    for place, expression in all_expressions():
        with row(place):
            found = {PART.sub("", name) for name in METRIC.findall(expression)}
            if found <= labels.keys():
                known = set().union(*(labels[name] for name in found))
                grouped = {label for group in GROUPING.findall(expression) for label in re.findall(r"\w+", group)}
                assert grouped <= known | OF_PROMETHEUS


def test_every_alert_has_a_case() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text(encoding="utf-8"))
    cases = re.findall(r"alertname: (\w+)", CASES.read_text(encoding="utf-8"))
    assert len(alerts) == len({*alerts})
    assert {*alerts} == {*cases}


def test_dashboard_is_current() -> None:
    assert dashboard.DASHBOARD.read_text(encoding="utf-8") == dashboard.text()


def test_promtool_accepts_the_rules_with_their_cases_and_the_dashboard(tmp_path: Path) -> None:
    promtool = os.environ.get("GENAI_TEST_PROMTOOL") or shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed; Debian's package prometheus has it, GENAI_TEST_PROMTOOL may name it")
    shown = tmp_path / "dashboard.yml"
    shown.write_text(rules_of_dashboard(), encoding="utf-8")
    for arguments in (["check", "rules", ALERTS.name, OLD_NAMES.name, shown], ["test", "rules", CASES.name]):
        ended = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def rules_of_dashboard() -> str:
    """A file of rules with every expression of the dashboard."""
    found = [query.expression for shown in dashboard.ROWS for panel in shown.panels for query in panel.queries]
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(found)
    ]
    # JSON is YAML.
    return json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})


def families() -> list[object]:
    """The metrics that the code defines."""
    return [family for family in REGISTRY._collector_to_names if hasattr(family, "_description")]
