"""The reach of the tests: which lines of the services each runs, recorded once for a state of the code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import coverage

from tests.mutation.breaks import Break
from tests.mutation.recorder import FOLDER_VARIABLE, SECONDS
from tests.mutation.tree import copy_project

RECORDED = ("tests/unit", "tests/wire", "tests/services", "tests/fuzz", "tests/e2e/test_platform.py")
"""All tests but those that need a real model or start everything for one call."""
# Whose tests of processes may notice a break, if no other does. No group has a file of the gateway.
STARTS_PROCESSES = ("tests.support.processes", "tests.fuzz.fuzzed_platform")
FASTEST, NEAREST = 20, 25
"""How many tests are tried first."""
REST_SECONDS = 60.0
"""For how many seconds of tests the others are tried."""
LINES, STATE = "lines", "state"


class Reach:
    """The tests that passed, with their seconds and lines."""

    def __init__(self, source: Path, folder: Path, files: Iterable[str]) -> None:
        """Reads what was recorded of the copy in `source`, with the lines of these files. It may be forked then."""
        self.seconds: dict[str, float] = json.loads((folder / SECONDS).read_text())
        self._source = source
        self._lines: dict[str, dict[int, list[str]]] = {file: {} for file in files}
        self._counts: dict[str, Counter[str]] = {}
        data = coverage.CoverageData(str(folder / LINES))
        data.read()
        for path in data.measured_files():
            lines, file = data.contexts_by_lineno(path), str(Path(path).relative_to(source))
            self._counts[file] = Counter(test for tests in lines.values() for test in tests)
            if file in self._lines:
                self._lines[file] = lines
        data.close()
        self._reached = sum(self._counts.values(), Counter())
        assert self._reached, f"nothing was recorded in {folder}"
        modules = {test.partition("::")[0] for test in self.seconds}
        with_processes = {module for module in modules if _starts_processes(source / module)}
        self._of_processes = self._fastest_first(test for test in self.seconds if _module(test) in with_processes)

    def stages(self, one: Break) -> Iterator[list[str]]:
        """The tests that may notice the break: the likeliest and fastest first, those of whole processes, whose lines
        are not known, last."""
        reaching, nearness = self._reaching(one)
        first = {*reaching[:FASTEST], *sorted(reaching, key=lambda test: -nearness[test])[:NEAREST]}
        rest, left = [], REST_SECONDS
        for test in reaching:
            if test not in first and left > 0:
                rest.append(test)
                left -= self.seconds[test]
        yield from filter(None, (self._fastest_first(first), rest, self._of_processes))

    def _reaching(self, one: Break) -> tuple[list[str], dict[str, float]]:
        """The tests that reach the break, the fastest first, and how much of what each reaches is in the same files."""
        counts = self._counts.get(one.file, Counter())
        if one.in_function:
            by_line, (first, last) = self._lines[one.file], one.statement
            reaching = {test for line in range(first, last + 1) for test in by_line.get(line, ())}
        else:
            counts = sum((self._counts.get(file, Counter()) for file in self._importers(one.file)), counts)
            reaching = set(counts)
        nearness = {test: counts[test] / self._reached[test] for test in reaching & self.seconds.keys()}
        return self._fastest_first(nearness), nearness

    def _importers(self, file: str) -> list[str]:
        """The files that import from this one: a statement of the module itself is noticed where its names are used."""
        line = f"from {file.removesuffix('.py').replace('/', '.')} import ".encode()
        return [other for other in self._counts if line in (self._source / other).read_bytes()]

    def _fastest_first(self, tests: Iterable[str]) -> list[str]:
        return sorted(tests, key=lambda test: (self.seconds[test], test))


def _module(test: str) -> str:
    return test.partition("::")[0]


def _starts_processes(module: Path) -> bool:
    text = module.read_text()
    return module.parent.name != "gateway" and any(f"from {name} import" in text for name in STARTS_PROCESSES)


def record(root: Path, source: Path, folder: Path, jobs: int) -> None:
    """Copies the project to `source` and records the reach of all tests there, unless it is known for this state."""
    state = _state(root)
    kept = folder / STATE
    if kept.exists() and kept.read_text() == state:
        return
    shutil.rmtree(folder, ignore_errors=True)
    copy_project(root, source)
    print("recording which tests reach which lines; this takes some minutes", file=sys.stderr, flush=True)
    arguments = [
        "-q",
        "-p",
        "tests.mutation.recorder",
        "-p",
        "no:cacheprovider",
        "-n",
        str(jobs),
        "--dist",
        "worksteal",
    ]
    subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, *RECORDED],
        cwd=source,
        env=os.environ | {FOLDER_VARIABLE: str(folder)},
        stdout=sys.stderr,
        check=False,
    )
    data = coverage.Coverage(data_file=str(folder / LINES), config_file=False)
    data.combine([str(folder)])
    data.save()
    kept.write_text(state)


def _state(root: Path) -> str:
    digest = hashlib.sha256()
    for pattern in ("services", "tests", "proto", "genai_platform"):
        for path in sorted((root / pattern).rglob("*.py")):
            if path.parent == Path(__file__).parent:
                continue
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
