"""TLS on ports and between services: certificates, their authorities, and files that change."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from genai_platform import GenAIPlatform, NotFound
from services.shared.logs import open_log
from services.shared.server import Server, running
from services.shared.settings import ClientSettings, ServiceSettings
from services.shared.tls import ServerTls, TlsFiles, open_client_tls, open_server_tls
from tests.rows import row
from tests.services.gateway.gateways import MODELS, Gateway, gateway, serving, stream, unary
from tests.services.log_file import LogFile
from tests.support.certificates import Authority, Pair
from tests.support.http2 import call
from tests.support.processes import EXIT_CONFIG, run
from tests.support.processes import running as started

SERVICE = "test.Echo"
LOCAL = ("DNS:localhost", "IP:127.0.0.1")
LONG = 100
IN_USE = "changed TLS files are in use"
UNUSABLE = "changed TLS files cannot be used; those read before stay in use"


async def echo(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
    return request


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="module")
def local(authority: Authority) -> Pair:
    return authority.issue_files(*LOCAL, days=LONG)


def server_tls(pair: Pair, clients: Path | None = None, log: LogFile | None = None) -> ServerTls:
    settings: dict[str, Any] = {"GENAI_TLS_CERT_FILE": pair.certificate, "GENAI_TLS_KEY_FILE": pair.key}
    if clients:
        settings["GENAI_TLS_CLIENT_CA_FILE"] = clients
    tls = open_server_tls(ServiceSettings(**settings), open_log("test", file=log or LogFile()))
    assert tls
    return tls


def client_tls(authorities: Path, pair: Pair | None = None, log: LogFile | None = None) -> TlsFiles:
    settings: dict[str, Any] = {"GENAI_TLS_CA_FILE": authorities}
    if pair:
        settings |= {"GENAI_TLS_CLIENT_CERT_FILE": pair.certificate, "GENAI_TLS_CLIENT_KEY_FILE": pair.key}
    return open_client_tls(ClientSettings(**settings), open_log("test", file=log or LogFile()))


@contextlib.asynccontextmanager
async def served(tls: ServerTls) -> AsyncIterator[tuple[Server, str]]:
    handlers = {"Echo": unary(echo)}
    server = Server([grpc.method_handlers_generic_handler(SERVICE, handlers)], [SERVICE])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0, tls=tls)}"
    async with running(server):
        yield server, address


def raw_channel(address: str, authorities: Path, pair: Pair | None = None) -> grpc.aio.Channel:
    """A channel with a connection of its own."""
    credentials = grpc.ssl_channel_credentials(
        authorities.read_bytes(), *((pair.key.read_bytes(), pair.certificate.read_bytes()) if pair else ())
    )
    return grpc.aio.secure_channel(address, credentials, [("grpc.use_local_subchannel_pool", 1)])


async def echoed(address: str, authorities: Path, pair: Pair | None = None) -> bool:
    """Whether a call on a new connection is answered."""
    async with raw_channel(address, authorities, pair) as channel:
        try:
            return bool(await channel.unary_unary(f"/{SERVICE}/Echo")(b"x", timeout=10) == b"x")
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False


def replace(old: Pair, new: Pair) -> None:
    """Puts files in the place of others, each at once, as programs that renew certificates do."""
    for name in Pair._fields:
        changed = getattr(old, name).with_suffix(".new")
        shutil.copy(getattr(new, name), changed)
        os.replace(changed, getattr(old, name))


def copied(pair: Pair, directory: Path) -> Pair:
    return Pair(Path(shutil.copy(pair.certificate, directory)), Path(shutil.copy(pair.key, directory)))


async def test_calls_health_and_reflection_are_served_in_tls_only(authority: Authority, local: Pair) -> None:
    async with served(server_tls(local)) as (_, address), raw_channel(address, authority.path) as channel:
        assert await channel.unary_unary(f"/{SERVICE}/Echo")(b"x", timeout=5) == b"x"
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([question]))
        listed = [each.name async for answer in answers for each in answer.list_services_response.service]
        assert SERVICE in listed
        async with grpc.aio.insecure_channel(address) as plain:
            with pytest.raises(grpc.aio.AioRpcError):
                await plain.unary_unary(f"/{SERVICE}/Echo")(b"x", timeout=5)


async def test_versions_of_tls_before_1_2_are_refused(authority: Authority, local: Pair) -> None:
    async with served(server_tls(local)) as (_, address):
        assert await speaks(address, authority, ssl.TLSVersion.TLSv1_2)
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            assert not await speaks(address, authority, ssl.TLSVersion.TLSv1_1)


async def speaks(address: str, authority: Authority, version: ssl.TLSVersion) -> bool:
    """Whether a port speaks this version of TLS."""
    context = ssl.create_default_context(cafile=authority.path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]), ssl=context)
    except OSError:
        return False
    writer.close()
    return True


async def test_port_that_was_lost_is_served_in_tls_again(authority: Authority, local: Pair) -> None:
    log = LogFile()
    async with served(server_tls(local)) as (server, address):
        keeping = asyncio.create_task(server.keep_serving(open_log("test", file=log)))
        context = ssl.create_default_context(cafile=authority.path)
        context.set_alpn_protocols(["h2"])
        _, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]), ssl=context)
        writer.write(call(b"/\xff/x"))
        await log.written(1)
        assert "served again" in log.entries()[0]["event"]
        while not await echoed(address, authority.path):
            pass
        writer.close()
        keeping.cancel()


async def test_clients_need_a_certificate_of_the_authority_that_is_set(
    authority: Authority, foreign: Authority, local: Pair
) -> None:
    async with served(server_tls(local, authority.path)) as (_, address):
        for name, pair, accepted in (
            ("its own", authority.issue_files("DNS:client"), True),
            ("none", None, False),
            ("of another authority", foreign.issue_files("DNS:client"), False),
            ("expired", authority.issue_expired_files("DNS:client"), False),
        ):
            with row(name):
                assert await echoed(address, authority.path, pair) is accepted


async def test_certificate_is_replaced_under_load_without_a_failed_call(
    tmp_path: Path, authority: Authority, foreign: Authority, local: Pair
) -> None:
    log, used, ended = LogFile(), copied(local, tmp_path), asyncio.Event()
    trusted = tmp_path / "both.pem"
    trusted.write_bytes(authority.path.read_bytes() + foreign.path.read_bytes())
    async with served(server_tls(used, log=log)) as (_, address):

        async def load() -> int:
            calls = 0
            while not ended.is_set():
                assert await echoed(address, trusted)
                calls += 1
            return calls

        async with asyncio.timeout(20), raw_channel(address, authority.path) as old:
            loads = [asyncio.create_task(load()) for _ in range(4)]
            assert await old.unary_unary(f"/{SERVICE}/Echo")(b"x") == b"x"
            replace(used, foreign.issue_files(*LOCAL, days=LONG))
            while not await echoed(address, foreign.path):
                pass
            assert not await echoed(address, authority.path)
            assert await old.unary_unary(f"/{SERVICE}/Echo")(b"x") == b"x"
            ended.set()
            assert all(await asyncio.gather(*loads))
    await log.wait_for(IN_USE, 5)


async def test_changed_file_that_cannot_be_used_is_told_once_and_keeps_the_last_good_one(
    tmp_path: Path, authority: Authority, local: Pair
) -> None:
    log, used = LogFile(), copied(local, tmp_path)
    other = authority.issue_files(*LOCAL, days=LONG)
    async with served(server_tls(used, log=log)) as (_, address):
        used.key.write_bytes(other.key.read_bytes())
        for _ in range(3):
            assert await echoed(address, authority.path)
        await log.wait_for(f"{used.key} does not belong to the certificate in {used.certificate}", 5)
        used.key.unlink()
        assert await echoed(address, authority.path)
        await log.wait_for(f"GENAI_TLS_KEY_FILE: {used.key} cannot be read: no such file or directory", 5)
        replace(used, other)
        assert await echoed(address, authority.path)
        await log.wait_for(IN_USE, 5)
    assert [entry["event"] for entry in log.entries()] == ["TLS is on", UNUSABLE, UNUSABLE, IN_USE]


# --------------------------------------------------------------------------------------------- between services


async def test_gateway_forwards_in_tls_and_mtls_and_checks_the_name_that_was_written(
    authority: Authority, local: Pair
) -> None:
    named = authority.issue_files("DNS:localhost", days=LONG)
    client = authority.issue_files("DNS:gateway")
    for pair, clients in ((None, None), (client, authority.path)):
        async with (
            serving(MODELS, {"Chat": unary(echo)}, tls=server_tls(named, clients)) as backend,
            gateway(
                f"https://{backend.address.replace('127.0.0.1', 'localhost')}", tls=client_tls(authority.path, pair)
            ) as front,
        ):
            assert await front.unary()(b"x", timeout=5) == b"x"


async def logged(front: Gateway, event: str) -> dict[str, Any]:
    """The first line of a gateway's log with this event, as soon as it is written."""
    while True:
        for entry in front.log:
            if entry["event"] == event:
                return entry
        front.logged.clear()
        await front.logged.wait()


async def test_gateway_logs_why_a_service_is_not_reached(
    authority: Authority, foreign: Authority, local: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.shared.replicas.CHECK_SECONDS", 0.05)
    for name, tls, scheme, problem in (
        (
            "foreign",
            server_tls(foreign.issue_files(*LOCAL)),
            "https://",
            "authority that GENAI_TLS_CA_FILE does not name",
        ),
        (
            "name",
            server_tls(authority.issue_files("DNS:a.example")),
            "https://",
            "certificate is for another host name",
        ),
        ("client", server_tls(local, authority.path), "https://", "see GENAI_TLS_CLIENT_CERT_FILE"),
        ("no TLS", None, "https://", "does not speak TLS; write its address without https://"),
        ("TLS", server_tls(local), "", "write https:// before its address if it speaks TLS"),
    ):
        with row(name):
            async with (
                asyncio.timeout(10),
                serving(MODELS, {"Chat": unary(echo)}, tls=tls) as backend,
                gateway(scheme + backend.address, tls=client_tls(authority.path)) as front,
            ):
                assert problem in (await logged(front, "backend connection refused"))["problem"]
                with pytest.raises(grpc.aio.AioRpcError):
                    await front.unary()(b"x", timeout=5)


async def test_gateway_logs_that_the_certificate_of_a_service_has_expired(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that has it does not start, and one that runs goes on."""
    monkeypatch.setattr("services.shared.replicas.CHECK_SECONDS", 0.05)
    expired = authority.issue_expired_files(*LOCAL)
    credentials = grpc.ssl_server_credentials([(expired.key.read_bytes(), expired.certificate.read_bytes())])
    server = grpc.aio.server()
    address = f"https://127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    await server.start()
    async with asyncio.timeout(10), gateway(address, tls=client_tls(authority.path)) as front:
        assert (await logged(front, "backend connection refused"))["problem"] == "its certificate has expired"
    await server.stop(0)


async def test_services_trust_the_systems_authorities_where_none_are_named(
    authority: Authority, local: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    files = open_client_tls(ClientSettings(), open_log("test", file=LogFile()))
    async with (
        serving(MODELS, {"Chat": unary(echo)}, tls=server_tls(local)) as backend,
        gateway(f"https://{backend.address}", tls=files) as front,
    ):
        assert await front.unary()(b"x", timeout=5) == b"x"


async def test_gateway_shows_its_new_certificate_without_a_restart_or_a_failed_call(
    tmp_path: Path, authority: Authority, foreign: Authority, local: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.shared.replicas.FILES_SECONDS", 0.05)
    log, used = LogFile(), copied(authority.issue_files("DNS:gateway", days=LONG), tmp_path)
    trusted = tmp_path / "clients.pem"
    shutil.copy(authority.path, trusted)
    go_on = asyncio.Event()

    async def two_chunks(_: bytes, __: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"last"

    handlers = {"Chat": unary(echo), "ChatStream": stream(two_chunks)}
    async with (
        asyncio.timeout(20),
        serving(MODELS, handlers, tls=server_tls(local, trusted)) as backend,
        gateway(f"https://{backend.address}", tls=client_tls(authority.path, used, log)) as front,
    ):
        assert await front.unary()(b"x") == b"x"
        streamed = front.stream()(b"x")
        assert await streamed.read() == b"first"
        replace(used, foreign.issue_files("DNS:gateway", days=LONG))
        # Not trusted yet: the connection with the old one stays.
        told = await logged(front, "changed TLS files are refused; the open connection stays in use")
        assert "see GENAI_TLS_CLIENT_CERT_FILE" in told["problem"]
        assert await front.unary()(b"x") == b"x"
        # From now on only the new one is trusted.
        trusted.write_bytes(foreign.path.read_bytes())
        renewed = asyncio.create_task(logged(front, "backend connected with changed TLS files"))
        while not renewed.done():
            assert await front.unary()(b"x") == b"x"
        assert await front.unary()(b"x") == b"x"
        go_on.set()
        assert await streamed.read() == b"last"
        assert await streamed.code() is grpc.StatusCode.OK


# ------------------------------------------------------------------------------------------------------ start


@pytest.mark.parametrize("name", ["sessions", "models", "gateway"])
def test_service_beyond_loopback_starts_only_with_tls_or_when_it_is_told(
    tmp_path: Path, local: Pair, name: str
) -> None:
    code, output, errors = run(name, tmp_path, GENAI_HOST="0.0.0.0")
    assert (code, output) == (EXIT_CONFIG, "")
    assert errors == (
        f"{name}: GENAI_HOST: other machines can reach 0.0.0.0, and calls would not be encrypted; set"
        " GENAI_TLS_CERT_FILE and GENAI_TLS_KEY_FILE, or AUTH_MODE=required, or GENAI_INSECURE=yes where something else"
        " protects them\n"
    )
    for settings in (
        {"GENAI_INSECURE": "yes"},
        {"AUTH_MODE": "required", "GENAI_INTERNAL_KEYS": "k" * 32},
        {"GENAI_TLS_CERT_FILE": str(local.certificate), "GENAI_TLS_KEY_FILE": str(local.key)},
    ):
        with row(*settings), started(name, tmp_path, GENAI_HOST="0.0.0.0", **settings) as service:
            assert service.address.startswith("0.0.0.0:")


def test_files_that_cannot_be_used_are_one_line_and_a_configuration_error(
    tmp_path: Path, authority: Authority, local: Pair
) -> None:
    other, expired = authority.issue_files(*LOCAL), authority.issue_expired_files(*LOCAL)
    missing = tmp_path / "missing.pem"
    modern = authority.issue_files(*LOCAL, key_kind="-newkey ed25519 -nodes")
    own = {"GENAI_TLS_CERT_FILE": local.certificate, "GENAI_TLS_KEY_FILE": local.key}
    for settings, told in (
        (own | {"GENAI_TLS_CERT_FILE": missing}, f"GENAI_TLS_CERT_FILE: {missing} cannot be read: no such file"),
        (own | {"GENAI_TLS_KEY_FILE": tmp_path}, f"GENAI_TLS_KEY_FILE: {tmp_path} cannot be read: is a directory"),
        (own | {"GENAI_TLS_CERT_FILE": local.key}, f"GENAI_TLS_CERT_FILE: {local.key} holds no certificate; "),
        (
            own | {"GENAI_TLS_KEY_FILE": local.certificate},
            f"GENAI_TLS_KEY_FILE: {local.certificate} holds no private key",
        ),
        (
            own | {"GENAI_TLS_KEY_FILE": other.key},
            f"GENAI_TLS_KEY_FILE: {other.key} does not belong to the certificate",
        ),
        (
            {"GENAI_TLS_CERT_FILE": expired.certificate, "GENAI_TLS_KEY_FILE": expired.key},
            f"GENAI_TLS_CERT_FILE: the certificate in {expired.certificate} has expired\n",
        ),
        (
            {"GENAI_TLS_CERT_FILE": modern.certificate, "GENAI_TLS_KEY_FILE": modern.key},
            f"GENAI_TLS_CERT_FILE: gRPC does not take certificates with Ed25519, as in {modern.certificate}; use RSA",
        ),
        ({"GENAI_TLS_CERT_FILE": local.certificate}, "GENAI_TLS_KEY_FILE: must be set beside GENAI_TLS_CERT_FILE\n"),
        (own | {"GENAI_TLS_CLIENT_CA_FILE": local.key}, f"GENAI_TLS_CLIENT_CA_FILE: {local.key} holds no certificates"),
        ({"GENAI_TLS_CLIENT_CA_FILE": local.certificate}, "GENAI_TLS_CLIENT_CA_FILE: needs GENAI_TLS_CERT_FILE and "),
        (
            {"MODELS_ADDRESS": "https://a:1", "GENAI_TLS_CA_FILE": missing},
            f"GENAI_TLS_CA_FILE: {missing} cannot be read",
        ),
        (
            {
                "MODELS_ADDRESS": "https://a:1",
                "GENAI_TLS_CLIENT_CERT_FILE": expired.certificate,
                "GENAI_TLS_CLIENT_KEY_FILE": expired.key,
            },
            f"GENAI_TLS_CLIENT_CERT_FILE: the certificate in {expired.certificate} has expired\n",
        ),
    ):
        with row(told):
            code, output, errors = run("gateway", tmp_path, **{name: str(path) for name, path in settings.items()})
            assert (code, output, errors.count("\n")) == (EXIT_CONFIG, "", 1)
            assert errors.startswith(f"gateway: {told}")


async def test_certificate_that_expires_soon_is_a_warning(authority: Authority, local: Pair) -> None:
    log = LogFile()
    soon = authority.issue_files(*LOCAL, days=13)
    server_tls(soon, log=log)
    # Each has a log of its own, and a thread that writes it.
    await log.written(2)
    server_tls(local, log=log)
    await log.written(3)
    events = [(entry["level"], entry["event"]) for entry in log.entries()]
    assert events == [("warning", "certificate expires soon"), *[("info", "TLS is on")] * 2]
    assert log.entries()[0]["variable"] == "GENAI_TLS_CERT_FILE"


# ------------------------------------------------------------------------------------------------- the platform


def test_services_in_mtls_call_one_another(tmp_path: Path, authority: Authority, local: Pair) -> None:
    client = authority.issue_files("DNS:client", days=LONG)
    settings = {
        "GENAI_TLS_CERT_FILE": str(local.certificate),
        "GENAI_TLS_KEY_FILE": str(local.key),
        "GENAI_TLS_CLIENT_CA_FILE": str(authority.path),
        "GENAI_TLS_CA_FILE": str(authority.path),
        "GENAI_TLS_CLIENT_CERT_FILE": str(client.certificate),
        "GENAI_TLS_CLIENT_KEY_FILE": str(client.key),
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": "http://127.0.0.1:1",
    }
    files = {"ca_file": authority.path, "client_cert_file": client.certificate, "client_key_file": client.key}
    with contextlib.ExitStack() as stack:
        for name in ("sessions", "models", "gateway"):
            service = stack.enter_context(started(name, tmp_path, **settings))
            settings[f"{name.upper()}_ADDRESS"] = f"https://localhost:{service.port}"
        platform = stack.enter_context(GenAIPlatform(settings["GATEWAY_ADDRESS"], **files))
        assert platform.sessions.create(user_id="u").session_id
        with pytest.raises(NotFound, match="session"):
            # The Session Service says so to the Model Service.
            platform.models.chat("Hi", model="gpt-4o", session_id="none")
        # Nothing that is not JSON, such as grpc's own words, stands in the log.
        assert all(line.startswith("{") for line in service.log().splitlines())
