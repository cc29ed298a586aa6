"""An adversary's walk through three processes: every method of every service, with every credential that is wrong.

The methods come from the descriptors, so that a new one is walked as soon as it is declared. All that the walk meets
must be refused before it has any effect: no provider is asked, and the audit log has no further event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from genai_platform.cli.backup import copy_sqlite
from proto import access_pb2 as ap
from proto import models_pb2
from services.shared.identity import ANY_SCOPE, scope_of
from services.shared.metadata import IDENTITY_KEY, Metadata
from tests.e2e.adversary import (
    CALL_SECONDS,
    FORWARDED,
    SERVICES,
    TURNS,
    World,
    bearer,
    methods_of,
    path_of,
    world,
)
from tests.e2e.belongings import ANN, CANARY, Belongings, everything, settle, tries
from tests.e2e.test_platform import delta, ending
from tests.scripted_upstream import event_stream
from tests.services.access.gateways import secure_channel
from tests.support.certificates import Authority
from tests.support.errors import reason_in
from tests.support.processes import running

CALLS_AT_ONCE = 32

READS = "Get List Preview Render Export"
"""The beginnings of the names of methods that change nothing."""

SEEN_BY_ITS_OWNER = {
    *("GetContent", "GetContext", "GetPrompt", "GetSession", "ListMemories", "ListMessages", "ListPromptVersions"),
    *("ListPrompts", "ListSessions", "PreviewChat", "RenderPrompt"),
}

CHAT_STREAM = "/genai_platform.v1.ModelService/ChatStream"


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("walk")) as found:
        yield found


class Step(NamedTuple):
    """A call of a method with a credential, and the end that it must have."""

    method: MethodDescriptor
    credential: str
    metadata: Metadata
    expected: tuple[str, str]


async def outcome(channel: grpc.aio.Channel, method: MethodDescriptor, metadata: Metadata) -> tuple[str, str]:
    """The status and the reason that a call ends in."""
    call = channel.unary_stream(path_of(method))(b"", metadata=metadata, timeout=CALL_SECONDS)
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code().name, reason_in(error.trailing_metadata())
    return "OK", ""


async def mistakes(address: str, steps: Iterable[Step]) -> list[str]:
    """The steps that end in another way than they must."""
    async with grpc.aio.insecure_channel(address) as channel:
        return await mistakes_over(channel, steps)


async def mistakes_over(channel: grpc.aio.Channel, steps: Iterable[Step]) -> list[str]:
    places = asyncio.Semaphore(CALLS_AT_ONCE)

    async def walk(step: Step) -> str:
        async with places:
            found = await outcome(channel, step.method, step.metadata)
        return "" if found == step.expected else f"{step.method.full_name}, {step.credential}: {' '.join(found)}"

    return [told for told in await asyncio.gather(*map(walk, steps)) if told]


def head(world: World) -> str:
    """The hash of the newest event of the audit log."""
    return str(world.call(ap.VerifyAuditEventsRequest()).head_hash)


def test_all_services_are_walked(walked: World) -> None:
    for name, address in walked.addresses.items():
        served = FORWARDED if name == "gateway" else SERVICES[name]
        metadata = bearer(walked.admin) if name == "gateway" else ((IDENTITY_KEY, walked.identity()),)
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        with grpc.insecure_channel(address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            [answer] = stub.ServerReflectionInfo(iter([question]), metadata=metadata)
            listed = {each.name for each in answer.list_services_response.service}
            assert listed - {health.SERVICE_NAME, reflection.SERVICE_NAME} == {each.full_name for each in served}
            with pytest.raises(grpc.RpcError) as refused:
                next(stub.ServerReflectionInfo(iter([question]), metadata=[]))
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            # Health is open to all.
            assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)


async def test_no_method_of_the_gateway_takes_a_credential_that_is_not_valid(walked: World) -> None:
    refusals = walked.refused_at_the_gateway()
    before, asked = head(walked), len(walked.upstream.server.requests)
    # With the headers of the platform itself beside it, a credential is worth no more.
    steps = [
        Step(method, f"{refusal.name} {extra}", (*refusal.metadata, *forged), (refusal.code, refusal.reason))
        for method in methods_of(FORWARDED)
        for refusal in refusals
        for extra, forged in (("", ()), ("with an identity", walked.forged()))
    ]
    assert await mistakes(walked.addresses["gateway"], steps) == []
    assert (head(walked), len(walked.upstream.server.requests)) == (before, asked)


async def test_no_method_of_the_gateway_takes_a_key_without_its_scope(walked: World) -> None:
    before, asked = head(walked), len(walked.upstream.server.requests)
    denied = ("PERMISSION_DENIED", "SCOPE_MISSING")
    steps = [
        Step(method, credential, (*bearer(text), *walked.forged()), denied)
        for method in methods_of(FORWARDED)
        if (scope := scope_of(method)) != ANY_SCOPE
        for credential, text in (("key", walked.without[scope]), ("token", walked.narrow_token()))
        if credential == "key" or scope != "usage.read"
    ]
    assert await mistakes(walked.addresses["gateway"], steps) == []
    assert (head(walked), len(walked.upstream.server.requests)) == (before, asked)


async def test_no_method_takes_a_certificate_that_is_bound_to_nothing_or_too_little(
    walked: World, tmp_path: Path
) -> None:
    authority, foreign = (Authority(_made(tmp_path / name)) for name in ("authority", "foreign"))
    server, unbound = authority.issue_files("DNS:localhost", "IP:127.0.0.1"), authority.issue_files("DNS:unbound")
    narrow = authority.issue_files("URI:spiffe://example.org/auditor")
    binding = ap.Binding(
        issuer="mtls", claim="uri", value="spiffe://example.org/auditor", project_id="ours", scopes=["usage.read"]
    )
    walked.call(ap.SetBindingRequest(binding=binding))
    # A SQLite file is one gateway's.
    copy_sqlite(Path(walked.settings["GENAI_DATA_DIR"]) / "access.db", tmp_path / "access.db")
    settings = {
        "ACCESS_DATABASE_URL": f"sqlite:///{tmp_path / 'access.db'}",
        "GENAI_TLS_CERT_FILE": str(server.certificate),
        "GENAI_TLS_KEY_FILE": str(server.key),
        "GENAI_TLS_CLIENT_CA_FILE": str(authority.path),
    }
    refused, denied = ("UNAUTHENTICATED", "CERTIFICATE_NOT_BOUND"), ("PERMISSION_DENIED", "SCOPE_MISSING")
    methods = [method for method in methods_of(FORWARDED) if scope_of(method) not in (ANY_SCOPE, "usage.read")]
    with running("gateway", tmp_path / "gateway", **walked.settings, **settings) as gateway:
        for pair, expected in ((unbound, refused), (narrow, denied)):
            async with secure_channel(gateway.address, authority.path, *pair) as channel:
                steps = [Step(method, str(expected), walked.forged(), expected) for method in methods]
                assert await mistakes_over(channel, steps) == []
                wrong = bearer(walked.admin[:-1])
                steps = [Step(method, "key", wrong, ("UNAUTHENTICATED", "KEY_INVALID")) for method in methods]
                assert await mistakes_over(channel, steps) == []
        for files in ((), foreign.issue_files("URI:spiffe://example.org/auditor")):
            async with secure_channel(gateway.address, authority.path, *files) as channel:
                assert (await outcome(channel, methods[0], ()))[0] == "UNAVAILABLE"


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


async def test_no_method_of_the_services_is_called_past_the_gateway(walked: World) -> None:
    asked = len(walked.upstream.server.requests)
    for name in ("models", "sessions"):
        steps = [
            Step(method, refusal.name, refusal.metadata, (refusal.code, refusal.reason))
            for method in methods_of(SERVICES[name])
            for refusal in walked.refused_by_services()
        ]
        steps += [
            Step(
                method,
                "too narrow",
                ((IDENTITY_KEY, walked.identity(*walked.all_but(method))),),
                ("PERMISSION_DENIED", "SCOPE_MISSING"),
            )
            for method in methods_of(SERVICES[name])
        ]
        assert await mistakes(walked.addresses[name], steps) == []
    assert len(walked.upstream.server.requests) == asked


async def test_what_a_process_does_not_serve_is_served_to_nobody(walked: World) -> None:
    everything = [service for services in SERVICES.values() for service in services]
    credentials: dict[str, Metadata] = {"none": (), "admin": bearer(walked.admin), "identity": walked.forged()}
    for name, address in walked.addresses.items():
        served = FORWARDED if name == "gateway" else SERVICES[name]
        steps = [
            Step(method, credential, metadata, ("UNIMPLEMENTED", "METHOD_NOT_SERVED"))
            for method in methods_of(service for service in everything if service not in served)
            for credential, metadata in credentials.items()
        ]
        assert any(step.method.containing_service.name == TURNS for step in steps) is (name != "sessions")
        assert await mistakes(address, steps) == []


async def answers(channel: grpc.aio.Channel, path: str, request: bytes, metadata: Metadata) -> tuple[bytes, bool]:
    """All bytes that a call brings: messages, or the status with its words and trailers; and whether it succeeds."""
    call = channel.unary_stream(path)(request, metadata=metadata, timeout=CALL_SECONDS)
    received = b""
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            received += message
    except grpc.aio.AioRpcError as error:
        return f"{error.details()} {error.trailing_metadata()}".encode(), False
    return received + str(await call.trailing_metadata()).encode(), True


async def leaks(world: World, belongings: Belongings, key: str, words: Sequence[str], kinds: str = "") -> list[str]:
    """The calls through the gateway that bring one of the words to the caller with this key, by the methods whose names
    begin with one of `kinds`."""
    places, metadata = asyncio.Semaphore(CALLS_AT_ONCE), (*bearer(key), *world.forged())
    owner = str(belongings.ids["key_id"])

    async def walk(channel: grpc.aio.Channel, method: MethodDescriptor, request: bytes) -> str:
        async with places:
            received, succeeded = await answers(channel, path_of(method), request, metadata)
        # An error may repeat the ids of the request.
        secrets = (*words, owner) if succeeded else words
        return next((f"{method.name} {request!r}: {word}" for word in secrets if word.encode() in received), "")

    async with grpc.aio.insecure_channel(world.addresses["gateway"]) as channel:
        work = [
            walk(channel, method, request)
            for method in methods_of(FORWARDED)
            if method.name.startswith(tuple(kinds.split(" ")))
            for request in tries(method, belongings)
        ]
        return [told for told in await asyncio.gather(*work) if told]


async def test_nothing_of_another_project_or_user_is_seen_or_changed(walked: World) -> None:
    belongings = settle(walked)
    gate = walked.upstream.gate()
    walked.upstream.server.play(event_stream(delta("po"), gate, delta(CANARY), *ending()))
    request = models_pb2.ChatRequest(model="gpt-4o", messages=[models_pb2.ChatMessage(role="user", content="ping")])
    async with grpc.aio.insecure_channel(walked.addresses["gateway"]) as channel:
        running = channel.unary_stream(CHAT_STREAM)(
            request.SerializeToString(), metadata=bearer(walked.theirs), timeout=CALL_SECONDS
        )
        await running.read()
        before = everything(walked, belongings)
        assert await leaks(walked, belongings, walked.ours, [CANARY, ANN]) == []
        assert await leaks(walked, belongings, walked.neighbour, [ANN]) == []
        assert everything(walked, belongings) == before
        walked.upstream.loop.call_soon_threadsafe(gate.set)
        rest = b""
        while (message := await running.read()) is not grpc.aio.EOF:
            rest += message
        assert CANARY.encode() in rest
        seen = {told.partition(" ")[0] for told in await leaks(walked, belongings, walked.theirs, [CANARY], READS)}
        # The same requests bring their owner what they ask for.
        assert seen >= SEEN_BY_ITS_OWNER
        assert await running.code() is grpc.StatusCode.OK
