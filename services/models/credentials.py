"""The secrets that registrations refer to: read at each use, so that a key can be replaced, and never kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import NoReturn

from proto import models_pb2
from services.shared.errors import PreconditionFailed

SETTING = "MODELS_CREDENTIALS_DIR"

MAX_FILE_BYTES = 16 * 1024
MAX_PATH_LENGTH = 512


class Credentials:
    """Finds the key that a `Credential` names: an environment variable, or a file below `directory`."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory

    def read(self, credential: models_pb2.Credential) -> str:
        """The key without blanks around it, or "" when no credential is set.

        Raises PreconditionFailed, naming the variable or the file and never what is in it: CREDENTIAL_MISSING when
        there is no key, CREDENTIAL_INVALID when what is there cannot be one.
        """
        if credential.HasField("file"):
            return self._read_file(credential.file)
        if credential.env_var:
            return _read_variable(credential.env_var)
        return ""

    def problem_with_file(self, file: str) -> str | None:
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

    def _read_file(self, file: str) -> str:
        if problem := self.problem_with_file(file):
            _refuse("CREDENTIAL_INVALID", f"the key's file {file} {problem}", file=file)
        # Blocks for no longer than a read of a small local file takes; a cached key would outlive its rotation.
        try:
            data = _read_regular(self._resolve(file))
        except OSError:
            data = b""
        key = data.decode("ascii", "replace").strip()
        if not key:
            place = f"the file {file} below the directory that {SETTING} names"
            _refuse("CREDENTIAL_MISSING", f"there is no key; put it into {place}, readable to the service", file=file)
        if len(data) > MAX_FILE_BYTES or not _is_key(key):
            message = f"the file {file} holds characters that no key has, or too many; it must hold the key alone"
            _refuse("CREDENTIAL_INVALID", message, file=file)
        return key

    def _resolve(self, file: str) -> Path:
        """Where the file really is, all links followed. Raises OSError when it is not there."""
        assert self._directory
        try:
            return (self._directory / file).resolve(strict=True)
        except RuntimeError:
            raise OSError("links in a circle") from None


def _read_regular(path: Path) -> bytes:
    """The beginning of a file, one byte more than a key may have. Raises OSError when it is none, or a link."""
    # Without O_NONBLOCK, opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("no regular file")
        return opened.read(MAX_FILE_BYTES + 1)


def _read_variable(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        message = f"there is no key; set {variable} in the environment of the Model Service and restart it"
        _refuse("CREDENTIAL_MISSING", message, variable=variable)
    if not _is_key(key):
        message = f"{variable} holds characters that no key has; set it to the key alone"
        _refuse("CREDENTIAL_INVALID", message, variable=variable)
    return key


def _is_key(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _refuse(reason: str, message: str, **source: str) -> NoReturn:
    raise PreconditionFailed(message, reason=reason, metadata=source)
