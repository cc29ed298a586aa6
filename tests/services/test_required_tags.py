"""The tags that a key or its project requires of each chat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from proto import models_pb2
from tests.rows import row
from tests.scripted_upstream import ScriptedUpstream
from tests.services.model_service import ModelService, answered, chat_request, model_service
from tests.support.callers import all_asked, caller, signed
from tests.support.errors import failure_of

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(autouse=True)
def asked() -> Iterator[None]:
    with all_asked():
        yield


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered) as server:
        yield server


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ModelService]:
    async with model_service(tmp_path, upstream) as service:
        yield service


async def test_chat_without_a_required_tag_is_refused_by_its_name(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    stub = service.stub
    metadata = signed(caller("p", required_tags=["app", "cost_center"], tags={"app": "search"}))
    cache = models_pb2.AnswerCache(max_age=Duration(seconds=60))
    for request in (
        chat_request(),
        chat_request(tags={"cost_center": "", "other": "x"}),
        chat_request(tags={"cost_center": " \t\u00a0"}),
        chat_request(request_id="1"),
        chat_request(cache=cache),
        chat_request(request_id="1", cache=cache),
    ):
        preview = models_pb2.PreviewChatRequest(request=request)
        for refused in (
            await failure_of(stub.Chat(request, metadata=metadata)),
            await failure_of(stub.ChatStream(request, metadata=metadata).read()),
            await failure_of(stub.PreviewChat(preview, metadata=metadata)),
        ):
            with row(str(request)):
                assert (refused.code, refused.reason) == (INVALID, "TAG_REQUIRED")
                assert list(refused.fields) == ["tags[cost_center]"]
                assert "requires cost_center" in refused.message
    assert not upstream.requests


async def test_tags_of_the_request_and_of_the_key_count(service: ModelService) -> None:
    request = chat_request(tags={"cost_center": "42"})
    for identity in (
        caller("p", required_tags=["app", "cost_center"], tags={"app": "search"}),
        caller("p", required_tags=["cost_center"]),
        caller("p"),
    ):
        assert (await service.stub.Chat(request, metadata=signed(identity))).text == "Hi."
