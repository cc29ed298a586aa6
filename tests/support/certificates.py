"""Certificates of a private authority, made with openssl for one test run."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"


class Authority:
    """A private authority, which no system trusts. `path` is its own certificate."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "authority.pem"
        self._key = directory / "authority.key"
        self._directory = directory
        self._issued = 0
        _openssl(f"req -x509 {KEY} -subj /CN=private -keyout {self._key} -out {self.path}")

    def issue(self, *subjects: str) -> ssl.SSLContext:
        """What a server with a certificate for these subjects (`DNS:name`, `IP:address`) speaks TLS with."""
        self._issued += 1
        certificate, key = (self._directory / f"{self._issued}.{kind}" for kind in ("pem", "key"))
        signed = f"-CA {self.path} -CAkey {self._key} -addext subjectAltName={','.join(subjects)}"
        _openssl(f"req -x509 {KEY} -subj /CN=server {signed} -keyout {key} -out {certificate}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context


def _openssl(command: str) -> None:
    subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
