"""Structured logs: one JSON object a line, nothing of what was said, and no waiting for a reader."""

from __future__ import annotations

import asyncio
import io
import json
import linecache
import logging
import os
import subprocess
import sys
import threading
import time
from typing import Any

from services.shared import logs
from services.shared.characters import INVISIBLE
from services.shared.logs import (
    MAX_LINE_BYTES,
    MAX_PENDING_BYTES,
    MAX_PENDING_LINES,
    LineWriter,
    Log,
    open_log,
    stack_of,
)
from tests.rows import for_each

SECRET = "CANARY"


class Writer:
    """A log, and the entries that it has written."""

    def __init__(self, level: str = "info") -> None:
        self._file = io.BytesIO()
        self.log: Log = open_log("test", level, self._file)

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]

    def lines(self) -> list[bytes]:
        # Not waited for: the log's own writer is asked to write now.
        self.log.flush()
        return self._file.getvalue().splitlines()


def test_line_is_json_with_time_level_and_service() -> None:
    writer = Writer()
    writer.log.info("rpc", code="OK", duration_ms=1.5)
    [entry] = writer.entries()
    assert entry.pop("ts").endswith("Z")
    assert entry == {"service": "test", "level": "info", "event": "rpc", "code": "OK", "duration_ms": 1.5}


def test_line_breaks_stay_within_their_line() -> None:
    writer = Writer()
    writer.log.info("a\nb", text="c\r\nd\u2028e")
    assert [(entry["event"], entry["text"]) for entry in writer.entries()] == [("a\nb", "c\r\nd\u2028e")]


UNSEEN_CHARACTERS = {
    "control": "\x00\x1f",
    "delete": "\x7f",
    "C1": "\x80\x85\x9b\x9f",
    "direction": "\u061c\u200e\u200f\u202a\u202e\u2066\u2069",
    "separators": "\u2028\u2029",
    "no width": "\u00ad\u200b\u200c\u200d\u2060\ufeff",
    "no characters": "\ufffe\uffff",
    "halves of pairs": "\udfff-\ud800",
    "tags": "\U000e0000\U000e0041\U000e007f",
}


@for_each("text", UNSEEN_CHARACTERS.values(), ids=UNSEEN_CHARACTERS)
def test_unseen_characters_are_written_as_their_numbers(text: str) -> None:
    writer = Writer()
    writer.log.info(text, fact=f"é{text}\\{text}", tags={text: [text]})
    [line] = writer.lines()
    assert not INVISIBLE.search(line.decode())
    [entry] = writer.entries()
    assert (entry["event"], entry["fact"], entry["tags"]) == (text, f"é{text}\\{text}", {text: [text]})


def test_text_that_can_be_seen_is_written_as_it_is() -> None:
    writer = Writer()
    writer.log.info("e", fact="Zürich 中文 👍 \u05d0")
    assert "Zürich 中文 👍 \u05d0".encode() in writer.lines()[0]


@for_each(
    "facts",
    [
        {"path": "x" * 10_000_000},
        {"text": "\U000e0041" * 100_000, "none": None, "number": 1.5},
        {"list": ["y" * 1000] * 1000, "tags": {str(number): "z" * 1000 for number in range(1000)}},
        {f"fact{number}": "\x7f" * 1000 for number in range(40)},
    ],
    ids=["one long text", "one that grows by escapes", "many in a list", "many facts"],
)
def test_no_line_is_longer_than_a_line_may_be(facts: dict[str, Any]) -> None:
    writer = Writer()
    writer.log.error("e", **facts)
    [line] = writer.lines()
    assert len(line) <= MAX_LINE_BYTES
    entry = json.loads(line)
    assert (entry["level"], entry["service"]) == ("error", "test")
    assert entry["event"] in ("e", "line too long")


def test_level_leaves_out_what_is_below_it() -> None:
    writer = Writer("warning")
    writer.log.info("left out")
    writer.log.warning("kept")
    writer.log.error("kept too")
    assert [entry["event"] for entry in writer.entries()] == ["kept", "kept too"]


def test_exception_is_its_type_and_place_without_its_text() -> None:
    writer = Writer()
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        writer.log.error("unexpected error", error=error)
    [entry] = writer.entries()
    assert entry["error"] == "ValueError"
    assert entry["where"][-1].endswith("test_exception_is_its_type_and_place_without_its_text")
    assert SECRET not in json.dumps(entry)


def test_places_are_logged_without_reading_their_source() -> None:
    """Sources that Python has read stay in its memory for good."""
    linecache.clearcache()
    writer = Writer()
    try:
        json.loads("{")
    except ValueError as error:
        writer.log.error("unexpected error", error=error)
    writer.log.warning("the loop was held", where=stack_of(sys._getframe()))
    [failed, held] = writer.entries()
    assert [place.rpartition(" ")[2] for place in failed["where"][-2:]] == ["decode", "raw_decode"]
    assert held["where"][-1].endswith("test_places_are_logged_without_reading_their_source")
    assert not linecache.cache


def test_warning_of_a_library_keeps_its_template_and_not_its_arguments() -> None:
    writer = Writer()
    logging.getLogger("third.party").warning("cannot send %s to %s", SECRET, SECRET)
    [entry] = writer.entries()
    assert (entry["logger"], entry["template"]) == ("third.party", "cannot send %s to %s")
    assert entry["at"].startswith("test_logs:")
    assert SECRET not in json.dumps(entry)


def test_warning_of_a_library_that_was_put_together_already_keeps_only_its_place() -> None:
    writer = Writer()
    logging.getLogger("third.party").error(f"cannot send {SECRET}")
    [entry] = writer.entries()
    assert entry["at"].startswith("test_logs:")
    assert SECRET not in json.dumps(entry)


def test_exception_in_a_librarys_log_is_its_type_and_place() -> None:
    writer = Writer()
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("third.party").exception("failed: %s", SECRET)
    [entry] = writer.entries()
    assert entry["error"] == "ValueError"
    assert SECRET not in json.dumps(entry)


def test_error_of_an_abandoned_task_is_logged_by_its_type() -> None:
    """asyncio writes the exception's text into the message itself."""
    writer = Writer()

    async def fail() -> None:
        raise ValueError(SECRET)

    async def main() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])

    asyncio.run(main())
    [entry] = writer.entries()
    assert (entry["logger"], entry["error"]) == ("asyncio", "ValueError")
    assert SECRET not in json.dumps(entry)


def test_value_without_a_json_form_is_written_as_text() -> None:
    writer = Writer()
    writer.log.info("e", path=os.PathLike, number=1j)
    [entry] = writer.entries()
    assert entry["number"] == "1j"


def test_lines_are_written_without_a_flush() -> None:
    written = threading.Event()

    class File(io.BytesIO):
        def write(self, data: Any) -> int:
            written.set()
            return super().write(data)

    open_log("test", file=File()).info("a line")
    assert written.wait(5)


def test_slow_reader_costs_lines_and_no_time() -> None:
    reading = threading.Event()

    class Stuck(io.BytesIO):
        def write(self, data: Any) -> int:
            reading.wait(10)
            return super().write(data)

    file = Stuck()
    writer = LineWriter(file)
    writer.write(b'{"first": 1}')
    deadline = time.monotonic() + 5
    while writer._lines and time.monotonic() < deadline:
        # The writer's thread takes the line, and is then stuck with it.
        time.sleep(0.01)
    started = time.monotonic()
    for number in range(MAX_PENDING_LINES + 7):
        writer.write(b'{"number": %d}' % number)
    assert time.monotonic() - started < 1
    reading.set()
    writer.flush()
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert lines[1] == {"number": 7}
    assert lines[-1]["event"] == "log lines dropped"
    assert lines[-1]["count"] == 7


def test_pending_lines_have_a_bound() -> None:
    writer = LineWriter(io.BytesIO())
    lines = 2 * MAX_PENDING_BYTES // MAX_LINE_BYTES
    for _ in range(lines):
        writer.write(b"x" * MAX_LINE_BYTES)
        assert sum(map(len, writer._lines)) <= MAX_PENDING_BYTES


@for_each("failure", [BrokenPipeError, ValueError])
def test_closed_log_does_not_stop_the_process(failure: type[Exception]) -> None:
    class Gone(io.BytesIO):
        def write(self, _: Any) -> int:
            raise failure

    writer = LineWriter(Gone())
    writer.write(b"{}")
    writer.flush()


def test_last_lines_are_written_at_the_end_of_the_process() -> None:
    program = "from services.shared.logs import open_log; open_log('test').info('the last line')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=20)
    assert json.loads(ended.stderr)["event"] == "the last line"


def test_flush_of_nothing_writes_nothing() -> None:
    file = io.BytesIO()
    LineWriter(file).flush()
    assert file.getvalue() == b""
    assert logs.FLUSH_SECONDS < 1


def test_calls_ended_by_a_stop_are_not_logged() -> None:
    file = io.BytesIO()
    log = open_log("test", file=file)
    logging.getLogger("grpc._cython.cygrpc").error("Aborting method [%s] due to server stop.", b"x")
    logging.getLogger("grpc._cython.cygrpc").error("Something else on %s", b"\xff")
    log.flush()
    assert [json.loads(line)["template"] for line in file.getvalue().splitlines()] == ["Something else on %s"]
