"""Writes `deploy/grafana/genai.json`, the dashboard for Grafana, from the panels below.

`python docs/dashboard.py` writes the file, `python docs/dashboard.py --check` fails when it is not current.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from services.shared import metric_names as names  # noqa: E402

DASHBOARD = ROOT / "deploy" / "grafana" / "genai.json"

COLUMNS, WIDTH, HEIGHT = 24, 8, 8
"""The grid of Grafana, and the size of a panel in it."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "[$__rate_interval]"
JOBS = 'job=~"$job"'
MODELS = f'{JOBS},gen_ai_request_model=~"$model"'


class Query(NamedTuple):
    """An expression of PromQL, and the legend of its series."""

    expression: str
    legend: str = ""


class Panel(NamedTuple):
    """A graph over time, with an explanation for its reader."""

    title: str
    unit: str
    about: str
    queries: Sequence[Query]


class Row(NamedTuple):
    """The panels that answer one question."""

    title: str
    panels: Sequence[Panel]


def rate(metric: str, *, by: str, where: str = JOBS) -> str:
    """The rate of a counter, by labels."""
    return f"sum by ({by}) (rate({metric}{{{where}}}{RATE}))"


def quantile(share: float, metric: str, *, by: str, where: str = JOBS) -> str:
    """A quantile of a histogram, by labels."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', by=f'{by}, le', where=where)})"


def newest(metric: str, *, by: str) -> str:
    """The greatest value of a gauge, by labels."""
    return f"max by ({by}) ({metric}{{{JOBS}}})"


MODEL = "gen_ai_request_model"

ROWS = (
    Row(
        "Is it us?",
        (
            Panel(
                "Calls",
                "reqps",
                "A call through the gateway is one of the gateway's, and one of the service's behind it.",
                [Query(rate(f"{names.RPC_DURATION}_count", by="job"), "{{job}}")],
            ),
            Panel(
                "Calls that fail",
                "reqps",
                "By status. INVALID_ARGUMENT and its like are the callers' own, UNAVAILABLE is mostly a provider's.",
                [
                    Query(
                        rate(
                            f"{names.RPC_DURATION}_count",
                            by="job, rpc_status_code",
                            where=f'{JOBS},rpc_status_code!="OK"',
                        ),
                        "{{job}} {{rpc_status_code}}",
                    )
                ],
            ),
            Panel(
                "Overhead",
                "s",
                "Time of a call in which it has not waited for a provider; of a stream, until its first output.",
                [
                    Query(quantile(0.5, names.OVERHEAD, by="job"), "{{job}} p50"),
                    Query(quantile(0.99, names.OVERHEAD, by="job"), "{{job}} p99"),
                ],
            ),
            Panel(
                "In flight",
                "short",
                "Calls that run, and the streams among them.",
                [
                    Query(f"sum by (job) ({names.INFLIGHT_CALLS}{{{JOBS}}})", "{{job}} calls"),
                    Query(f"sum by (job) ({names.ACTIVE_STREAMS}{{{JOBS}}})", "{{job}} streams"),
                ],
            ),
            Panel(
                "Ends of streams",
                "reqps",
                "Truncated are those that a provider broke off.",
                [Query(rate(names.STREAM_ENDS, by="job, end"), "{{job}} {{end}}")],
            ),
            Panel(
                "Event loop lag",
                "s",
                "The longest delay of the last seconds. A second of it is a second for every call.",
                [Query(newest(names.EVENT_LOOP_LAG, by="instance"), "{{instance}}")],
            ),
            Panel(
                "Age of the registries",
                "s",
                "How long a Model Service has not known what is registered. Above 0 for long: its database is away.",
                [Query(newest(names.REGISTRY_SNAPSHOT_AGE, by="instance"), "{{instance}}")],
            ),
            Panel(
                "Memory",
                "bytes",
                "Resident memory of each process.",
                [Query(newest("process_resident_memory_bytes", by="instance"), "{{instance}}")],
            ),
            Panel(
                "Versions",
                "short",
                "Processes by version.",
                [Query(f"count by (process, version) ({names.BUILD_INFO}{{{JOBS}}})", "{{process}} {{version}}")],
            ),
        ),
    ),
    Row(
        "Is it them?",
        (
            Panel(
                "Attempts",
                "reqps",
                "Requests to providers, by what became of them.",
                [Query(rate(names.UPSTREAM_ATTEMPTS, by="provider, outcome"), "{{provider}} {{outcome}}")],
            ),
            Panel(
                "First chunk",
                "s",
                "Time until a stream's first chunk, for half of the streams and for 19 of 20.",
                [
                    Query(quantile(0.5, names.TIME_TO_FIRST_CHUNK, by=MODEL, where=MODELS), f"{{{{{MODEL}}}}} p50"),
                    Query(quantile(0.95, names.TIME_TO_FIRST_CHUNK, by=MODEL, where=MODELS), f"{{{{{MODEL}}}}} p95"),
                ],
            ),
            Panel(
                "Between chunks",
                "s",
                "Time from one chunk of a stream to the next, in the mean.",
                [
                    Query(
                        f"{rate(f'{names.TIME_PER_OUTPUT_CHUNK}_sum', by=MODEL, where=MODELS)}"
                        f" / {rate(f'{names.TIME_PER_OUTPUT_CHUNK}_count', by=MODEL, where=MODELS)}",
                        f"{{{{{MODEL}}}}}",
                    )
                ],
            ),
            Panel(
                "Duration",
                "s",
                "Time of a whole chat, all its attempts included, for 19 of 20.",
                [Query(quantile(0.95, names.INFERENCE_DURATION, by=MODEL, where=MODELS), f"{{{{{MODEL}}}}}")],
            ),
            Panel(
                "Errors of models",
                "reqps",
                "Chats that ended with an error, by its reason.",
                [
                    Query(
                        rate(
                            f"{names.INFERENCE_DURATION}_count",
                            by=f"{MODEL}, error_type",
                            where=f'{MODELS},error_type!=""',
                        ),
                        f"{{{{{MODEL}}}}} {{{{error_type}}}}",
                    )
                ],
            ),
            Panel(
                "What is left of vendors' limits",
                "short",
                "As the newest answer of each vendor says it.",
                [
                    Query(
                        f"min by (provider, resource) ({names.UPSTREAM_RATE_LIMIT_REMAINING}{{{JOBS}}})",
                        "{{provider}} {{resource}}",
                    )
                ],
            ),
            Panel(
                "Registered models",
                "short",
                "By the status that probes have found.",
                [Query(f"count by (status) ({newest(names.MODEL_STATUS, by='model, status')})", "{{status}}")],
            ),
            Panel(
                "Days until a model is shut down",
                "d",
                "Models in use, by what their vendors have announced.",
                [
                    Query(
                        f"({newest(names.MODEL_SHUTDOWN, by='provider, model')} - time()) / 86400"
                        f" and sum by (provider, model) (increase({names.UPSTREAM_ATTEMPTS}{{{JOBS}}}[1d])) > 0",
                        "{{provider}} {{model}}",
                    )
                ],
            ),
        ),
    ),
    Row(
        "What does it cost?",
        (
            Panel(
                "Cost by team",
                "currencyUSD",
                "In each hour. Usage without a known price is not in it.",
                [Query(f"sum by (team) (increase({names.COST}{{{JOBS}}}[1h])) / 1e9", "{{team}}")],
            ),
            Panel(
                "Cost by model",
                "currencyUSD",
                "In each hour.",
                [Query(f"sum by ({MODEL}) (increase({names.COST}{{{MODELS}}}[1h])) / 1e9", f"{{{{{MODEL}}}}}")],
            ),
            Panel(
                "Tokens",
                "short",
                "In a second. Input has the cached tokens in it, output has those of reasoning.",
                [
                    Query(rate(names.INPUT_TOKENS, by="job", where=MODELS), "input"),
                    Query(rate(names.OUTPUT_TOKENS, by="job", where=MODELS), "output"),
                    Query(rate(names.REASONING_OUTPUT_TOKENS, by="job", where=MODELS), "reasoning"),
                ],
            ),
            Panel(
                "Share of input from caches",
                "percentunit",
                "Cached tokens cost a fraction of the others.",
                [
                    Query(
                        f"{rate(names.CACHE_READ_INPUT_TOKENS, by=MODEL, where=MODELS)}"
                        f" / {rate(names.INPUT_TOKENS, by=MODEL, where=MODELS)}",
                        f"{{{{{MODEL}}}}}",
                    )
                ],
            ),
            Panel(
                "Answers without a price",
                "short",
                "In each hour, by model. They are in no sum of cost.",
                [
                    Query(
                        f"sum by ({MODEL}) (increase({names.UNPRICED_CALLS}{{{MODELS}}}[1h]))",
                        f"{{{{{MODEL}}}}}",
                    )
                ],
            ),
            Panel(
                "Damage in files of the ledger",
                "short",
                "Places that could not be read since the start. The log names the files, which are kept.",
                [Query(newest(names.USAGE_DAMAGED, by="instance"), "{{instance}}")],
            ),
            Panel(
                "Usage that is not in the ledger yet",
                "s",
                "The age of the oldest.",
                [Query(newest(names.USAGE_OUTBOX_OLDEST, by="instance"), "{{instance}}")],
            ),
        ),
    ),
    Row(
        "Who is held back?",
        (
            Panel(
                "Calls by team",
                "reqps",
                "By what became of them.",
                [Query(rate(names.CALLS, by="team, outcome"), "{{team}} {{outcome}}")],
            ),
            Panel(
                "Refusals by limits",
                "reqps",
                "By team and resource.",
                [Query(rate(names.LIMIT_REFUSALS, by="team, resource"), "{{team}} {{resource}}")],
            ),
            Panel(
                "Budgets",
                "percentunit",
                "The part that is spent.",
                [Query(newest(names.BUDGET_SPENT_RATIO, by="rule"), "{{rule}}")],
            ),
            Panel(
                "Decisions about limits",
                "s",
                "Time that the store takes for one, for 99 of 100.",
                [Query(quantile(0.99, names.LIMIT_DECISION, by="store"), "{{store}}")],
            ),
            Panel(
                "Processes without the store of limits",
                "short",
                "They decide by themselves meanwhile.",
                [Query(f"sum by (store) ({names.LIMIT_STORE_DEGRADED}{{{JOBS}}})", "{{store}}")],
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "genai-platform",
        "title": "GenAI Platform",
        "tags": ["genai"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [*_variables()]},
        "panels": [*_panels()],
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    yield _label_values("job", names.BUILD_INFO, "job", "Process")
    yield _label_values("model", f"{names.INFERENCE_DURATION}_count", MODEL, "Model")


def _label_values(name: str, metric: str, label: str, title: str) -> dict[str, Any]:
    query = f"label_values({metric}, {label})"
    return {
        "name": name,
        "label": title,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in ROWS:
        number += 1
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        top += 1
        for index, panel in enumerate(row.panels):
            number += 1
            line, column = divmod(index * WIDTH, COLUMNS)
            yield _graph(number, panel, {"h": HEIGHT, "w": WIDTH, "x": column, "y": top + line * HEIGHT})
        top += -(-len(row.panels) * WIDTH // COLUMNS) * HEIGHT


def _graph(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """The text of the file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not current")
    arguments = parser.parse_args()
    if not arguments.check:
        DASHBOARD.parent.mkdir(parents=True, exist_ok=True)
        DASHBOARD.write_text(text(), encoding="utf-8")
    elif not DASHBOARD.exists() or DASHBOARD.read_text(encoding="utf-8") != text():
        sys.exit(f"{DASHBOARD.name}: not current; run python docs/dashboard.py")


if __name__ == "__main__":
    main()
