"""The types that programs see, as mypy finds them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parents[1] / "typing"


def test_programs_are_typed_and_their_mistakes_are_found() -> None:
    programs = [str(PROGRAMS / name) for name in ("program.py", "wrong_program.py")]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", *programs]
    root = PROGRAMS.parents[1]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200, check=False)
    told = [line for line in result.stdout.splitlines() if ": error: " in line]
    lines = (PROGRAMS / "wrong_program.py").read_text(encoding="utf-8").splitlines()
    expected = {
        number: found[1] for number, line in enumerate(lines, 1) if (found := re.search(r"# E: (.*?)(  #|$)", line))
    }
    places = [int(line.partition("wrong_program.py:")[2].partition(":")[0] or 0) for line in told]
    assert places == list(expected), result.stdout + result.stderr
    assert all(text in line for text, line in zip(expected.values(), told, strict=True)), told
