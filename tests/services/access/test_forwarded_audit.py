"""The audit of forwarded calls: which are recorded, before they are sent on, and what happens where they cannot be."""

from __future__ import annotations

import contextlib
import sqlite3

import grpc
import pytest

from proto import access_pb2 as pb
from proto import content_pb2, models_pb2, sessions_pb2, usage_pb2
from services.gateway.proxy import is_audited
from services.shared.identity import scope_of
from tests.services.access.gateways import AccessGateway, Front, Recorder
from tests.support.errors import failure_of

SERVICES = [
    service
    for file in (models_pb2, sessions_pb2, usage_pb2, content_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]


def deregister(gateway: AccessGateway, key: str, name: str = "mine") -> grpc.aio.UnaryUnaryCall:
    """A call of an audited method."""
    request = models_pb2.DeregisterModelRequest(name=name).SerializeToString()
    path = "/genai_platform.v1.ModelService/DeregisterModel"
    metadata = (("authorization", f"Bearer {key}"), ("x-request-id", "request-1"))
    return gateway.channel.unary_unary(path)(request, metadata=metadata, timeout=30)


async def newest(gateway: AccessGateway) -> pb.AuditEvent:
    return (await gateway.call(pb.ListAuditEventsRequest(page_size=1))).events[0]


async def test_call_is_recorded_with_its_author_and_its_object(gateway: AccessGateway) -> None:
    key, secret = await gateway.new_key(scopes=["models.write"])
    await deregister(gateway, secret)
    event = await newest(gateway)
    assert event.action == "ModelService.DeregisterModel"
    assert (event.object_kind, event.object_id) == ("ModelService", "mine")
    assert (event.actor_kind, event.actor_id) == ("key", key.id)
    assert (event.source_ip, event.request_id) == ("127.0.0.1", "request-1")
    assert not (await gateway.call(pb.VerifyAuditEventsRequest())).broken_seq


async def test_call_that_only_reads_is_not_recorded(gateway: AccessGateway) -> None:
    before = await newest(gateway)
    _, secret = await gateway.new_key()
    after = await newest(gateway)
    assert after.seq == before.seq + 1
    await gateway.models(("authorization", f"Bearer {secret}"))
    assert (await newest(gateway)).seq == after.seq


async def test_call_that_may_not_be_made_is_neither_recorded_nor_sent_on(
    gateway: AccessGateway, recorder: Recorder
) -> None:
    _, secret = await gateway.new_key(scopes=["models.read"])
    before, received = await newest(gateway), len(recorder.received)
    refused = await failure_of(deregister(gateway, secret))
    assert refused.reason == "SCOPE_MISSING"
    assert (await newest(gateway)).seq == before.seq
    assert len(recorder.received) == received


async def test_call_that_cannot_be_recorded_is_not_sent_on(fronted: Front) -> None:
    gateway = fronted.gateway
    _, secret = await gateway.new_key(scopes=["models.write"])
    file = fronted.url.partition(":///")[2]
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        received = len(fronted.recorder.received)
        refused = await failure_of(deregister(gateway, secret))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "AUDIT_UNAVAILABLE")
        assert len(fronted.recorder.received) == received


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_changes_that_all_see_and_reading_what_others_said_are_audited(service: object) -> None:
    audited = {method.name for method in service.methods if is_audited(method)}  # type: ignore[attr-defined]
    expected = {
        method.name
        for method in service.methods  # type: ignore[attr-defined]
        if scope_of(method) in ("models.write", "content.read")
        or method.name
        in ("SetPromptLabel", "ArchivePrompt", "DeleteUserData", "ExportUsage", "CancelCall", "RepriceUsage")
    }
    assert audited == expected
