"""TLS on ports and connections: the credentials of servers and clients, which follow their files.

A file that has changed is read again before the next connection, without a restart. One that cannot be used, or does
not fit the others, is told once in the log, and what was read before stays in use.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc

from services.shared import metric_names
from services.shared.certificates import PemFile, check_authorities, check_pair
from services.shared.errors import StartupError
from services.shared.logs import Log
from services.shared.metrics import Gauges
from services.shared.settings import ClientSettings, ServiceSettings, is_loopback

WARN_SECONDS = 14 * 24 * 3600.0
"""A certificate that expires within this time is told in the log when it is read."""

CERTIFICATE_END = Gauges(
    metric_names.CERTIFICATE_END,
    "Time at which a certificate of the process expires, in seconds since 1970.",
    ("setting",),
)

Stamps = tuple[tuple[int, ...], ...]


class TlsContents(NamedTuple):
    """The contents of the files of one side of TLS, checked. Those without a file are None."""

    certificate: bytes | None
    key: bytes | None
    authorities: bytes | None


class TlsFiles:
    """The files of one side of TLS: a certificate with its key, and the authorities of the other side, or either."""

    def __init__(
        self,
        certificate: PemFile | None,
        key: PemFile | None,
        authorities: PemFile | None,
        log: Log,
        *,
        of_server: bool,
    ) -> None:
        """Reads the files. Raises StartupError for those that cannot be used."""
        self._certificate = certificate
        self._key = key
        self._authorities = authorities
        self._log = log
        self._of_server = of_server
        self._reading = threading.Lock()
        self._stamps = self._read_stamps()
        self._contents = self._read()

    def refresh(self) -> TlsContents:
        """The contents, read again if a file has changed. Safe to call in any thread."""
        with self._reading:
            stamps = self._read_stamps()
            if stamps != self._stamps:
                self._read_changed(stamps)
            return self._contents

    def _read_changed(self, stamps: Stamps) -> None:
        try:
            contents = self._read()
        except StartupError as error:
            if stamps == self._read_stamps():
                self._stamps = stamps
                self._log.error("changed TLS files cannot be used; those read before stay in use", problem=str(error))
            return
        # What changes while it is read is read once more, before the next connection.
        if stamps == self._read_stamps():
            self._stamps, self._contents = stamps, contents
            self._log.info("changed TLS files are in use")

    def _read(self) -> TlsContents:
        certificate = key = authorities = None
        if self._certificate and self._key:
            self._note_end(check_pair(self._certificate, self._key, of_server=self._of_server), self._certificate)
            certificate, key = self._certificate.read(), self._key.read()
        if self._authorities:
            check_authorities(self._authorities)
            authorities = self._authorities.read()
        return TlsContents(certificate, key, authorities)

    def _note_end(self, expires: float, certificate: PemFile) -> None:
        CERTIFICATE_END.set((certificate.variable,), expires)
        if expires - time.time() < WARN_SECONDS:
            shown = datetime.datetime.fromtimestamp(expires, datetime.UTC).isoformat()
            self._log.warning("certificate expires soon", variable=certificate.variable, expires=shown)

    def _read_stamps(self) -> Stamps:
        return tuple(_stamp(file.path) for file in (self._certificate, self._key, self._authorities) if file)


class ServerTls:
    """TLS on the ports of a process. With authorities, clients must have a certificate that one of them has signed."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises StartupError."""
        self._files = files
        self._issued: list[grpc.ServerCredentials] = []

    def credentials(self) -> grpc.ServerCredentials:
        """The credentials for one port of one server."""
        used = self._files.refresh()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            # grpc calls this before each handshake.
            nonlocal used
            contents = self._files.refresh()
            if contents is used:
                return None
            used = contents
            return _configuration(contents)

        credentials = grpc.dynamic_ssl_server_credentials(_configuration(used), fetch, used.authorities is not None)
        # grpc calls `fetch` through a pointer that does not keep it.
        self._issued.append(credentials)
        return credentials

    def http_context(self) -> ssl.SSLContext:
        """The same for a port of HTTP: the context that asks the files again before each handshake."""
        current = self._files.refresh()
        outer = inner = _http_context(current)

        def renew(connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
            # OpenSSL calls this once it knows which name the client wants.
            nonlocal current, inner
            contents = self._files.refresh()
            if contents is not current:
                current, inner = contents, _http_context(contents)
            connection.context = inner

        outer.sni_callback = renew
        return outer


def _http_context(contents: TlsContents) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    assert contents.certificate
    assert contents.key
    # OpenSSL reads a certificate and its key from files only; these have no name and are in memory.
    with _unnamed_file(contents.certificate) as certificate, _unnamed_file(contents.key) as key:
        context.load_cert_chain(certificate, key)
    if contents.authorities:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=contents.authorities.decode("ascii", "ignore"))
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """The context of a client of HTTP with these files."""
    contents = files.refresh()
    context = ssl.create_default_context(cadata=contents.authorities.decode() if contents.authorities else None)
    if contents.certificate and contents.key:
        with _unnamed_file(contents.certificate) as certificate, _unnamed_file(contents.key) as key:
            context.load_cert_chain(certificate, key)
    return context


@contextlib.contextmanager
def _unnamed_file(data: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("tls")
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def open_server_tls(settings: ServiceSettings, log: Log) -> ServerTls | None:
    """TLS as the settings say it; None for unencrypted ports.

    Raises StartupError for files that cannot be used, and for unencrypted ports that other machines can reach, unless
    callers must say who they are, or GENAI_INSECURE allows it; the log then warns.
    """
    certificate, key = _pair(
        _file("GENAI_TLS_CERT_FILE", settings.tls_cert_file),
        _file("GENAI_TLS_KEY_FILE", settings.tls_key_file),
        ("GENAI_TLS_CERT_FILE", "GENAI_TLS_KEY_FILE"),
    )
    authorities = _file("GENAI_TLS_CLIENT_CA_FILE", settings.tls_client_ca_file)
    if certificate:
        tls = ServerTls(TlsFiles(certificate, key, authorities, log, of_server=True))
        log.info("TLS is on", client_certificates="required" if authorities else "not required")
        return tls
    if authorities:
        raise StartupError("GENAI_TLS_CLIENT_CA_FILE: needs GENAI_TLS_CERT_FILE and GENAI_TLS_KEY_FILE beside it")
    if not is_loopback(settings.host):
        _check_unencrypted(settings, log)
    return None


def _check_unencrypted(settings: ServiceSettings, log: Log) -> None:
    if settings.auth_mode == "off" and settings.insecure == "no":
        raise StartupError(
            f"GENAI_HOST: other machines can reach {settings.host}, and calls would not be encrypted; set"
            " GENAI_TLS_CERT_FILE and GENAI_TLS_KEY_FILE, or AUTH_MODE=required, or GENAI_INSECURE=yes where something"
            " else protects them"
        )
    log.warning(
        "other machines can reach this port, and calls are not encrypted",
        host=settings.host,
        callers="must have a key" if settings.auth_mode == "required" else "anybody",
    )


def open_client_tls(settings: ClientSettings, log: Log) -> TlsFiles:
    """The files for connections to other services, as the settings say it. Raises StartupError."""
    certificate, key = _pair(
        _file("GENAI_TLS_CLIENT_CERT_FILE", settings.tls_client_cert_file),
        _file("GENAI_TLS_CLIENT_KEY_FILE", settings.tls_client_key_file),
        ("GENAI_TLS_CLIENT_CERT_FILE", "GENAI_TLS_CLIENT_KEY_FILE"),
    )
    authorities = _file("GENAI_TLS_CA_FILE", settings.tls_ca_file)
    return TlsFiles(certificate, key, authorities, log, of_server=False)


def _file(variable: str, path: Path | None) -> PemFile | None:
    return PemFile(variable, path.expanduser().absolute()) if path else None


def _pair(
    certificate: PemFile | None, key: PemFile | None, variables: tuple[str, str]
) -> tuple[PemFile | None, PemFile | None]:
    if bool(certificate) is bool(key):
        return certificate, key
    given, missing = variables if certificate else reversed(variables)
    raise StartupError(f"{missing}: must be set beside {given}")


def _configuration(contents: TlsContents) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(contents.key, contents.certificate)], contents.authorities)


def channel_credentials(contents: TlsContents) -> grpc.ChannelCredentials:
    """The credentials of a client with these contents of its files."""
    return grpc.ssl_channel_credentials(
        contents.authorities or _system_authorities(), contents.key, contents.certificate
    )


def _system_authorities() -> bytes | None:
    """The system's authorities; None, for those that grpc brings along, where there are none."""
    return b"\n".join(_system_files()) or None


def _system_files() -> Iterator[bytes]:
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        yield PemFile("SSL_CERT_FILE", Path(paths.cafile)).read()
    elif paths.capath:
        # OpenSSL finds them by these names: a hash and a number.
        for file in sorted(Path(paths.capath).glob("*.[0-9]")):
            yield file.read_bytes()


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
