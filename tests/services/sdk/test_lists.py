"""Lists over all of their pages, against a real server that gives two entries a page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message

from genai_platform import (
    AsyncGenAIPlatform,
    GenAIPlatform,
    ListMemoriesRequest,
    ListMessagesRequest,
    ListModelsRequest,
    ListModelsResponse,
    ListSessionsRequest,
    ModelInfo,
    ServerError,
)
from tests.services.sdk.backend import MODEL_SERVICE, SESSION_SERVICE, Backend
from tests.services.sdk.platform import listed
from tests.services.sdk.test_calls import call, snake_case

COUNT = 5
LISTS = [
    (client, method)
    for client, service in (("models", MODEL_SERVICE), ("sessions", SESSION_SERVICE))
    for method in service.methods
    if "next_page_token" in method.output_type.fields_by_name
]


def entries_field(response: Message) -> str:
    (name,) = (field.name for field in response.DESCRIPTOR.fields if field.is_repeated)
    return name


def serve_pages(backend: Backend) -> None:
    """Scripts every list to have five entries, two on a page, or what the request asks for if that is less."""
    for _, method in LISTS:
        response_type = message_factory.GetMessageClass(method.output_type)

        async def page(request: Any, _: object, response_type: Any = response_type) -> Message:
            begin = int(request.page_token or 0)
            end = min(begin + min(request.page_size, 2), COUNT)
            response = response_type(next_page_token=str(end) if end < COUNT else "")
            for _number in range(begin, end):
                getattr(response, entries_field(response)).add()
            return response

        backend.answers[method.name] = page


@pytest.mark.parametrize("either", ["blocking", "asynchronous"])
async def test_list_without_a_page_size_has_everything(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform, either: str
) -> None:
    serve_pages(backend)
    client = platform if either == "blocking" else async_platform
    assert len(LISTS) == 8
    for part, method in LISTS:
        backend.received.clear()
        whole = await call(client, part, snake_case(method.name))
        assert len(getattr(whole, entries_field(whole))) == COUNT
        assert whole.next_page_token == ""
        assert [received.request.page_token for received in backend.received] == ["", "2", "4"]  # type: ignore[attr-defined]
        page = await call(client, part, snake_case(method.name), page_size=1)
        assert (len(getattr(page, entries_field(page))), page.next_page_token) == (1, "1")


def test_request_of_a_list_is_not_changed(backend: Backend, platform: GenAIPlatform) -> None:
    serve_pages(backend)
    request = ListModelsRequest(page_token="2")
    assert len(platform.models.list_models(request).models) == 3
    assert request == ListModelsRequest(page_token="2")


async def test_iterators_read_a_page_when_it_is_reached(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    serve_pages(backend)
    models = async_platform.models
    sessions = async_platform.sessions
    for entries, request in (
        (models.iterate_models(provider="p"), ListModelsRequest(provider="p", page_size=200, page_token="4")),
        (models.iterate_registered_models(), None),
        (sessions.list(user_id="u"), ListSessionsRequest(user_id="u", page_size=200, page_token="4")),
        (
            sessions.iterate_messages("s", user_id="u", descending=True),
            ListMessagesRequest(session_id="s", user_id="u", page_size=200, page_token="4", descending=True),
        ),
        (
            sessions.iterate_memories("u", key_prefix="k"),
            ListMemoriesRequest(user_id="u", key_prefix="k", page_size=200, page_token="4"),
        ),
    ):
        assert len(await listed(entries)) == COUNT  # type: ignore[arg-type]
        assert request in (None, backend.received[-1].request)
    backend.received.clear()
    sessions_of_all = iter(platform.sessions.list())
    next(sessions_of_all)
    assert len(backend.received) == 1
    assert len(list(sessions_of_all)) == COUNT - 1


async def test_server_that_repeats_a_page_is_an_error_and_no_endless_loop(
    backend: Backend, async_platform: AsyncGenAIPlatform
) -> None:
    async def again(request: ListModelsRequest, _: object) -> ListModelsResponse:
        return ListModelsResponse(models=[ModelInfo(name="m")], next_page_token="again")

    backend.answers["ListModels"] = again
    for attempt in (async_platform.models.list_models(), listed(async_platform.models.iterate_models())):
        with pytest.raises(ServerError, match="PAGE_REPEATED"):
            await asyncio.wait_for(attempt, 5)
