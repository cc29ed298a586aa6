"""The Model Service in a company's network: all goes through the proxy, and the authority is the company's own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.models.main import open_service
from services.models.settings import ModelsSettings
from services.shared.errors import StartupError
from services.shared.logs import open_log
from tests.scripted_proxy import ScriptedProxy
from tests.scripted_upstream import Received, Script, ScriptedUpstream, json_answer
from tests.services.log_file import LogFile
from tests.services.model_service import (
    NO_KEYS,
    OPENAI_KEY,
    STRANGER,
    answered,
    chat_request,
    model_service,
    registration,
)
from tests.support.certificates import Authority
from tests.support.errors import failure_of, stream_failure

VENDOR = "vendor.example"
MINE = "mine.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def upstream(authority: Authority) -> AsyncIterator[ScriptedUpstream]:
    tls = authority.issue(f"DNS:{VENDOR}", f"DNS:{MINE}")
    async with ScriptedUpstream(default=listing, tls=tls) as server:
        yield server


@pytest.fixture
async def proxy(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedProxy]:
    """The only one who knows any name."""

    def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with ScriptedProxy({VENDOR: upstream.port, MINE: upstream.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@{proxy.address}")
        yield proxy


def listing(request: Received) -> Script:
    return json_answer({"data": [{"id": "gpt-4o"}]}) if request.path == "/v1/models" else answered(request)


def settings(authority: Authority, **others: Any) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": f"https://{VENDOR}/v1", "MODELS_CA_FILE": str(authority.path), **others}


async def test_calls_probes_and_lists_go_through_the_proxy(
    tmp_path: Path, upstream: ScriptedUpstream, proxy: ScriptedProxy, authority: Authority
) -> None:
    log = LogFile()
    chosen = settings(authority, **{**NO_KEYS, "OPENAI_API_KEY": OPENAI_KEY, "MODELS_DISCOVERY": "on"})
    async with model_service(tmp_path, upstream, log=open_log("models", file=log), **chosen) as service:
        await log.wait_for("models discovered", 30)
        assert (await service.stub.Chat(chat_request())).text == "Hi."
        chunks = [chunk async for chunk in service.stub.ChatStream(chat_request())]
        assert chunks[-1].response.text == "Hi."
        endpoint = f"https://{MINE}/v1"
        registered = await service.stub.RegisterModel(registration(upstream, endpoint=endpoint))
        assert registered.model.status == "healthy"
        assert (await service.stub.Chat(chat_request("mine"))).text == "Hi."
    assert {target for _, target in proxy.asked} == {f"{VENDOR}:443", f"{MINE}:443"}
    assert {method for method, _ in proxy.asked} == {"CONNECT"}
    assert "secret" not in log.getvalue().decode()


async def test_refusal_of_the_proxy_is_told_as_the_proxys(
    tmp_path: Path, upstream: ScriptedUpstream, proxy: ScriptedProxy, authority: Authority
) -> None:
    proxy.answers = [[b"HTTP/1.1 407 Who\r\n\r\n"], [b"HTTP/1.1 403 No\r\n\r\n"], [b"HTTP/1.1 502 No\r\n\r\n"]]
    log = LogFile()
    async with model_service(tmp_path, upstream, log=open_log("models", file=log), **settings(authority)) as service:
        whole = await failure_of(service.stub.Chat(chat_request()))
        _, streamed = await stream_failure(service.stub.ChatStream(chat_request()))
        request = registration(upstream, endpoint=f"https://{MINE}/v1")
        response = await service.stub.RegisterModel(request)
    assert (whole.code, whole.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PROXY_REFUSED")
    assert (whole.metadata["setting"], whole.metadata["http_status"]) == ("HTTPS_PROXY", "407")
    assert (streamed.code, streamed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PROXY_REFUSED")
    assert [notice.code for notice in response.warnings] == ["PROXY_REFUSED"]
    assert (response.model.status, response.model.endpoint) == ("unhealthy", f"https://{MINE}/v1")
    assert "secret" not in log.getvalue().decode()
    assert upstream.requests == []


async def test_strangers_reach_nothing_through_the_proxy_that_could_not_be_checked(
    tmp_path: Path, upstream: ScriptedUpstream, proxy: ScriptedProxy, authority: Authority
) -> None:
    async with model_service(tmp_path, upstream, **settings(authority)) as service:
        for host in (MINE, "10.0.0.7", "169.254.169.254", "metadata.google.internal", "localhost"):
            request = registration(upstream, endpoint=f"https://{host}/v1")
            failure = await failure_of(service.stub.RegisterModel(request, metadata=STRANGER))
            assert failure.reason == "ENDPOINT_NOT_ALLOWED"
    assert proxy.asked == []


async def test_strangers_reach_a_host_that_is_named(
    tmp_path: Path, upstream: ScriptedUpstream, proxy: ScriptedProxy, authority: Authority
) -> None:
    chosen = settings(authority, MODELS_ALLOWED_ENDPOINTS=f"none,{MINE}")
    async with model_service(tmp_path, upstream, **chosen) as service:
        request = registration(upstream, endpoint=f"https://{MINE}/v1")
        response = await service.stub.RegisterModel(request, metadata=STRANGER)
        assert (response.model.status, response.model.untrusted) == ("healthy", True)


async def test_setting_can_leave_the_proxies_of_the_environment_out(
    tmp_path: Path, upstream: ScriptedUpstream, proxy: ScriptedProxy, authority: Authority
) -> None:
    async with model_service(tmp_path, upstream, **settings(authority, MODELS_PROXY="none")) as service:
        failure = await failure_of(service.stub.Chat(chat_request()))
    assert failure.reason == "UPSTREAM_UNREACHABLE"
    assert proxy.asked == []


@pytest.mark.parametrize("variable", ["MODELS_PROXY", "HTTPS_PROXY", "MODELS_CA_FILE", "SSL_CERT_FILE"])
async def test_service_does_not_start_with_what_it_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "socks5://secret")
    chosen = ModelsSettings(GENAI_DATA_DIR=tmp_path)  # type: ignore[call-arg]
    with pytest.raises(StartupError, match=variable):
        async with open_service(chosen, open_log("models", file=LogFile())):
            pass


async def test_operator_is_told_which_proxies_are_asked(tmp_path: Path, proxy: ScriptedProxy) -> None:
    chosen = ModelsSettings(GENAI_DATA_DIR=tmp_path, MODELS_DISCOVERY="off")  # type: ignore[call-arg]
    async with open_service(chosen, open_log("models", file=LogFile())) as service:
        assert f"{proxy.address} (HTTPS_PROXY)" in service.description
        assert "secret" not in service.description
