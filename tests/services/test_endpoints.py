"""The endpoint allow-list where it counts: no socket is connected to what it denies, whoever asks and however."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from services.models.health.probes import ModelProbe
from services.models.transport.client import HttpClient, open_probing_client
from services.models.transport.egress import EndpointPolicy
from services.shared.errors import PlatformError
from services.shared.logs import open_log
from tests.scripted_upstream import ScriptedUpstream, answer, json_answer
from tests.services.model_service import chat_request, completion, model_service
from tests.support.certificates import Authority
from tests.support.errors import failure_of

LOG = open_log("test", file=io.BytesIO())
NOTHING_PRIVATE = EndpointPolicy(["none"])

NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "localhost.localdomain": ["127.0.0.1"],
    "sub.localhost": ["::1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "169.254.169.254.nip.io": ["169.254.169.254"],
    "localtest.me": ["127.0.0.1"],
    "spoofed.burpcollaborator.net": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "metadata.goog": ["169.254.169.254"],
    "metadata": ["8.8.8.8"],
    "instance-data": ["169.254.169.254"],
    "intranet.example": ["10.0.0.7"],
    "six.example": ["fd00::7"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "mixed.example": ["8.8.8.8", "127.0.0.1"],
    "mixed-six.example": ["2606:4700::1", "::1"],
    "zero.example": ["0.0.0.0"],
    "link-local.example": ["fe80::1"],
}
"""What the names of the corpus resolve to, in no real network."""

HOSTS = [
    *NAMES,
    "LOCALHOST",
    "localhost.",
    "Metadata.Google.Internal.",
    # IPv4, as it should be written and as it should not.
    "127.0.0.1",
    "127.0.1.3",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "0.0.0.1",
    "10.0.0.1",
    "10.1",
    "167772161",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "192.168.257",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "169.254.169.254",
    "169.254.170.2",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    # IPv6, and the IPv4 addresses that can be written in it.
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fec0::1]",
    "[fd00:ec2::254]",
    "[fd12:3456:789a::1]",
    "[ff02::1]",
    "[2001:db8::1]",
]
OTHER_URLS = [
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:11211/stats",
    "unix:///var/run/docker.sock",
    "http://example.com@127.0.0.1:{port}/v1",
    "http://127.0.0.1:{port}\\@example.com/v1",
    "http://127.0.0.1:{port}#@example.com/v1",
    "http://１２７.０.０.１:{port}/v1",
    "http://①②⑦.⓪.⓪.①:{port}/v1",
    "http://127。0。0。1:{port}/v1",
    "//127.0.0.1:{port}/v1",
    "http:127.0.0.1:{port}/v1",
]
CORPUS = [*(f"http://{host}:{{port}}/v1" for host in HOSTS), *OTHER_URLS]


# ----------------------------------------------------------------------------------------------------- the network

_connected: list[Any] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _connected is not None and arguments[0].type == socket.SOCK_STREAM:
        _connected.append(arguments[1])


sys.addaudithook(_audit)


@contextlib.contextmanager
def connections_counted() -> Iterator[list[Any]]:
    """Every address that any socket of this process is connected to, as the interpreter itself reports it."""
    global _connected
    _connected = []
    try:
        yield _connected
    finally:
        _connected = None


Names = dict[str, Sequence[str] | Callable[[], Sequence[str]]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What names resolve to during the test; numbers in any spelling resolve as the system says."""
    known: Names = dict(NAMES)
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        name = (host.decode() if isinstance(host, bytes) else host).lower().rstrip(".")
        if name not in known:
            return real(host, port, *arguments, **options)
        found = known[name]
        addresses = found() if callable(found) else found
        return [entry for address in addresses for entry in real(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=json_answer({"data": [{"id": "mine"}]})) as server:
        yield server


@contextlib.asynccontextmanager
async def transporting(endpoints: EndpointPolicy) -> AsyncIterator[HttpClient]:
    transport = HttpClient(endpoints=endpoints)
    try:
        yield transport
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def probing(endpoints: EndpointPolicy) -> AsyncIterator[HttpClient]:
    client = open_probing_client(endpoints)
    try:
        yield client
    finally:
        await client.close()


def registered(endpoint: str) -> models_pb2.RegisteredModel:
    return models_pb2.RegisteredModel(
        name="mine", endpoint=endpoint, adapter_type="openai-compatible", upstream_model="mine"
    )


async def reason_of(call: Awaitable[Any]) -> str:
    with pytest.raises(PlatformError) as caught:
        await call
    return caught.value.reason


# ------------------------------------------------------------------------------------------------------ the corpus


def test_corpus_is_of_a_size_that_says_something() -> None:
    assert len(set(CORPUS)) >= 60


async def test_no_registration_of_the_corpus_connects_to_anything(
    tmp_path: Path, upstream: ScriptedUpstream, names: Names
) -> None:
    port = upstream.url.rpartition(":")[2]
    async with model_service(tmp_path, MODELS_ALLOWED_ENDPOINTS="none") as service:
        with connections_counted() as connected:
            for url in CORPUS:
                for validate_only in (True, False):
                    request = models_pb2.RegisterModelRequest(
                        name="mine",
                        endpoint=url.format(port=port),
                        adapter_type="openai-compatible",
                        validate_only=validate_only,
                    )
                    failure = await failure_of(service.stub.RegisterModel(request))
                    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT, url
                    assert list(failure.fields) == ["endpoint"], url
        assert connected == []
        listed = await service.stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest())
    assert list(listed.models) == []
    assert upstream.requests == []


async def test_no_call_and_no_probe_of_the_corpus_connects_to_anything(
    upstream: ScriptedUpstream, names: Names
) -> None:
    """As if each had been registered when its name still led elsewhere, or under other settings."""
    port = upstream.url.rpartition(":")[2]
    async with transporting(NOTHING_PRIVATE) as transport, probing(NOTHING_PRIVATE) as client:
        with connections_counted() as connected:
            for url in (url.format(port=port) for url in CORPUS):
                with pytest.raises(PlatformError):
                    await transport.post(f"{url}/chat/completions", {}, b"{}")
                assert (await ModelProbe(registered(url)).ask(client)).status == "unhealthy", url
        assert connected == []
    assert upstream.requests == []


async def test_even_where_private_ranges_are_allowed_metadata_services_are_not(
    upstream: ScriptedUpstream, names: Names
) -> None:
    private = EndpointPolicy()
    hosts = ["169.254.169.254", "metadata.google.internal", "metadata", "[fd00:ec2::254]", "[::ffff:a9fe:a9fe]"]
    async with transporting(private) as transport:
        with connections_counted() as connected:
            for host in hosts:
                assert await reason_of(transport.post(f"http://{host}/v1", {}, b"{}")) == "ENDPOINT_NOT_ALLOWED"
                assert await private.registration_refusal(f"http://{host}/v1", "endpoint")
        assert connected == []


# -------------------------------------------------------------------------------------------------------- rebinding


async def test_name_that_leads_elsewhere_after_its_registration_is_not_connected_to(
    tmp_path: Path, upstream: ScriptedUpstream, names: Names
) -> None:
    port = upstream.url.rpartition(":")[2]
    answers = iter([["8.8.8.8"]])
    names["rebinding.example"] = lambda: next(answers, ["127.0.0.1"])
    request = models_pb2.RegisterModelRequest(
        name="mine", endpoint=f"http://rebinding.example:{port}/v1", adapter_type="openai-compatible"
    )
    async with model_service(tmp_path, MODELS_ALLOWED_ENDPOINTS="none") as service:
        response = await service.stub.RegisterModel(request)
        assert [notice.code for notice in response.warnings] == ["ENDPOINT_NOT_ALLOWED"]
        status = await service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="mine"))
        assert (status.status, status.reason) == ("unhealthy", "ENDPOINT_NOT_ALLOWED")
        failure = await failure_of(service.stub.Chat(chat_request("mine")))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ENDPOINT_NOT_ALLOWED")
    assert failure.metadata["setting"] == "MODELS_ALLOWED_ENDPOINTS"
    assert "127.0.0.1" not in failure.message
    assert upstream.requests == []


async def test_address_that_was_checked_is_the_one_that_is_connected_to(
    upstream: ScriptedUpstream, names: Names
) -> None:
    """A resolver that answers well once and badly ever after is asked once for each connection."""
    port = int(upstream.url.rpartition(":")[2])
    asked: list[str] = []

    def turning() -> Sequence[str]:
        asked.append("")
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    names["turning.example"] = turning
    policy = EndpointPolicy(["127.0.0.1"])
    url = f"http://turning.example:{port}/v1"
    with connections_counted() as connected:
        async with probing(policy) as client:
            assert (await ModelProbe(registered(url)).ask(client)).status == "healthy"
            assert (await ModelProbe(registered(url)).ask(client)).reason == "ENDPOINT_NOT_ALLOWED"
        asked.clear()
        async with transporting(policy) as transport:
            assert (await transport.post(url, {}, b"{}")).status == 200
        async with transporting(policy) as transport:
            assert await reason_of(transport.post(url, {}, b"{}")) == "ENDPOINT_NOT_ALLOWED"
    assert [address[:2] for address in connected] == [("127.0.0.1", port)] * 2


async def test_redirect_into_the_private_network_is_not_followed(upstream: ScriptedUpstream) -> None:
    upstream.default = answer(b"", status=307, headers={"Location": "http://169.254.169.254/latest/meta-data/"})
    policy = EndpointPolicy()
    async with transporting(policy) as transport, probing(policy) as client:
        with connections_counted() as connected:
            assert await reason_of(transport.post(f"{upstream.url}/v1", {}, b"{}")) == "UPSTREAM_REDIRECT"
            assert (await ModelProbe(registered(upstream.url)).ask(client)).status == "degraded"
    assert {address[0] for address in connected} == {"127.0.0.1"}


# ----------------------------------------------------------------------------------------------- what stays possible


async def test_loopback_server_reaches_its_own_machine_without_any_setting(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    request = models_pb2.RegisterModelRequest(
        name="mine", endpoint=f"{upstream.url}/v1", adapter_type="openai-compatible"
    )
    async with model_service(tmp_path) as service:
        assert (await service.stub.RegisterModel(request)).model.status == "healthy"


async def test_server_for_others_denies_its_own_machine_until_it_is_named(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    request = models_pb2.RegisterModelRequest(
        name="mine", endpoint=f"{upstream.url}/v1", adapter_type="openai-compatible"
    )
    async with model_service(tmp_path, GENAI_HOST="0.0.0.0") as service:
        failure = await failure_of(service.stub.RegisterModel(request))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ENDPOINT_NOT_ALLOWED")
    assert "MODELS_ALLOWED_ENDPOINTS" in failure.fields["endpoint"]
    named = "10.0.0.0/8, 127.0.0.1"
    async with model_service(tmp_path, GENAI_HOST="0.0.0.0", MODELS_ALLOWED_ENDPOINTS=named) as service:
        assert (await service.stub.RegisterModel(request)).model.status == "healthy"


async def test_providers_base_url_is_allowed_wherever_it_is(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.default = json_answer(completion("Hi."))
    async with model_service(tmp_path, upstream, MODELS_ALLOWED_ENDPOINTS="none") as service:
        assert (await service.stub.Chat(chat_request("gpt-4o"))).text == "Hi."
        status = await service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="gpt-4o"))
    assert status.status == "healthy"


async def test_name_that_does_not_resolve_yet_can_be_registered(names: Names) -> None:
    def nowhere() -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    names["later.example"] = nowhere
    assert await NOTHING_PRIVATE.registration_refusal("http://later.example/v1", "endpoint") is None


async def test_probe_goes_on_to_the_next_address_of_a_name(upstream: ScriptedUpstream, names: Names) -> None:
    port = upstream.url.rpartition(":")[2]
    names["two.example"] = ["127.0.0.2", "127.0.0.1"]
    url = f"http://two.example:{port}/v1/models"
    async with probing(EndpointPolicy()) as client, client.get(url, {}) as answered:
        assert answered.status == 200
    assert upstream.requests[0].headers["host"] == f"two.example:{port}"


async def test_probe_checks_the_certificate_against_the_name_and_not_the_address(
    tmp_path: Path, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    names["secure.example"] = names["other.example"] = ["127.0.0.1"]
    context = authority.issue("DNS:secure.example")
    asked_for: list[str | None] = []
    context.sni_callback = lambda connection, name, context: asked_for.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with probing(EndpointPolicy()) as client:
            async with client.get(f"https://secure.example:{port}/", {}) as answered:
                assert await answered.read_start() == b"ok"
            assert await reason_of(client.get(f"https://other.example:{port}/", {}).__aenter__()) == "UPSTREAM_TLS"
    assert asked_for == ["secure.example", "other.example"]
