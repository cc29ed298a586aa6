"""The admin port of a process, asked over HTTP."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import Process

SECONDS = 10.0

Series = tuple[str, frozenset[tuple[str, str]]]
"""A name, and its labels."""


class Page(NamedTuple):
    status: int
    text: str
    content_type: str = ""


def port_of(service: Process) -> int:
    """The admin port of a process, as its log says it. Fails when it does not."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        for entry in service.entries():
            if entry.get("event") == "admin port":
                return int(entry["port"])
        time.sleep(0.02)
    raise AssertionError(f"no admin port; log: {service.log()}")


def get(port: int, path: str, *, method: str = "GET", seconds: float = SECONDS) -> Page:
    """One request to an admin port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return Page(response.status, response.read().decode(), response.headers.get("content-type", ""))
    finally:
        connection.close()


def read_series(text: str) -> dict[Series, float]:
    """All series of an exposition, with their values."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Scrape:
    """The series of one scrape."""

    def __init__(self, text: str) -> None:
        self.series = read_series(text)

    @classmethod
    def of(cls, port: int) -> Scrape:
        page = get(port, "/metrics")
        assert page.status == 200, page
        return cls(page.text)

    def names(self) -> set[str]:
        return {name for name, _ in self.series}

    def sum(self, name: str, labels: Mapping[str, str] | None = None, **more: str) -> float:
        """The sum of all series of this name that have these labels, beside others; 0 if there are none."""
        wanted = {*(labels or {}).items(), *more.items()}
        return sum(value for (found, has), value in self.series.items() if found == name and wanted <= has)

    def values(self, name: str, label: str) -> set[str]:
        """The values that a label has in the series of this name."""
        return {dict(has).get(label, "") for found, has in self.series if found == name}
