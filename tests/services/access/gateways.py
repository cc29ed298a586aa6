"""Gateways that ask for keys, on one access database, in front of a backend that tells what has reached it."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message

from proto import access_pb2 as pb
from proto.identity_pb2 import CallerIdentity
from services.access.access import Access, open_access
from services.access.first_key import add_admin_key
from services.access.servicer import SERVICE
from services.access.settings import AccessSettings
from services.gateway.health import GatewayServer
from services.gateway.proxy import Proxy
from services.gateway.routes import MODEL_SERVICE, close_backends, open_backends
from services.shared.identity import IdentitySigner
from services.shared.logs import LineWriter, Log
from services.shared.metadata import IDENTITY_KEY
from services.shared.server import running
from services.shared.tls import open_server_tls
from tests.services.gateway.gateways import MODELS, refusing_address, serving, unary
from tests.support.databases import provide_behind
from tests.support.errors import Failure, failure_of

KEY = b"k" * 32
LIST_MODELS = f"/{MODEL_SERVICE.full_name}/ListModels"


class Recorder:
    """A Model Service that keeps the metadata of each call, and answers with the request."""

    def __init__(self) -> None:
        self.received: list[tuple[tuple[str, str | bytes], ...]] = []

    async def answer(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.received.append(tuple(context.invocation_metadata()))
        return request

    def names(self) -> list[str]:
        """The names of the last call's metadata."""
        return [key for key, _ in self.received[-1]]

    def identity(self) -> CallerIdentity:
        """The identity that came with the last call, which must be signed."""
        [value] = [value for key, value in self.received[-1] if key == IDENTITY_KEY]
        assert isinstance(value, bytes)
        return IdentitySigner([KEY]).read(value).message


class AccessGateway:
    """A running gateway, and calls to it with a key."""

    def __init__(self, address: str, channel: grpc.aio.Channel, access: Access, log: io.BytesIO) -> None:
        self.address = address
        self.channel = channel
        self.access = access
        self.log = log
        self.admin = ""

    def call(self, request: Message, key: str | None = None, **metadata: str) -> Any:
        """Calls the method of the Access Service that takes this request, as the admin unless another key is given."""
        name = request.DESCRIPTOR.name.removesuffix("Request")
        answer = message_factory.GetMessageClass(SERVICE.methods_by_name[name].output_type)
        invoke = self.channel.unary_unary(
            f"/{SERVICE.full_name}/{name}", lambda message: message.SerializeToString(), answer.FromString
        )
        sent = [("authorization", f"Bearer {self.admin if key is None else key}"), *metadata.items()]
        return invoke(request, metadata=sent, timeout=30)

    def models(self, *metadata: tuple[str, str | bytes], method: str = LIST_MODELS) -> Any:
        """Calls the Model Service behind it."""
        return self.channel.unary_unary(method)(b"", metadata=metadata, timeout=30)

    async def accepts(self, key: str) -> bool:
        """Whether a call with this key arrives behind the gateway."""
        code = await self.models(("authorization", f"Bearer {key}")).code()
        assert code in (grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED)
        return bool(code is grpc.StatusCode.OK)

    async def refusal(self, *metadata: tuple[str, str | bytes], method: str = LIST_MODELS) -> Failure:
        return await failure_of(self.models(*metadata, method=method))

    async def new_key(self, **fields: Any) -> tuple[pb.ApiKey, str]:
        """A new key of the default project."""
        request = pb.CreateKeyRequest(key=pb.ApiKey(**({"name": "test", "project_id": "default"} | fields)))
        made = await self.call(request)
        return made.key, made.secret


@contextlib.asynccontextmanager
async def access_gateway(url: str, models: str, **settings: str) -> AsyncIterator[AccessGateway]:
    """A gateway that asks for keys, on the database at the URL."""
    given = {"ACCESS_DATABASE_URL": url, "AUTH_MODE": "required", **settings}
    written = io.BytesIO()
    log = Log(LineWriter(written), "gateway", "info")
    read = AccessSettings.model_validate(given)
    async with open_access(read, IdentitySigner([KEY]), log) as access:
        with refusing_address() as nowhere:
            backends = open_backends(models, nowhere, log)
            proxy = Proxy(backends, log, authenticator=access.authenticator, audit=access.audit)
            server = GatewayServer([proxy], backends, log, access)
            tls = open_server_tls(read, log)
            address = f"127.0.0.1:{server.bind('127.0.0.1', 0, tls=tls)}"
            async with running(server), _channel(address, read) as channel:
                yield AccessGateway(address, channel, access, written)
            await close_backends(backends)


def _channel(address: str, settings: AccessSettings) -> grpc.aio.Channel:
    """A channel to a gateway; in TLS with the certificate that these settings give to clients, if they give one."""
    if settings.tls_cert_file is None:
        return grpc.aio.insecure_channel(address)
    return secure_channel(address, settings.tls_ca_file, settings.tls_client_cert_file, settings.tls_client_key_file)


def secure_channel(address: str, *files: Path | None) -> grpc.aio.Channel:
    """A channel with a connection of its own, by the files of an authority, a certificate and its key."""
    authority, certificate, key = (file.read_bytes() if file else None for file in (*files, None, None)[:3])
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    return grpc.aio.secure_channel(address, credentials, [("grpc.use_local_subchannel_pool", 1)])


class Front:
    """A recorder and one gateway in front of it."""

    def __init__(self, gateway: AccessGateway, recorder: Recorder, models: str, url: str) -> None:
        self.gateway = gateway
        self.recorder = recorder
        self.models = models
        self.url = url


@contextlib.asynccontextmanager
async def front(url: str, **settings: str) -> AsyncIterator[Front]:
    """A gateway with a new access database and its first key."""
    provide_behind(url, "access")
    recorder = Recorder()
    handlers = {method.name: unary(recorder.answer) for method in MODEL_SERVICE.methods if not method.server_streaming}
    async with serving(MODELS, handlers) as backend, access_gateway(url, backend.address, **settings) as gateway:
        made = await add_admin_key(gateway.access.database, "first")
        await gateway.access.keeper.update()
        gateway.admin = made.secret
        yield Front(gateway, recorder, backend.address, url)


async def refused_within(seconds: float, gateway: AccessGateway, key: str) -> None:
    """Calls with a key that was accepted, until it is refused. Fails when that takes longer."""
    started = time.monotonic()
    while await gateway.accepts(key):
        assert time.monotonic() - started < seconds
