"""Whom TLS connections trust, and what is told of authorities that cannot be read."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from services.models.settings import ModelsSettings
from services.models.transport.tls_trust import TlsTrust, check_trust
from services.shared.errors import StartupError
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A system without authorities."""
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile=str(tmp_path / "no"), openssl_capath=str(tmp_path))
    monkeypatch.setattr("_ssl.get_default_verify_paths", lambda: paths[2:])
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def subjects(context: ssl.SSLContext) -> list[str]:
    return [certificate["subject"][0][0][1] for certificate in context.get_ca_certs()]  # type: ignore[index,misc]


@pytest.mark.usefixtures("bare")
async def test_own_authorities_are_trusted_beside_the_systems(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert subjects(await TlsTrust().context()) == []
    assert subjects(await TlsTrust(authority.path).context()) == ["private"]
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    assert subjects(await TlsTrust().context()) == ["private"]


async def test_context_is_loaded_once() -> None:
    trust = TlsTrust()
    assert await trust.context() is await trust.context()


async def test_context_verifies_names_and_speaks_no_old_version() -> None:
    context = await TlsTrust().context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def missing(directory: Path) -> Path:
    return directory / "missing.pem"


def no_certificates(directory: Path) -> Path:
    file = directory / "text.pem"
    file.write_text("secret")
    return file


@pytest.mark.parametrize("make", [missing, no_certificates, lambda directory: directory])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "MODELS_CA_FILE"])
def test_file_that_cannot_be_used_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, make: Callable[[Path], Path]
) -> None:
    monkeypatch.setenv(variable, str(make(tmp_path)))
    with pytest.raises(StartupError) as refused:
        ModelsSettings().choose_network()
    assert str(refused.value).startswith(f"{variable}: ")
    assert "secret" not in str(refused.value)


def test_directory_that_is_not_there_is_refused_at_start(tmp_path: Path) -> None:
    check_trust({"SSL_CERT_DIR": f"{tmp_path}:{tmp_path}"}, None)
    with pytest.raises(StartupError, match="SSL_CERT_DIR"):
        check_trust({"SSL_CERT_DIR": f"{tmp_path}:{tmp_path / 'missing'}"}, None)


def test_files_that_hold_authorities_are_taken(authority: Authority) -> None:
    check_trust({"SSL_CERT_FILE": str(authority.path)}, authority.path)
