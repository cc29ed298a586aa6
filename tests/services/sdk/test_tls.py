"""The SDK in TLS: what it is given, what it verifies, and what is said when no connection can be made."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from genai_platform import (
    AsyncGenAIPlatform,
    GenAIPlatform,
    ListModelsRequest,
    ListModelsResponse,
    ModelInfo,
    Unavailable,
    tls,
)
from tests.rows import row
from tests.support.certificates import Authority, Pair

LIST = "/genai_platform.v1.ModelService/ListModels"
LOCAL = ("DNS:localhost", "IP:127.0.0.1")


class Known(NamedTuple):
    """The authorities of a test, and certificates of theirs."""

    ours: Authority
    theirs: Authority
    server: Pair
    client: Pair


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    ours, theirs = (Authority(tmp_path_factory.mktemp(name)) for name in ("ours", "theirs"))
    return Known(ours, theirs, ours.issue_files(*LOCAL), ours.issue_files("DNS:client"))


@contextlib.asynccontextmanager
async def gateway(pair: Pair | None, clients: Path | None = None) -> AsyncIterator[str]:
    """Serves a list of models at an address; in TLS with a certificate, whatever it is."""

    class Lists(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            assert details.method == LIST
            return grpc.unary_unary_rpc_method_handler(answer)

    async def answer(_: bytes, __: grpc.aio.ServicerContext) -> bytes:
        return ListModelsResponse(models=[ModelInfo(name="secure")]).SerializeToString()

    server = grpc.aio.server(handlers=[Lists()], options=[("grpc.so_reuseport", 0)])
    if pair:
        files = [(pair.key.read_bytes(), pair.certificate.read_bytes())]
        roots = clients.read_bytes() if clients else None
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(files, roots, bool(roots)))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def listed(target: str, **options: Any) -> str:
    """The answer to both clients."""
    async with AsyncGenAIPlatform(target, **options) as platform:
        answer = (await platform.models.list_models()).models[0].name

    def call() -> str:
        with GenAIPlatform(target, **options) as blocking:
            return blocking.models.list_models().models[0].name

    assert await asyncio.to_thread(call) == answer
    return answer


async def refused(target: str, **options: Any) -> str:
    """The words of the error of both clients."""
    async with AsyncGenAIPlatform(target, **options) as platform:
        with pytest.raises(Unavailable) as caught:
            await platform.models.chat("Hi", model="m")

    def call() -> str:
        with GenAIPlatform(target, **options) as blocking, pytest.raises(Unavailable) as caught:
            blocking.models.chat("Hi", model="m")
        return caught.value.message

    assert await asyncio.to_thread(call) == caught.value.message
    assert caught.value.reason == "GATEWAY_UNREACHABLE"
    return caught.value.message


async def test_files_are_given_as_arguments_or_by_the_environment(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(known.server, known.ours.path) as address:
        target = f"https://{address}"
        given = {"client_cert_file": known.client.certificate, "client_key_file": str(known.client.key)}
        assert await listed(target, ca_file=known.ours.path, **given) == "secure"
        monkeypatch.setenv("GENAI_TLS_CA_FILE", str(known.ours.path))
        monkeypatch.setenv("GENAI_TLS_CLIENT_CERT_FILE", str(known.client.certificate))
        monkeypatch.setenv("GENAI_TLS_CLIENT_KEY_FILE", str(known.client.key))
        assert await listed(target) == "secure"
        # Arguments win.
        assert "authority that is not trusted" in await refused(target, ca_file=known.theirs.path)


async def test_authorities_are_the_systems_where_none_are_named(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    async with gateway(known.server) as address:
        monkeypatch.setenv("SSL_CERT_FILE", str(known.ours.path))
        assert await listed(f"https://{address}") == "secure"
        monkeypatch.setenv("SSL_CERT_FILE", str(known.theirs.path))
        assert "authority that is not trusted" in await refused(f"https://{address}")


REFUSALS: dict[str, tuple[Callable[[Known], tuple[Pair | None, Path | None]], str, str]] = {
    "authority": (
        lambda known: (known.theirs.issue_files(*LOCAL), None),
        "https://",
        "no TLS connection to {address}: its certificate is from an authority that is not trusted; name its authority's"
        " file with ca_file, or in GENAI_TLS_CA_FILE",
    ),
    "host name": (
        lambda known: (known.ours.issue_files("DNS:gateway.example"), None),
        "https://",
        "no TLS connection to {address}: its certificate is for another host name; write the name in the target that"
        " the certificate is for",
    ),
    "expired": (
        lambda known: (known.ours.issue_expired_files(*LOCAL), None),
        "https://",
        "no TLS connection to {address}: its certificate has expired",
    ),
    "no client certificate": (
        lambda known: (known.server, known.ours.path),
        "https://",
        "no TLS connection to {address}: it refuses this client; it requires a client certificate (client_cert_file,"
        " client_key_file), or does not trust the one that is set, or that has expired",
    ),
    "no TLS at the gateway": (
        lambda known: (None, None),
        "https://",
        "no TLS connection to {address}: it does not speak TLS; write the target without https://",
    ),
    "no TLS at the client": (
        lambda known: (known.server, None),
        "",
        "no gateway answers at {address}, which closes connections at once; write https:// before it if TLS is spoken"
        " there, or start the services (genai serve)",
    ),
}


async def test_connection_that_is_refused_says_what_is_wrong(known: Known) -> None:
    for name, (files, scheme, told) in REFUSALS.items():
        with row(name):
            async with gateway(*files(known)) as address:
                options = {"ca_file": known.ours.path} if scheme else {}
                assert await refused(scheme + address, **options) == told.format(address=address)


async def test_connection_that_is_closed_during_the_handshake_says_so(known: Known) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    told = await refused(f"https://{address}", ca_file=known.ours.path)
    assert told.startswith(f"no gateway answers at {address} in TLS, as the connection is closed during the handshake;")
    server.close()
    await server.wait_closed()


async def test_client_certificate_that_is_not_trusted_says_so(known: Known) -> None:
    async with gateway(known.server, known.ours.path) as address:
        for pair in (known.theirs.issue_files("DNS:client"), known.ours.issue_expired_files("DNS:client")):
            options = {"client_cert_file": pair.certificate, "client_key_file": pair.key}
            told = await refused(f"https://{address}", ca_file=known.ours.path, **options)
            assert "or does not trust the one that is set, or that has expired" in told


@pytest.mark.parametrize("client", [GenAIPlatform, AsyncGenAIPlatform])
def test_file_that_cannot_be_used_is_named(
    client: type[GenAIPlatform | AsyncGenAIPlatform], known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, pair = tmp_path / "missing.pem", {"client_cert_file": known.client.certificate}
    for options, told in (
        ({"ca_file": missing}, f"ca_file: {missing} cannot be read: no such file or directory"),
        ({"ca_file": known.client.key}, f"ca_file: {known.client.key} holds no certificates"),
        (pair, "client_key_file must be set beside client_cert_file"),
        ({"client_key_file": known.client.key}, "client_cert_file must be set beside client_key_file"),
        (pair | {"client_key_file": known.server.key}, f"client_key_file: {known.server.key} is no key of"),
    ):
        with row(told), pytest.raises(ValueError, match=re.escape(told)):
            client("https://gateway.example", **options)
    with pytest.raises(ValueError, match=r"ca_file needs a target in TLS: write https:// before gateway\.example:1"):
        client("gateway.example:1", ca_file=known.ours.path)
    monkeypatch.setenv("GENAI_TLS_CA_FILE", str(missing))
    client("gateway.example:1")
    with pytest.raises(ValueError, match=f"GENAI_TLS_CA_FILE: {missing} cannot be read"):
        client("https://gateway.example")


@contextlib.asynccontextmanager
async def naming_gateway(known: Known) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """Serves the name of each caller's certificate as a list of models. A call for a `held` list waits for the second
    event, after it has set the first."""
    begun, released = asyncio.Event(), asyncio.Event()

    class Lists(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer)

    async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if ListModelsRequest.FromString(request).provider == "held":
            begun.set()
            await released.wait()
        [name] = context.auth_context()["peer_dns"]
        return ListModelsResponse(models=[ModelInfo(name=name.decode())]).SerializeToString()

    files = [(known.server.key.read_bytes(), known.server.certificate.read_bytes())]
    server = grpc.aio.server(handlers=[Lists()])
    credentials = grpc.ssl_server_credentials(files, known.ours.path.read_bytes(), True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"https://127.0.0.1:{port}", begun, released
    finally:
        await server.stop(0)


def replace(old: Pair, new: Pair) -> None:
    """Puts files in the place of others, each at once, as programs that renew certificates do."""
    for name in Pair._fields:
        copied = getattr(old, name).with_suffix(".new")
        shutil.copy(getattr(new, name), copied)
        os.replace(copied, getattr(old, name))


@pytest.fixture
def client_files(known: Known, tmp_path: Path) -> Pair:
    """Files of the certificate of `first`, to be replaced."""
    pair = Pair(tmp_path / "client.pem", tmp_path / "client.key")
    replace(pair, known.ours.issue_files("DNS:first"))
    return pair


@pytest.fixture
def _checked_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "CHECK_SECONDS", 0.0)


@pytest.mark.usefixtures("_checked_at_every_call")
async def test_changed_files_are_used_by_the_next_call_and_calls_that_run_go_on(
    known: Known, client_files: Pair
) -> None:
    files = {"client_cert_file": client_files.certificate, "client_key_file": client_files.key}
    second, third = (known.ours.issue_files(f"DNS:{name}") for name in ("second", "third"))

    def name_in(response: ListModelsResponse) -> str:
        return response.models[0].name

    async with naming_gateway(known) as (target, begun, released):
        async with AsyncGenAIPlatform(target, ca_file=known.ours.path, **files) as platform:
            assert name_in(await platform.models.list_models()) == "first"
            held = asyncio.create_task(platform.models.list_models(provider="held"))
            await begun.wait()
            replace(client_files, second)
            assert name_in(await platform.models.list_models()) == "second"
            released.set()
            assert name_in(await held) == "first"
        begun.clear()
        released.clear()
        with GenAIPlatform(target, ca_file=known.ours.path, **files) as blocking:
            listing = functools.partial(asyncio.to_thread, blocking.models.list_models)
            assert name_in(await listing()) == "second"
            held = asyncio.create_task(listing(provider="held"))
            await begun.wait()
            replace(client_files, third)
            assert name_in(await listing()) == "third"
            assert len(blocking._connection._retired) == 1
            released.set()
            assert name_in(await held) == "second"
            replace(client_files, second)
            assert name_in(await listing()) == "second"
            # Its calls have ended.
            assert not blocking._connection._retired


@pytest.mark.usefixtures("_checked_at_every_call")
async def test_changed_files_that_cannot_be_used_are_told_and_those_before_stay_in_use(
    known: Known, client_files: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"client_cert_file": client_files.certificate, "client_key_file": client_files.key}
    async with (
        naming_gateway(known) as (target, *_),
        AsyncGenAIPlatform(target, ca_file=known.ours.path, **files) as platform,
    ):
        await platform.models.list_models()
        replace(client_files, Pair(known.client.certificate, known.server.key))
        for _ in range(3):
            assert (await platform.models.list_models()).models[0].name == "first"
        [told] = [record.getMessage() for record in caplog.records]
        assert f"cannot be used, and those read before stay in use: client_key_file: {client_files.key}" in told
        replace(client_files, known.ours.issue_files("DNS:second"))
        assert (await platform.models.list_models()).models[0].name == "second"


@pytest.mark.usefixtures("_checked_at_every_call")
async def test_channel_of_a_new_event_loop_has_the_files_of_that_time(known: Known, client_files: Pair) -> None:
    files = {"client_cert_file": client_files.certificate, "client_key_file": client_files.key}
    async with naming_gateway(known) as (target, *_):
        platform = AsyncGenAIPlatform(target, ca_file=known.ours.path, **files)

        def call() -> str:
            return asyncio.run(platform.models.list_models()).models[0].name

        assert await asyncio.to_thread(call) == "first"
        replace(client_files, known.ours.issue_files("DNS:second"))
        assert await asyncio.to_thread(call) == "second"


def test_file_beside_a_channel_is_refused(known: Known) -> None:
    with (
        grpc.insecure_channel("127.0.0.1:1") as channel,
        pytest.raises(TypeError, match="give a ca_file or a channel, not both"),
    ):
        GenAIPlatform(channel=channel, ca_file=known.ours.path)
