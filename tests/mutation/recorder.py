"""A pytest plugin that records which lines of the services each test reaches, and how long each takes.

It is loaded with `-p tests.mutation.recorder` and writes into the folder that FOLDER_VARIABLE names: the coverage data
of each process, with a context for each test, and `seconds.json` with the tests that passed.
"""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

FOLDER_VARIABLE = "GENAI_MUTATION_FOLDER"
SECONDS = "seconds.json"
HANGING_SECONDS = 120.0


class Recorder:
    """Lines by test, of the process that runs tests, and seconds by test, of the process that hears of all."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._coverage = coverage.Coverage(
            data_file=str(folder / "lines"), data_suffix=True, config_file=False, source=[str(root / "services")]
        )
        # The process that only hands out tests reaches no line.
        self._coverage.set_option("run:disable_warnings", ["no-data-collected"])
        self._seconds: dict[str, float] = defaultdict(float)
        self._bad: set[str] = set()
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._coverage.switch_context(item.nodeid)
        watch = threading.Timer(HANGING_SECONDS, self._give_up)
        watch.daemon = True
        watch.start()
        try:
            return (yield)
        finally:
            watch.cancel()
            self._coverage.switch_context("")

    def _give_up(self) -> None:
        """Ends a process whose test hangs: another one takes the tests that are left."""
        self._coverage.save()
        os._exit(1)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if report.outcome != "passed":
            self._bad.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._coverage.stop()
        self._coverage.save()
        if not hasattr(session.config, "workerinput"):
            passed = {test: seconds for test, seconds in self._seconds.items() if test not in self._bad}
            (self._folder / SECONDS).write_text(json.dumps(passed))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(Path(os.environ[FOLDER_VARIABLE]), config.rootpath))
