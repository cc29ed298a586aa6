"""Key files: keys in files below the one directory that the operator names."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

SETTING = "MODELS_CREDENTIALS_DIR"

MAX_FILE_BYTES = 16 * 1024
MAX_PATH_LENGTH = 512


class KeyFiles:
    """The files below `directory`, by their paths in it or by absolute ones; None where no directory is named."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory

    def problem(self, file: str) -> str | None:
        """Says why no registration may refer to this path, or None; the file itself need not be there yet."""
        if self._directory is None:
            return f"is not served here; its operator must set {SETTING} to the one directory that such files are in"
        if not file or len(file) > MAX_PATH_LENGTH or not file.isprintable():
            return f"must be a path of at most {MAX_PATH_LENGTH} characters that can be shown"
        path = PurePosixPath(file)
        if ".." in path.parts or not (self._directory / path).is_relative_to(self._directory):
            return f"must be a path below the directory that {SETTING} names, without .."
        try:
            leads_out = not self._resolve(file).is_relative_to(self._directory.resolve())
        except OSError:
            return None
        return f"leads out of the directory that {SETTING} names" if leads_out else None

    def name(self, file: str) -> str:
        """The path in the directory: the same for a file however it was written. A path that is too long stays."""
        if len(file) > MAX_PATH_LENGTH:
            return file
        path = PurePosixPath(file)
        if self._directory and path.is_relative_to(self._directory):
            path = path.relative_to(self._directory)
        return str(path)

    def read(self, file: str) -> bytes:
        """The beginning of a file in which `problem` finds nothing: one byte more than a key may have.

        Raises OSError when it is not there, or no file.
        """
        # Blocks for no longer than a read of a small local file takes; a cached key would outlive its rotation.
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._resolve(file), flags)
        with open(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("no regular file")
            return opened.read(MAX_FILE_BYTES + 1)

    def _resolve(self, file: str) -> Path:
        """Where the file really is, all links followed. Raises OSError when it is not there."""
        assert self._directory
        try:
            return (self._directory / file).resolve(strict=True)
        except RuntimeError:
            raise OSError("links in a circle") from None
