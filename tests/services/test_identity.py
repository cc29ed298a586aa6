"""Identities of callers: every method of every service needs one, signed, of this minute, and with its scope."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterable

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from proto import models_pb2, sessions_pb2, turns_pb2
from proto.identity_pb2 import CallerIdentity
from services.shared.call import Call
from services.shared.identity import Callers, IdentitySigner, scope_of
from services.shared.metadata import IDENTITY_KEY
from services.shared.rpc import service_handler
from services.shared.server import Server, running
from tests.services.model_service import LOG
from tests.support.errors import reason_in

KEY = b"k" * 32
OTHER_KEY = b"o" * 32
FILES = (models_pb2, sessions_pb2, turns_pb2)
METHODS = [
    method for file in FILES for service in file.DESCRIPTOR.services_by_name.values() for method in service.methods
]


class Servicer:
    """Answers every method with an empty message, or with a stream of one."""

    def __init__(self, methods: Iterable[MethodDescriptor]) -> None:
        self.identities: list[CallerIdentity | None] = []
        for method in methods:
            setattr(self, method.name, self._stream(method) if method.server_streaming else self._unary(method))

    def _unary(self, method: MethodDescriptor) -> object:
        async def answer(_: object, call: Call) -> object:
            self.identities.append(call.identity)
            return method.output_type._concrete_class()

        return answer

    def _stream(self, method: MethodDescriptor) -> object:
        async def stream(_: object, call: Call) -> AsyncIterator[object]:
            self.identities.append(call.identity)
            yield method.output_type._concrete_class()

        return stream


@contextlib.asynccontextmanager
async def serving(callers: Callers) -> AsyncIterator[tuple[Servicer, grpc.aio.Channel]]:
    """All services of the contract, with methods that do nothing."""
    servicer = Servicer(METHODS)
    services = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
    handlers = [service_handler(servicer, service, LOG, callers=callers) for service in services]
    server = Server(handlers, [service.full_name for service in services])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server), grpc.aio.insecure_channel(address) as channel:
        yield servicer, channel


def required(*keys: bytes) -> Callers:
    callers = Callers()
    callers.require(IdentitySigner(keys or (KEY,)))
    return callers


def signed(key: bytes = KEY, *, age: float = 0.0, scopes: Iterable[str] = ("models.read",)) -> bytes:
    signer = IdentitySigner([key], lambda: time.time() - age)
    return signer.sign(CallerIdentity(key_id="key-1", project_id="project-1", scopes=list(scopes)))


async def outcome(channel: grpc.aio.Channel, method: MethodDescriptor, *values: bytes | str) -> tuple[str, str]:
    """The status of a call of a method with these values as its identity, and the reason."""
    call = channel.unary_stream(f"/{method.containing_service.full_name}/{method.name}")(
        b"", metadata=[(IDENTITY_KEY, value) for value in values]
    )
    with contextlib.suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    code = await call.code()
    return code.name, reason_in(await call.trailing_metadata()) if code is not grpc.StatusCode.OK else ""


LIST_MODELS = next(method for method in METHODS if method.name == "ListModels")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_every_method_needs_a_caller_with_its_scope(method: MethodDescriptor) -> None:
    scope = scope_of(method)
    others = {scope_of(other) for other in METHODS} | {"admin"}
    async with serving(required()) as (servicer, channel):
        assert await outcome(channel, method) == ("UNAUTHENTICATED", "KEY_MISSING")
        narrow = signed(scopes=others - {scope})
        assert await outcome(channel, method, narrow) == ("PERMISSION_DENIED", "SCOPE_MISSING")
        assert not servicer.identities
        assert (await outcome(channel, method, signed(scopes=[scope])))[0] == "OK"
        [identity] = servicer.identities
        assert identity
        assert identity.project_id == "project-1"


def tampered() -> bytes:
    value = bytearray(signed())
    value[-1] ^= 1
    return bytes(value)


@pytest.mark.parametrize(
    "values",
    [
        [signed(OTHER_KEY)],
        [b""],
        [b"short"],
        [bytes(32)],
        [signed()[32:]],
        [tampered()],
        [signed(age=70)],
        [signed(age=-3600)],
        [signed(), signed()],
    ],
    ids=["foreign", "empty", "short", "unsigned", "bare", "tampered", "old", "future", "twice"],
)
async def test_identity_that_was_not_signed_just_now_is_refused(values: list[bytes]) -> None:
    async with serving(required()) as (servicer, channel):
        assert await outcome(channel, LIST_MODELS, *values) == ("UNAUTHENTICATED", "IDENTITY_INVALID")
        assert not servicer.identities


async def test_keys_are_replaced_without_a_stop() -> None:
    async with serving(required(OTHER_KEY, KEY)) as (_, channel):
        assert (await outcome(channel, LIST_MODELS, signed(KEY)))[0] == "OK"
        assert (await outcome(channel, LIST_MODELS, signed(OTHER_KEY)))[0] == "OK"


async def test_without_authentication_nobody_is_asked() -> None:
    async with serving(Callers()) as (servicer, channel):
        assert (await outcome(channel, LIST_MODELS, signed(OTHER_KEY)))[0] == "OK"
        assert servicer.identities == [None]
