"""Structured logs: one JSON object a line on standard error.

What callers write into a line is text there, and nothing that a terminal or a reader takes for something else.

Writing never waits for whoever reads the log: lines are collected and handed to a thread a few times a second, and
when the reader is too slow the oldest surplus is dropped and counted.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import logging
import sys
import threading
import time
import traceback
from collections import deque
from types import FrameType
from typing import Any, BinaryIO

import msgspec

from services.shared.call_ends import is_call_end
from services.shared.characters import escape_unseen

LEVELS = ("debug", "info", "warning", "error")

MAX_PENDING_LINES = 10_000
MAX_PENDING_BYTES = 16 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024
CUTS = (2048, 128)
"""To how many characters each text of a line that is too long is cut: to the first, or if need be to the next."""
MAX_ENTRIES = 64
"""What is left of a list or an object in such a line."""
FLUSH_SECONDS = 0.1
MAX_FRAMES = 12

UNTOLD = frozenset({"Aborting method [%s] due to server stop."})
"""What libraries say again and again, as callers like: of calls that are over before they were answered."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


class LineWriter:
    """Writes lines to a file from a thread of its own, every `FLUSH_SECONDS` at most."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        # Held again by the same thread where an object that is collected meanwhile has something to log.
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
            if dropped:
                lines.append(_encode({"level": "warning", "event": "log lines dropped", "count": dropped}))
            if not lines:
                return
            # When nobody reads the log any more, that is no reason to stop serving.
            with contextlib.suppress(OSError, ValueError):
                self._file.write(b"\n".join(lines) + b"\n")
                self._file.flush()

    def _take(self) -> tuple[list[bytes], int]:
        """All pending lines, and how many were dropped before them."""
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
    """Writes one JSON object a line, from `level` on: when, how grave, which service, what happened, and its facts.

    Of an exception, given as `error`, only the type is written and where it was raised: its text may quote a prompt or
    a key.
    """

    def __init__(self, writer: LineWriter, service: str, level: str) -> None:
        self._writer = writer
        self._service = service
        self._lowest = LEVELS.index(level)

    def debug(self, event: str, **facts: Any) -> None:
        if self._lowest == 0:
            self._write("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        if self._lowest <= 1:
            self._write("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        if self._lowest <= 2:
            self._write("warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self._write("error", event, facts)

    def flush(self) -> None:
        """Writes all pending lines now."""
        self._writer.flush()

    def _write(self, level: str, event: str, facts: dict[str, Any]) -> None:
        error = facts.get("error")
        if isinstance(error, BaseException):
            facts |= _describe(error)
        moment = time.time()
        line = {
            "ts": f"{_second(int(moment))}.{int(moment % 1 * 1000):03}Z",
            "level": level,
            "service": self._service,
            "event": event,
            **facts,
        }
        self._writer.write(_write_line(line))


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    """A moment of Unix time in UTC; many lines are written in the same second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _write_line(line: dict[str, Any]) -> bytes:
    """The line as JSON, in which a control or unseen character is escaped, and no more than `MAX_LINE_BYTES`."""
    data = _encode_line(line)
    if len(data) <= MAX_LINE_BYTES:
        return data
    for length in CUTS:
        data = _encode_line(_cut(line, length))
        if len(data) <= MAX_LINE_BYTES:
            return data
    return _encode_line({name: line[name] for name in ("ts", "level", "service")} | {"event": "line too long"})


def _encode_line(line: dict[str, Any]) -> bytes:
    try:
        data = _encode(line)
    except UnicodeEncodeError:
        # Half of a surrogate pair.
        data = json.dumps(line, default=str).encode()
    if data.isascii() and b"\x7f" not in data:
        return data
    return escape_unseen(data.decode()).encode()


def _cut(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else f"{value[:length]}…"
    if isinstance(value, dict):
        return {_cut(name, length): _cut(value[name], length) for name in list(value)[:MAX_ENTRIES]}
    if isinstance(value, list | tuple):
        return [_cut(entry, length) for entry in value[:MAX_ENTRIES]]
    return value if isinstance(value, int | float | None) else _cut(str(value), length)


def open_log(service: str, level: str = "info", file: BinaryIO | None = None) -> Log:
    """The log of one service, and the place where warnings of libraries go too."""
    log = Log(LineWriter(file or sys.stderr.buffer), service, level)
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler(log)], force=True)
    return log


def frames_of(frame: FrameType | None) -> list[str]:
    """Where a thread is: the innermost frames, the newest last."""
    return _places(traceback.extract_stack(frame)) if frame else []


def _describe(error: BaseException) -> dict[str, Any]:
    return {"error": type(error).__name__, "where": _places(traceback.extract_tb(error.__traceback__))}


def _places(frames: traceback.StackSummary) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-MAX_FRAMES:]]


class _LibraryHandler(logging.Handler):
    """Keeps the place of a library's message, and its template: the arguments may quote what the library was given.

    A message without arguments may have them in it already, as asyncio's about a failed task have; of it only the
    place is kept.
    """

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if record.msg in UNTOLD or (error and is_call_end(error)):
            return
        facts: dict[str, Any] = {"logger": record.name, "at": f"{record.module}:{record.lineno}"}
        if record.args:
            facts["template"] = str(record.msg)
        if error:
            facts["error"] = error
        self._log.warning("library warning", **facts)
