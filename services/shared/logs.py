"""Structured logs: one JSON object a line on standard error.

Writing never waits for whoever reads the log: lines are collected and handed to a thread a few times a second, and
when the reader is too slow the oldest surplus is dropped and counted.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import sys
import threading
import time
import traceback
from collections import deque
from types import FrameType
from typing import Any, BinaryIO

import msgspec

LEVELS = ("debug", "info", "warning", "error")

MAX_PENDING_LINES = 10_000
FLUSH_SECONDS = 0.1
MAX_FRAMES = 12

_encode = msgspec.json.Encoder(enc_hook=str).encode


class LineWriter:
    """Writes lines to a file from a thread of its own, every `FLUSH_SECONDS` at most."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines: deque[bytes] = deque(maxlen=MAX_PENDING_LINES)
        self._dropped = 0
        self._wake = threading.Event()
        self._flushing = threading.Lock()
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()
        atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        if len(self._lines) == MAX_PENDING_LINES:
            self._dropped += 1
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Writes all pending lines now."""
        with self._flushing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if self._dropped:
                lines.append(_encode({"level": "warning", "event": "log lines dropped", "count": self._dropped}))
                self._dropped = 0
            if not lines:
                return
            # When nobody reads the log any more, that is no reason to stop serving.
            with contextlib.suppress(OSError, ValueError):
                self._file.write(b"\n".join(lines) + b"\n")
                self._file.flush()

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
        self._writer.write(_encode(line))


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    """A moment of Unix time in UTC; many lines are written in the same second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


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
        facts: dict[str, Any] = {"logger": record.name, "at": f"{record.module}:{record.lineno}"}
        if record.args:
            facts["template"] = str(record.msg)
        if record.exc_info and record.exc_info[1]:
            facts["error"] = record.exc_info[1]
        self._log.warning("library warning", **facts)
