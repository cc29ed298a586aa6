"""Structured logs: one JSON object per line on standard error; where a person reads it, a line for people.

Control and invisible characters are escaped, so that callers' text cannot deceive a terminal or a reader.

Logging never waits for the reader of the log: a thread writes the collected lines a few times a second, and when the
reader is too slow the oldest lines are dropped and counted.
"""

from __future__ import annotations

import atexit
import functools
import json
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any, BinaryIO, Literal

import msgspec

from services.shared.call_ends import is_call_end
from services.shared.characters import escape_invisible
from services.shared.readable_logs import ReadableLines, Render, is_terminal, takes_colors

LEVELS = ("debug", "info", "warning", "error")

MAX_PENDING_LINES = 10_000
MAX_PENDING_BYTES = 16 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024
TRUNCATED_LENGTHS = (2048, 128)
"""Characters to which the texts of a long line are truncated: first to the larger length, then to the smaller one."""
MAX_ENTRIES = 64
"""Entries of a list or an object that are left in such a line."""
FLUSH_SECONDS = 0.1
MAX_FRAMES = 12

SUPPRESSED = frozenset({"Aborting method [%s] due to server stop."})
"""Messages of libraries that are not logged, because callers could cause any number of them."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


class LineWriter:
    """Writes lines to a file in a thread of its own, at most every `FLUSH_SECONDS`."""

    def __init__(self, file: BinaryIO) -> None:
        # Unbuffered, so that nothing of what a full disk has refused is written later.
        self._file = getattr(file, "raw", file)
        self._has_half_line = False
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        # Reentrant: the finalizer of an object that is collected meanwhile may log, too.
        self._changing = threading.RLock()
        self._wake = threading.Event()
        self._flushing = threading.Lock()
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()
        atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        with self._changing:
            self._lines.append(line)
            self._bytes += len(line)
            while len(self._lines) > MAX_PENDING_LINES or self._bytes > MAX_PENDING_BYTES:
                self._bytes -= len(self._lines.popleft())
                self._dropped += 1
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Writes all pending lines now."""
        with self._flushing:
            lines, dropped = self._take()
            lost = len(lines) + dropped
            if not lost:
                return
            if dropped:
                lines.append(_encode({"level": "warning", "event": "log lines dropped", "count": dropped}))
            # A closed log and a full disk are no reasons to stop serving.
            try:
                self._write_out(b"\n".join(lines) + b"\n")
            except (OSError, ValueError):
                with self._changing:
                    self._dropped += lost

    def _write_out(self, data: bytes) -> None:
        rest = memoryview(b"\n" + data if self._has_half_line else data)
        while rest:
            written = self._file.write(rest)
            if written is None:
                raise BlockingIOError
            rest = rest[written:]
            self._has_half_line = bool(rest)

    def _take(self) -> tuple[list[bytes], int]:
        """Takes all pending lines, and the number of those that were dropped."""
        with self._changing:
            lines, self._lines = self._lines, deque()
            dropped, self._bytes, self._dropped = self._dropped, 0, 0
        return list(lines), dropped

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            pause.wait(FLUSH_SECONDS)
            self._wake.clear()
            self.flush()


class Log:
    """A log with a lowest level. A line has the time, level, service, event, and the event's fields.

    Of an exception, passed as `error`, only the type and the stack are logged: its text may quote a prompt or a key.
    """

    def __init__(self, writer: LineWriter, service: str, level: str, render: Render | None = None) -> None:
        """`render` makes the line of an entry; without it, that is JSON."""
        self._writer = writer
        self._service = service
        self._lowest = LEVELS.index(level)
        self._render = render or _bounded_line

    def debug(self, event: str, **fields: Any) -> None:
        if self._lowest == 0:
            self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        if self._lowest <= 1:
            self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        if self._lowest <= 2:
            self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write("error", event, fields)

    def flush(self) -> None:
        """Writes all pending lines now."""
        self._writer.flush()

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        error = fields.get("error")
        if isinstance(error, BaseException):
            fields |= _describe(error)
        moment = time.time()
        line = {
            "ts": f"{_second(int(moment))}.{int(moment % 1 * 1000):03}Z",
            "level": level,
            "service": self._service,
            "event": event,
            **fields,
        }
        self._writer.write(self._render(line))


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    """The UTC text of a Unix time, cached because many lines are written in the same second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _bounded_line(line: Mapping[str, Any]) -> bytes:
    """The line as JSON of at most `MAX_LINE_BYTES`, with control and invisible characters escaped."""
    data = _encode_line(line)
    if len(data) <= MAX_LINE_BYTES:
        return data
    for length in TRUNCATED_LENGTHS:
        data = _encode_line(_truncate(line, length))
        if len(data) <= MAX_LINE_BYTES:
            return data
    return _encode_line({name: line[name] for name in ("ts", "level", "service")} | {"event": "line too long"})


def _encode_line(line: Mapping[str, Any]) -> bytes:
    try:
        data = _encode(line)
    except UnicodeEncodeError:
        # A lone surrogate.
        data = json.dumps(line, default=str).encode()
    if data.isascii() and b"\x7f" not in data:
        return data
    return escape_invisible(data.decode()).encode()


def _truncate(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else f"{value[:length]}…"
    if isinstance(value, dict):
        return {_truncate(name, length): _truncate(value[name], length) for name in list(value)[:MAX_ENTRIES]}
    if isinstance(value, list | tuple):
        return [_truncate(entry, length) for entry in value[:MAX_ENTRIES]]
    return value if isinstance(value, int | float | None) else _truncate(str(value), length)


def open_log(
    service: str, level: str = "info", file: BinaryIO | None = None, form: Literal["text", "json"] | None = None
) -> Log:
    """Opens the log of one service. Warnings of libraries go there, too.

    Its lines are text for people or JSON for programs: by default text on a terminal, and JSON elsewhere.
    """
    file = file or sys.stderr.buffer
    is_readable = form == "text" or (form is None and is_terminal(file))
    log = Log(LineWriter(file), service, level, ReadableLines(colors=takes_colors(file)) if is_readable else None)
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler(log)], force=True)
    return log


def stack_of(frame: FrameType | None) -> list[str]:
    """The innermost frames of a thread's stack, the newest last."""
    return _locations(reversed(list(traceback.walk_stack(frame)))) if frame else []


def _describe(error: BaseException) -> dict[str, Any]:
    return {"error": type(error).__name__, "where": _locations(traceback.walk_tb(error.__traceback__))}


def _locations(frames: Iterable[tuple[FrameType, int]]) -> list[str]:
    # The summaries of `traceback` would read the source of every frame, and keep it in memory for good.
    innermost = deque(frames, MAX_FRAMES)
    return [f"{frame.f_code.co_filename}:{line} {frame.f_code.co_name}" for frame, line in innermost]


class _LibraryHandler(logging.Handler):
    """Logs the location and the template of a library's message; its arguments may quote a prompt or a key.

    A message without arguments may contain them already, as asyncio's about a failed task does: only its location is
    logged.
    """

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if record.msg in SUPPRESSED or (error and is_call_end(error)):
            return
        fields: dict[str, Any] = {"logger": record.name, "at": f"{record.module}:{record.lineno}"}
        if record.args:
            fields["template"] = str(record.msg)
        if error:
            fields["error"] = error
        self._log.warning("library warning", **fields)
