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
STARTS_PROCESSES = ("tests.support.processes", "tests.fuzz.fuzzed_platform")
FASTEST, NEAREST = 20, 25
"""How many tests are tried first."""
REST_SECONDS = 60.0
"""For how many seconds of tests the others are tried."""
LINES, STATE = "lines", "state"


class Reach:
    """The tests that passed, with their seconds and lines."""

    def __init__(self, folder: Path, files: Iterable[str]) -> None:
        """Reads what was recorded, with the lines of these files. It may be forked then."""
        tree = folder / "tree-0"
        self.seconds: dict[str, float] = json.loads((folder / SECONDS).read_text())
        self._reached: Counter[str] = Counter()
        self._lines: dict[str, dict[int, list[str]]] = {file: {} for file in files}
        data = coverage.CoverageData(str(folder / LINES))
        data.read()
        for path in data.measured_files():
            lines = data.contexts_by_lineno(path)
            for tests in lines.values():
                self._reached.update(tests)
            if (file := str(Path(path).relative_to(tree))) in self._lines:
                self._lines[file] = lines
        data.close()
        assert self._reached, f"nothing was recorded in {folder}"
        modules = {test.partition("::")[0] for test in self.seconds}
        with_processes = {module for module in modules if _starts_processes(tree / module)}
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
        """The tests that reach the statement, the fastest first, and how much of what each reaches is in its file. To
        a statement of the module all come that reach anything of it."""
        by_line = self._lines[one.file]
        of_file = Counter(test for contexts in by_line.values() for test in contexts)
        lines = range(one.statement[0], one.statement[1] + 1)
        reaching = {test for line in lines for test in by_line.get(line, ())} if one.in_function else set(of_file)
        nearness = {test: of_file[test] / self._reached[test] for test in reaching & self.seconds.keys()}
        return self._fastest_first(nearness), nearness

    def _fastest_first(self, tests: Iterable[str]) -> list[str]:
        return sorted(tests, key=lambda test: (self.seconds[test], test))


def _module(test: str) -> str:
    return test.partition("::")[0]


def _starts_processes(module: Path) -> bool:
    text = module.read_text()
    return any(f"from {name} import" in text for name in STARTS_PROCESSES)


def record(root: Path, folder: Path, jobs: int) -> None:
    """Records the reach of all tests, in a copy of the project, unless it is recorded for this state of it."""
    state = _state(root)
    kept = folder / STATE
    if kept.exists() and kept.read_text() == state:
        return
    shutil.rmtree(folder, ignore_errors=True)
    copy_project(root, folder / "tree-0")
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
        cwd=folder / "tree-0",
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
