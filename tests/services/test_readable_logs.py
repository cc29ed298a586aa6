"""Logs for people: a short line for each event at a terminal, JSON everywhere else."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.logs import open_log
from services.shared.readable_logs import ReadableLines
from services.shared.settings import ROOT
from tests.services.log_file import LogFile

PLAIN = ReadableLines(colors=False)
CALL = {
    "ts": "2026-11-30T12:00:00.000Z",
    "level": "info",
    "service": "models",
    "event": "rpc",
    "method": "ModelService/Chat",
    "code": "OK",
    "request_id": "abc",
    "duration_ms": 1234.5,
}


def shown(**fields: object) -> str:
    """The line of an entry, without its time."""
    text = PLAIN({**CALL, **fields}).decode()
    assert re.match(r"\d\d:\d\d:\d\d  ", text)
    return text[10:]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "models    OK  Chat  1.23 s"),
        (
            {"model": "fast", "provider": "openai", "upstream_model": "gpt-5", "prompt_tokens": 12},
            "models    OK  Chat  1.23 s  fast by openai/gpt-5  12+0 tokens",
        ),
        (
            {"model": "gpt-5", "provider": "openai", "upstream_model": "gpt-5"}
            | {"prompt_tokens": 1, "completion_tokens": 2, "cost_nano_usd": 1500},
            "models    OK  Chat  1.23 s  gpt-5 by openai  1+2 tokens $0.000002",
        ),
        (
            {"code": "UNAVAILABLE", "reason": "UPSTREAM_TIMEOUT", "duration_ms": 20.4, "attempts": 3},
            "models    UNAVAILABLE UPSTREAM_TIMEOUT  Chat  20 ms  attempts=3  request abc",
        ),
    ],
)
def test_line_of_a_call_says_what_matters(fields: dict[str, object], expected: str) -> None:
    assert shown(**fields) == expected


def test_line_of_an_event_has_all_its_fields() -> None:
    entry = {
        "ts": "",
        "level": "warning",
        "service": "gateway",
        "event": "replica\nlost",
        "address": "host:1",
        "calls": 3,
    }
    assert PLAIN(entry).decode()[10:] == "gateway   warning: replica\\u000alost  address=host:1 calls=3"


def test_what_callers_write_cannot_deceive_a_terminal() -> None:
    line = shown(model="gpt-5\x1b[2J\u202e", code="NOT_FOUND", reason="MODEL_NOT_FOUND")
    assert "\x1b" not in line
    assert "gpt-5\\u001b[2J\\u202e" in line
    assert len(shown(model="m" * 10_000)) < 600


def test_colors_tell_faults_from_the_callers_own() -> None:
    lines = ReadableLines(colors=True)
    assert b"\x1b[32mOK\x1b[0m" in lines(CALL)
    assert b"\x1b[33mNOT_FOUND\x1b[0m" in lines({**CALL, "code": "NOT_FOUND"})
    assert b"\x1b[31mINTERNAL\x1b[0m" in lines({**CALL, "code": "INTERNAL"})


def test_form_can_be_chosen() -> None:
    file = LogFile()
    log = open_log("models", file=file, form="text")
    log.info("draining", tasks=1)
    log.flush()
    assert file.getvalue().decode()[10:] == "models    draining  tasks=1\n"
    file = LogFile()
    log = open_log("models", file=file)
    log.info("draining", tasks=1)
    log.flush()
    assert json.loads(file.getvalue())["tasks"] == 1


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal's own end and that of a process in it."""
    import pty

    ends = pty.openpty()
    try:
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                os.close(end)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        ({"TERM": "xterm"}, b"\x1b[2m"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, None),
        ({"TERM": "xterm", "GENAI_LOG_FORMAT": "json"}, b'{"ts":'),
    ],
)
def test_process_at_a_terminal_logs_for_people(settings: dict[str, str], begins: bytes | None, tmp_path: Path) -> None:
    program = """
from services.shared.logs import open_log
from services.shared.settings import ServiceSettings
settings = ServiceSettings()
log = open_log("models", form=settings.log_format)
log.info("ready")
log.flush()
"""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings}
    with terminal() as (own, of_process):
        subprocess.run([sys.executable, "-c", program], stderr=of_process, env=environment, cwd=tmp_path, check=True)
        written = os.read(own, 4096)
    if begins is None:
        assert re.match(rb"\d\d:\d\d:\d\d  models    ready\r\n$", written)
    else:
        assert written.startswith(begins)
