"""The types that programs see, as mypy and pyright find them, both at their strictest."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from genai_platform import Conversation, GenAIPlatform

PROGRAMS = Path(__file__).resolve().parents[1] / "typing"
NAMES = ("program.py", "surface.py", "wrong_program.py")


def expected_mistakes() -> dict[int, str]:
    """The lines of the wrong program, with what mypy says of each."""
    lines = (PROGRAMS / "wrong_program.py").read_text(encoding="utf-8").splitlines()
    return {
        number: found[1] for number, line in enumerate(lines, 1) if (found := re.search(r"# E: (.*?)(  #|$)", line))
    }


def test_programs_are_typed_and_their_mistakes_are_found() -> None:
    programs = [str(PROGRAMS / name) for name in NAMES]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", *programs]
    root = PROGRAMS.parents[1]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200, check=False)
    told = [line for line in result.stdout.splitlines() if ": error: " in line]
    expected = expected_mistakes()
    places = [int(line.partition("wrong_program.py:")[2].partition(":")[0] or 0) for line in told]
    assert places == list(expected), result.stdout + result.stderr
    assert all(text in line for text, line in zip(expected.values(), told, strict=True)), told


def test_pyright_knows_every_type_and_finds_the_mistakes(tmp_path: Path) -> None:
    for name in NAMES:
        shutil.copy(PROGRAMS / name, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    # Its own Node, and no look for a newer version.
    variables = {"PYRIGHT_PYTHON_GLOBAL_NODE": "0", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    result = subprocess.run(
        command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, timeout=200, check=False
    )
    told = json.loads(result.stdout)
    assert told["summary"]["filesAnalyzed"] == len(NAMES)
    places = {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1): one["message"]
        for one in told["generalDiagnostics"]
    }
    assert list(places) == [("wrong_program.py", line) for line in expected_mistakes()], places


def test_program_of_the_whole_surface_leaves_no_call_out() -> None:
    text = (PROGRAMS / "surface.py").read_text(encoding="utf-8")
    with GenAIPlatform() as platform:
        parts = {f"platform.{name}": part for name, part in vars(platform).items() if not name.startswith("_")}
        parts["memory"] = platform.sessions.memory("u")
    calls = [f"{name}.{method}(" for name, part in parts.items() for method in dir(part) if not method.startswith("_")]
    calls += [f"conversation.{name}" for name in dir(Conversation) if not name.startswith("_")]
    assert len(calls) > 60
    assert [call for call in calls if call not in text] == []
