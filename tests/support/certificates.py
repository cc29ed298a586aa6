"""Certificates of a private authority, made with openssl for one test run."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


PAST = "-startdate 20240101000000Z -enddate 20240102000000Z"
SIGNING = """
[ca]
default_ca = private
[private]
database = {directory}/issued.txt
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
copy_extensions = copy
policy = names
unique_subject = no
[names]
commonName = supplied
"""


class Pair(NamedTuple):
    """The PEM files of a certificate and of its key."""

    certificate: Path
    key: Path


class Authority:
    """A private authority, which no system trusts. `path` is its own certificate."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "authority.pem"
        self._key = directory / "authority.key"
        self._directory = directory
        self._issued = 0
        _openssl(f"req -x509 -days 2 {KEY} -subj /CN=private -keyout {self._key} -out {self.path}")

    def issue(self, *subjects: str) -> ssl.SSLContext:
        """What a server with a certificate for these subjects (`DNS:name`, `IP:address`) speaks TLS with."""
        return _server_context(*self.issue_files(*subjects))

    def issue_files(self, *subjects: str, days: int = 2, key_kind: str = KEY, name: str = "server") -> Pair:
        """The files of a certificate for these subjects, with this common name."""
        self._issued += 1
        certificate, key = (self._directory / f"{self._issued}.{kind}" for kind in ("pem", "key"))
        signed = f"-CA {self.path} -CAkey {self._key} -addext subjectAltName={','.join(subjects)}"
        _openssl(f"req -x509 -days {days} {key_kind} -subj /CN={name} {signed} -keyout {key} -out {certificate}")
        return Pair(certificate, key)

    def issue_expired(self, *subjects: str) -> ssl.SSLContext:
        """The same with a certificate that was valid for a day in 2024."""
        return _server_context(*self.issue_expired_files(*subjects))

    def issue_expired_files(self, *subjects: str) -> Pair:
        """The files of a certificate that was valid for a day in 2024."""
        self._issued += 1
        certificate, key, request, config = (
            self._directory / f"{self._issued}.{kind}" for kind in ("pem", "key", "csr", "cnf")
        )
        config.write_text(SIGNING.format(directory=self._directory))
        (self._directory / "issued.txt").touch()
        _openssl(f"req {KEY} -subj /CN=server -addext subjectAltName={','.join(subjects)} -keyout {key} -out {request}")
        signing = f"-config {config} -cert {self.path} -keyfile {self._key}"
        _openssl(f"ca -batch -notext {signing} {PAST} -in {request} -out {certificate}")
        return Pair(certificate, key)


def _server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _openssl(command: str) -> None:
    subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
