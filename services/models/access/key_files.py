"""Key files: keys in files below one directory, which the operator names."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

SETTING = "MODELS_CREDENTIALS_DIR"

MAX_FILE_BYTES = 16 * 1024
MAX_PATH_LENGTH = 512


class KeyFiles:
    """The files below `directory`, by relative or absolute paths. None: there are no key files."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory

    def problem(self, file: str) -> str | None:
        """The reason why a registration may not refer to this path, or None if it may. The file need not exist yet."""
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
        """The path relative to the directory, the same for all spellings. A path that is too long is returned as it
        is."""
        if len(file) > MAX_PATH_LENGTH:
            return file
        path = PurePosixPath(file)
        if self._directory and path.is_relative_to(self._directory):
            path = path.relative_to(self._directory)
        return str(path)

    def read(self, file: str) -> bytes:
        """The beginning of a file that `problem` allows: at most one byte more than a key may have.

        Raises OSError if it does not exist, or is not a regular file.
        """
        # Blocks the event loop only for the read of a small local file; a cached key would outlive its rotation.
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._resolve(file), flags)
        with open(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("no regular file")
            return opened.read(MAX_FILE_BYTES + 1)

    def _resolve(self, file: str) -> Path:
        """The file's path with all links resolved. Raises OSError if it does not exist."""
        assert self._directory
        try:
            return (self._directory / file).resolve(strict=True)
        except RuntimeError:
            raise OSError("links in a circle") from None
