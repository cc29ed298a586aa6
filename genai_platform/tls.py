"""TLS of a client: the files of its authorities and of its own certificate, which are read again when they change."""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc

from genai_platform.environment import read_variable

PathText = str | os.PathLike[str]

CA_VARIABLE = "GENAI_TLS_CA_FILE"
CERT_VARIABLE = "GENAI_TLS_CLIENT_CERT_FILE"
KEY_VARIABLE = "GENAI_TLS_CLIENT_KEY_FILE"
CHECK_SECONDS = 1.0
"""Pause between two looks at whether a file has changed."""

GRPC_VARIABLE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"


_log = logging.getLogger("genai_platform")


class TlsFiles(NamedTuple):
    """The arguments of a client that name files of TLS; None for those that the environment may name."""

    ca_file: PathText | None = None
    client_cert_file: PathText | None = None
    client_key_file: PathText | None = None

    def given(self) -> list[str]:
        """The names of the arguments that are given."""
        return [name for name in self._fields if getattr(self, name) is not None]


class _File(NamedTuple):
    source: str
    """The argument or the variable that names it."""
    path: Path

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise ValueError(
                f"{self.source}: {self.path} cannot be read: {(error.strerror or str(error)).lower()}"
            ) from None


class FollowedCredentials:
    """The credentials for channels in TLS, from the given files or those that the environment names.

    Files that have changed and cannot be used are told once in the log, and what was read before stays in use.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Raises ValueError for a file that cannot be used, naming its argument or variable."""
        self._authorities = _find("ca_file", files.ca_file, CA_VARIABLE)
        self._certificate, self._key = _find_pair(files)
        self._stamps = self._read_stamps()
        self._credentials = self._read()
        self._next_check = time.monotonic() + CHECK_SECONDS

    def refresh(self) -> grpc.ChannelCredentials:
        """The credentials: other ones, up to a second after a file has changed."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            self._follow()
        return self._credentials

    def _follow(self) -> None:
        stamps = self._read_stamps()
        if stamps == self._stamps:
            return
        try:
            credentials = self._read()
        except ValueError as error:
            self._stamps = stamps
            _log.warning("changed TLS files cannot be used, and those read before stay in use: %s", error)
            return
        # What changes while it is read is read once more.
        if stamps == self._read_stamps():
            self._stamps, self._credentials = stamps, credentials

    def _read(self) -> grpc.ChannelCredentials:
        certificate, key = self._certificate, self._key
        if certificate and key:
            _check_pair(certificate, key)
        return grpc.ssl_channel_credentials(
            _read_authorities(self._authorities) if self._authorities else _system_authorities(),
            key.read() if key else None,
            certificate.read() if certificate else None,
        )

    def _read_stamps(self) -> tuple[tuple[int, ...], ...]:
        return tuple(_stamp(file.path) for file in (self._authorities, self._certificate, self._key) if file)


def _find_pair(files: TlsFiles) -> tuple[_File | None, _File | None]:
    names = "client_cert_file", "client_key_file"
    # A pair comes from one source.
    if files.client_cert_file is None and files.client_key_file is None:
        names = CERT_VARIABLE, KEY_VARIABLE
        pair = _find("", None, CERT_VARIABLE), _find("", None, KEY_VARIABLE)
    else:
        pair = _find(names[0], files.client_cert_file), _find(names[1], files.client_key_file)
    if bool(pair[0]) is not bool(pair[1]):
        given, missing = names if pair[0] else names[::-1]
        raise ValueError(f"{missing} must be set beside {given}")
    return pair


def _find(argument: str, given: PathText | None, variable: str = "") -> _File | None:
    if given is not None:
        return _File(argument, Path(given))
    path = read_variable(variable)
    return _File(variable, Path(path)) if path else None


def _check_pair(certificate: _File, key: _File) -> None:
    certificate.read()
    key.read()
    try:
        # Without a password OpenSSL would ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate.path, key.path, password=lambda: "")
    except ssl.SSLError:
        raise ValueError(
            f"{key.source}: {key.path} is no key of the certificate in {certificate.path}; both must be PEM files, and"
            " the key without a passphrase"
        ) from None


def _read_authorities(file: _File) -> bytes:
    content = file.read()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file.path)
    except ssl.SSLError:
        raise ValueError(
            f"{file.source}: {file.path} holds no certificates; it must be a PEM file of authorities"
        ) from None
    return content


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _system_authorities() -> bytes | None:
    """The system's authorities; None, for grpc's own, where there are none or GRPC_DEFAULT_SSL_ROOTS_FILE_PATH is
    set."""
    return None if os.environ.get(GRPC_VARIABLE) else b"\n".join(_system_files()) or None


def _system_files() -> Iterator[bytes]:
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        yield _File("the system's authorities", Path(paths.cafile)).read()
    elif paths.capath:
        # OpenSSL finds them by these names: a hash and a number.
        for file in sorted(Path(paths.capath).glob("*.[0-9]")):
            yield file.read_bytes()
