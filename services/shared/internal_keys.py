"""The keys that identities of callers are signed with: those of the settings, else one in a file of this machine.

The processes of one machine share the file in their data directory; the first of them makes it. A process that calls
services of other machines, or is called from there, needs GENAI_INTERNAL_KEYS: no other machine can read the file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from services.shared.channels import host_of, split_addresses
from services.shared.errors import StartupError
from services.shared.identity import MIN_KEY_BYTES, IdentitySigner
from services.shared.settings import ServiceSettings, is_loopback

VARIABLE = "GENAI_INTERNAL_KEYS"
FILE = "internal.key"
MAX_FILE_BYTES = 4096


def open_signer(
    settings: ServiceSettings, *, addresses: Mapping[str, str] | None = None, is_called_by_services: bool = True
) -> IdentitySigner | None:
    """The signer of identities; None where nobody is asked who calls.

    `addresses` are those of the services that this one calls, by their variables. Raises StartupError for keys that
    cannot be used, and for a file of this machine where services of other machines would need it.
    """
    if settings.auth_mode == "off":
        return None
    if settings.internal_keys:
        return IdentitySigner(_read_keys(settings.internal_keys.get_secret_value()))
    if is_called_by_services and not is_loopback(settings.host):
        raise _not_shared(f"GENAI_HOST lets other machines call at {settings.host}")
    for variable, entries in (addresses or {}).items():
        for entry in split_addresses(entries):
            if not is_loopback(host_of(entry)):
                raise _not_shared(f"{variable} leads to another machine, {host_of(entry)}")
    return IdentitySigner([_read_file(settings.data_path() / FILE)])


def _not_shared(why: str) -> StartupError:
    return StartupError(
        f"{VARIABLE}: must be set, because {why}; the machines cannot share the key file in GENAI_DATA_DIR"
    )


def _read_keys(text: str) -> list[bytes]:
    keys = [entry.strip().encode() for entry in text.split(",")]
    for number, key in enumerate(keys, 1):
        if len(key) < MIN_KEY_BYTES:
            raise StartupError(
                f"{VARIABLE}: key {number} has {len(key)} bytes and must have {MIN_KEY_BYTES} or more; make one with"
                " `openssl rand -base64 32`"
            )
    return keys


def _read_file(path: Path) -> bytes:
    try:
        if not path.exists():
            _make_file(path)
        # A file that is a link could be anybody's.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            key = file.read(MAX_FILE_BYTES).strip()
    except OSError as error:
        problem = (error.strerror or "unknown error").lower()
        raise StartupError(f"{path} cannot be used: {problem}") from None
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StartupError(f"{path}: others than its owner can use it; make a new key: remove it, and start all again")
    if len(key) < MIN_KEY_BYTES:
        raise StartupError(f"{path}: holds no key; remove it, and start all services again")
    return key


def _make_file(path: Path) -> None:
    """Makes the file with a new key, whole or not at all. Of several processes, one makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(32).encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
        # A link is made only where no file is, unlike a renaming.
        with contextlib.suppress(FileExistsError):
            os.link(written, path)
    finally:
        written.unlink()
