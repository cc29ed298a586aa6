"""TLS of the HTTP port: its certificate, those of its clients, and files that change while it runs."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.shared.logs import open_log
from services.shared.settings import ServiceSettings
from services.shared.tls import ServerTls, open_server_tls
from tests.rows import row
from tests.services.log_file import LogFile
from tests.services.model_service import model_service
from tests.support.certificates import Authority, Pair

LOCAL = ("DNS:localhost", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"))


def server_tls(pair: Pair, clients: Path | None = None) -> ServerTls:
    settings: dict[str, Any] = {"GENAI_TLS_CERT_FILE": pair.certificate, "GENAI_TLS_KEY_FILE": pair.key}
    if clients:
        settings["GENAI_TLS_CLIENT_CA_FILE"] = clients
    tls = open_server_tls(ServiceSettings(**settings), open_log("models", file=LogFile()))
    assert tls
    return tls


def client(authorities: Path, pair: Pair | None = None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=authorities)
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    return httpx.AsyncClient(verify=context, timeout=10, trust_env=False)


async def is_answered(url: str, authorities: Path, pair: Pair | None = None) -> bool:
    """Whether a request on a new connection is answered."""
    async with client(authorities, pair) as asking:
        try:
            return (await asking.get(f"{url}/v1/models")).status_code == 200
        except httpx.TransportError:
            return False


async def test_port_speaks_tls_alone_and_asks_clients_for_certificates(
    tmp_path: Path, authority: Authority, foreign: Authority
) -> None:
    pair = authority.issue_files(*LOCAL)
    async with model_service(tmp_path, http={"tls": server_tls(pair)}) as service:
        assert await is_answered(service.url, authority.path)
        assert not await is_answered(service.url, foreign.path)
        assert not await is_answered(service.url.replace("https", "http"), authority.path)
    async with model_service(tmp_path, http={"tls": server_tls(pair, authority.path)}) as service:
        for name, shown, answered in (
            ("its own", authority.issue_files("DNS:client"), True),
            ("none", None, False),
            ("of another authority", foreign.issue_files("DNS:client"), False),
            ("expired", authority.issue_expired_files("DNS:client"), False),
        ):
            with row(name):
                assert await is_answered(service.url, authority.path, shown) is answered


async def test_changed_files_are_those_of_the_next_connection(
    tmp_path: Path, authority: Authority, foreign: Authority
) -> None:
    old, new = authority.issue_files(*LOCAL), foreign.issue_files(*LOCAL)
    used = Pair(*(Path(shutil.copy(path, tmp_path)) for path in old))
    clients = Path(shutil.copy(authority.path, tmp_path / "clients.pem"))
    of_old, of_new = authority.issue_files("DNS:client"), foreign.issue_files("DNS:client")
    async with (
        model_service(tmp_path, http={"tls": server_tls(used, clients)}) as service,
        client(authority.path, of_old) as kept,
    ):
        assert (await kept.get(f"{service.url}/v1/models")).status_code == 200
        for path, changed in ((used.certificate, new.certificate), (used.key, new.key), (clients, foreign.path)):
            os.replace(shutil.copy(changed, path.with_suffix(".new")), path)
        for url in (service.url, service.url.replace("127.0.0.1", "localhost")):
            with row(url):
                assert await is_answered(url, foreign.path, of_new)
                assert not await is_answered(url, authority.path, of_old)
                assert not await is_answered(url, foreign.path, of_old)
        # A connection that there was goes on.
        assert (await kept.get(f"{service.url}/v1/models")).status_code == 200
