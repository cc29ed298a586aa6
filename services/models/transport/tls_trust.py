"""TLS trust: the certificate authorities that servers' certificates are verified against.

They are the system's, or those in SSL_CERT_FILE and SSL_CERT_DIR, which replace the system's file and directory as in
OpenSSL (docs.openssl.org/master/man3/SSL_CTX_load_verify_locations), and beside them those in MODELS_CA_FILE.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from services.shared.certificates import PemFile, check_authorities
from services.shared.descriptors import shortage_from
from services.shared.errors import StartupError
from services.shared.fair_threads import start_thread

SETTING = "MODELS_CA_FILE"
FILE_VARIABLE = "SSL_CERT_FILE"
DIRECTORY_VARIABLE = "SSL_CERT_DIR"


class TlsTrust:
    """The context of TLS connections. Clients may share one; it belongs to the event loop of its first use.

    `ca_file` is a PEM file of authorities that are trusted beside all others.
    """

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file
        self._context: asyncio.Future[ssl.SSLContext] | None = None

    async def context(self) -> ssl.SSLContext:
        """The context, loaded once. Raises LimitExceeded where there is no descriptor to read the authorities with, or
        OSError."""
        # In a thread, because reading the system's authorities takes some 50 ms.
        if self._context is None:
            self._context = start_thread(functools.partial(_load, self._ca_file))
            self._context.add_done_callback(self._forget_failure)
        try:
            return await asyncio.shield(self._context)
        except OSError as error:
            raise shortage_from(error) or error from None

    def _forget_failure(self, context: asyncio.Future[ssl.SSLContext]) -> None:
        if context.exception():
            self._context = None


def check_trust(environment: Mapping[str, str], ca_file: Path | None) -> None:
    """Raises StartupError for a file or a directory of authorities that cannot be used, naming the variable."""
    if ca_file:
        check_authorities(PemFile(SETTING, ca_file))
    if file := environment.get(FILE_VARIABLE):
        check_authorities(PemFile(FILE_VARIABLE, Path(file)))
    for directory in filter(None, environment.get(DIRECTORY_VARIABLE, "").split(os.pathsep)):
        if not Path(directory).is_dir():
            raise StartupError(f"{DIRECTORY_VARIABLE}: {directory} is no directory")


def _load(ca_file: Path | None) -> ssl.SSLContext:
    # The files are named, because OpenSSL ignores a default file that it cannot open, without an error.
    paths = ssl.get_default_verify_paths()
    directories = os.environ.get(DIRECTORY_VARIABLE) or paths.capath
    context = ssl.create_default_context(cafile=paths.cafile, capath=directories)
    context.set_alpn_protocols(["http/1.1"])
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
