"""A backup: a tar file, whose last member is the manifest with the size and the SHA-256 of each other one.

Members are found by their names in the manifest, and no name in the file is ever used as a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypedDict

MANIFEST = "manifest.json"
FORMAT = 1
BLOCK_BYTES = 1024 * 1024
MAX_MANIFEST_BYTES = 1024 * 1024
PRIVATE = 0o600


class Entry(TypedDict):
    """A file of the backup: what it is a copy of, and when the copy was made."""

    name: str
    kind: str
    variables: list[str]
    size: int
    sha256: str
    copied_at: str


class Manifest(TypedDict):
    """The table of contents of a backup."""

    format: int
    version: str
    created_at: str
    files: list[Entry]


class Damaged(Exception):
    """A file is no whole backup. The message says why."""


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A new empty file of its user alone, beside `path`; removed at the end if it is still there."""
    written = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    try:
        yield written
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            written.with_name(written.name + suffix).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until a file or directory is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def add_file(archive: tarfile.TarFile, name: str, path: Path) -> tuple[int, str]:
    """Adds a file, and returns its size and SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        file.seek(0)
        archive.addfile(_member(name, size), file)
    return size, digest


def add_manifest(archive: tarfile.TarFile, manifest: Manifest) -> None:
    """Adds the manifest, after which nothing may come."""
    data = json.dumps(manifest, indent=2).encode()
    archive.addfile(_member(MANIFEST, len(data)), io.BytesIO(data))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, PRIVATE
    return member


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[tarfile.TarFile, Manifest]]:
    """A backup all of whose files are as its manifest says. Raises Damaged, and OSError."""
    try:
        with tarfile.open(path, "r:") as archive:
            manifest = _read_manifest(archive)
            for entry in manifest["files"]:
                _verify(archive, entry)
            yield archive, manifest
    except tarfile.TarError as error:
        raise Damaged(f"it is damaged or no backup ({error})") from None


def _read_manifest(archive: tarfile.TarFile) -> Manifest:
    try:
        data = member_file(archive, MANIFEST).read(MAX_MANIFEST_BYTES)
        manifest: Any = json.loads(data)
        if manifest["format"] != FORMAT:
            raise Damaged(f"it has format {manifest['format']!r}, and this version reads {FORMAT}")
        files = [Entry(**{name: entry[name] for name in Entry.__annotations__}) for entry in manifest["files"]]  # type: ignore[typeddict-item]
        return Manifest(
            format=FORMAT, version=str(manifest["version"]), created_at=str(manifest["created_at"]), files=files
        )
    except (ValueError, KeyError, TypeError):
        raise Damaged("its manifest cannot be read") from None


def _verify(archive: tarfile.TarFile, entry: Entry) -> None:
    digest, size = hashlib.sha256(), 0
    file = member_file(archive, entry["name"])
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
        size += len(block)
    if size != entry["size"] or digest.hexdigest() != entry["sha256"]:
        raise Damaged(f"{entry['name']} is not what the manifest says: size or SHA-256 differ")


def member_file(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """A member to be read. Raises Damaged where it is missing."""
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise Damaged(f"it has no {name}: it is cut off or no backup")
    return file
