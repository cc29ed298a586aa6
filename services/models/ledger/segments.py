"""Segments of the outbox: files of records, each of which belongs to the one process that holds its lock.

The kernel releases the lock of a process that was killed, so that another one can take its files over. Frames are
written by system calls and not through mapped memory: what becomes of the file or its disk is an error then, and not a
signal that ends the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.models.ledger.records import (
    PROCESS_LOST,
    UNKNOWN,
    USAGE_UNKNOWN,
    Kind,
    UsageRecord,
    decode_record,
    encode_frame,
    read_frames,
)

SUFFIX = ".log"
UNLOCKED_SUFFIX = ".new"
DAMAGED_SUFFIX = ".damaged"
"""Suffix of a file in which something could not be read, and which is kept for the operator."""

UNLOCKED_SECONDS = 60.0
"""Age from which on a file under this suffix belongs to nobody."""

KEPT_RECORDS = 2000
"""Records of a segment that are also kept in memory, to be shipped without reading the file."""

REFUSED_FILE = "refused.records"
"""File of the records that the database has refused, for the operator."""

PRIVATE = 0o600
PRIVATE_DIRECTORY = 0o700


class Contents(NamedTuple):
    """The records of a segment."""

    records: list[UsageRecord]
    damaged: int
    """Records that could not be read."""


class Segment:
    """A file of records that this process has locked."""

    def __init__(self, path: Path, descriptor: int, *, is_own: bool = False) -> None:
        """`is_own`: this process writes it, and has not taken it over."""
        status = os.fstat(descriptor)
        self.path = path
        self.size = status.st_size
        self.modified = status.st_mtime
        self.synced = self.size
        """The bytes that are certain to survive a loss of power."""
        self.kept: list[UsageRecord] | None = [] if is_own else None
        """The records of the calls that have ended, for as long as they are few; else None."""
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path, frames: bytes = b"") -> Segment:
        """A new file with these frames. Raises OSError."""
        # Other processes look at its final name only, which it gets when it is locked and has its first frames.
        unlocked = path.with_suffix(UNLOCKED_SUFFIX)
        descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            segment = cls(path, descriptor, is_own=True)
            if frames:
                segment.append(frames)
            unlocked.rename(path)
            return segment
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                unlocked.unlink()
            raise

    @classmethod
    def adopt(cls, path: Path) -> Segment | None:
        """The file of a process that has ended; None if its process runs, or another one has taken it over."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have shipped and deleted it since it was opened here.
            is_there = os.fstat(descriptor).st_nlink > 0
        except OSError:
            is_there = False
        if is_there:
            return cls(path, descriptor)
        os.close(descriptor)
        return None

    def append(self, frame: bytes) -> None:
        """Writes a frame at the end: all of it, or nothing. Raises OSError."""
        written = os.write(self._descriptor, frame)
        if written < len(frame):
            os.ftruncate(self._descriptor, self.size)
            raise OSError(f"{written} of {len(frame)} bytes were written")
        self.size += written

    def keep(self, record: UsageRecord) -> None:
        """Keeps a record that was appended, while there are few."""
        if self.kept is None:
            return
        self.kept.append(record)
        if len(self.kept) > KEPT_RECORDS:
            self.kept = None

    def sync(self) -> None:
        """Waits until all that was written is on the disk. Raises OSError."""
        size = self.size
        os.fdatasync(self._descriptor)
        self.synced = size

    def read(self, *, process_is_lost: bool) -> Contents:
        """The records of the calls that have ended, and, of a lost process, of those that were running, as UNKNOWN.
        Raises OSError."""
        ended: list[UsageRecord] = []
        begun: dict[str, UsageRecord] = {}
        damaged = 0
        for frame in read_frames(self._read_all()):
            if frame is None:
                damaged += 1
                continue
            kind, payload = frame
            if kind is Kind.VOID:
                begun.pop(payload.decode(errors="replace"), None)
                continue
            try:
                record = decode_record(payload)
            except msgspec.DecodeError:
                damaged += 1
                continue
            if kind is Kind.ENDED:
                ended.append(record)
                begun.pop(record.call_id, None)
            elif process_is_lost:
                begun[record.call_id] = record
        return Contents([*ended, *map(_lost, begun.values())], damaged)

    def close(self) -> None:
        """Gives the file up, for another process to take over."""
        os.close(self._descriptor)

    def delete(self) -> None:
        """Deletes the file, whose records the database has."""
        self.synced = self.size
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def set_aside(self) -> Path:
        """Keeps the file under another suffix, under which nobody ships it again; returns its path. Raises OSError."""
        aside = self.path.with_suffix(DAMAGED_SUFFIX)
        self.path.rename(aside)
        self.close()
        return aside

    def _read_all(self) -> bytes:
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)


def _lost(begun: UsageRecord) -> UsageRecord:
    """The record of a call whose process was killed."""
    fields = {name: getattr(begun, name) for name in begun.__struct_fields__}
    lost = {"status": UNKNOWN, "reason": PROCESS_LOST, "estimated": True, "unpriced": USAGE_UNKNOWN}
    return UsageRecord(**fields | lost)


def left_over(directory: Path, own: frozenset[Path]) -> Iterator[tuple[Segment, bool]]:
    """The segments in a directory whose process has ended, oldest first, and whether each is the last of its process.
    This process takes them over."""
    for path in directory.glob(f"*{UNLOCKED_SUFFIX}"):
        _delete_if_old(path)
    numbers: dict[str, list[int]] = {}
    for path in directory.glob(f"*{SUFFIX}"):
        process, _, number = path.stem.rpartition("-")
        if process and number.isdecimal():
            numbers.setdefault(process, []).append(int(number))
    for process, own_numbers in sorted(numbers.items()):
        for each in sorted(own_numbers):
            path = segment_path(directory, process, each)
            if path not in own and (segment := Segment.adopt(path)):
                yield segment, each == max(own_numbers)


def _delete_if_old(path: Path) -> None:
    """Deletes a file whose process was killed before it had begun to use it."""
    with contextlib.suppress(OSError):
        if path.stat().st_mtime < time.time() - UNLOCKED_SECONDS:
            path.unlink()


def segment_path(directory: Path, process: str, number: int) -> Path:
    """The path of a process's segment. Names of processes sort by their start."""
    return directory / f"{process}-{number}{SUFFIX}"


def keep_refused(directory: Path, payload: bytes) -> None:
    """Keeps a record that the database has refused. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(directory / REFUSED_FILE, flags, PRIVATE)
    try:
        os.write(descriptor, encode_frame(Kind.ENDED, payload))
    finally:
        os.close(descriptor)
