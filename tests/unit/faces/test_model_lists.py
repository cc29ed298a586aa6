"""Lists of models, read by the SDKs of both vendors."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import httpx2
import pytest

from proto import models_pb2
from services.models.faces.model_lists import (
    Page,
    anthropic_list,
    anthropic_model,
    openai_list,
    openai_model,
    read_page,
)
from services.shared.errors import InvalidRequest
from tests.rows import for_each

if TYPE_CHECKING:
    import anthropic
    import openai


def model(name: str, *aliases: str, configured: bool = True, **capabilities: Any) -> models_pb2.ModelInfo:
    can = models_pb2.ModelCapabilities(**capabilities)
    return models_pb2.ModelInfo(name=name, provider="openai", aliases=aliases, configured=configured, capabilities=can)


def lifecycle(state: models_pb2.LifecycleState, announced: str = "", shutdown: str = "") -> models_pb2.Lifecycle:
    return models_pb2.Lifecycle(state=state, deprecation_date=announced, shutdown_date=shutdown)


OLD = lifecycle(models_pb2.LIFECYCLE_STATE_DEPRECATED, "2026-09-01", "2027-03-01")
GONE = lifecycle(models_pb2.LIFECYCLE_STATE_RETIRED, "2025-01-01", "2026-01-01")
MODELS = [
    model("gpt-6", "claude-gpt-6", context_window=400_000, max_output_tokens=128_000, supports_vision=True),
    model("gpt-5", lifecycle=OLD, reasoning_efforts=["low", "high"], supports_reasoning=True),
    model("gpt-4", lifecycle=GONE),
    model("mistral/m", configured=False),
]


@contextlib.contextmanager
def clients(models: Sequence[models_pb2.ModelInfo]) -> Iterator[tuple[openai.OpenAI, anthropic.Anthropic]]:
    """Both SDKs' clients of a server with these models."""
    import anthropic
    import openai

    def answer(request: httpx2.Request) -> httpx2.Response:
        if "anthropic-version" in request.headers:
            page = read_page(parse_qsl(request.url.query.decode()))
            return httpx2.Response(200, content=anthropic_list(models, page))
        return httpx2.Response(200, content=openai_list(models))

    transport = httpx2.MockTransport(answer)
    with (
        openai.OpenAI(
            api_key="k", base_url="http://gateway/v1", http_client=httpx2.Client(transport=transport)
        ) as first,
        anthropic.Anthropic(
            api_key="k", base_url="http://gateway", http_client=httpx2.Client(transport=transport)
        ) as second,
    ):
        yield first, second


def test_openais_sdk_lists_every_name_that_can_be_called() -> None:
    with clients(MODELS) as (client, _):
        listed = {entry.id: entry for entry in client.models.list()}
    assert list(listed) == ["claude-gpt-6", "gpt-5", "gpt-6"]
    assert listed["gpt-5"].shutdown_date == "2027-03-01"
    assert [(entry.object, entry.owned_by, entry.created) for entry in listed.values()] == [("model", "openai", 0)] * 3


def test_openais_shape_has_the_limits_that_local_tools_read() -> None:
    one = json.loads(openai_model(MODELS[0], "claude-gpt-6"))
    assert one == {
        "id": "claude-gpt-6",
        "object": "model",
        "created": 0,
        "owned_by": "openai",
        "context_length": 400_000,
        "max_model_len": 400_000,
    }


def test_anthropics_sdk_lists_limits_and_stages() -> None:
    with clients(MODELS) as (_, client):
        listed = {entry.id: entry for entry in client.models.list()}
    assert list(listed) == ["claude-gpt-6", "gpt-5", "gpt-6"]
    new, old = listed["gpt-6"], listed["gpt-5"]
    assert (new.type, new.display_name, new.lifecycle) == ("model", "gpt-6", "active")
    assert (new.max_input_tokens, new.max_tokens, new.retires_at) == (400_000, 128_000, None)
    assert new.created_at == datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert (old.lifecycle, old.max_input_tokens) == ("deprecated", None)
    assert old.deprecated_at == datetime.datetime(2026, 9, 1, tzinfo=datetime.UTC)
    assert old.retires_at == datetime.datetime(2027, 3, 1, tzinfo=datetime.UTC)
    assert new.capabilities is not None
    assert old.capabilities is not None
    assert new.capabilities.image_input.supported
    assert old.capabilities.thinking.supported
    assert [old.capabilities.effort.low.supported, old.capabilities.effort.medium.supported] == [True, False]


def test_one_model_of_anthropics_shape_has_the_name_that_was_asked_for() -> None:
    one = json.loads(anthropic_model(MODELS[2], "gpt-4"))
    assert (one["id"], one["lifecycle"], one["capabilities"]) == ("gpt-4", "retired", None)


def test_the_sdk_walks_all_pages() -> None:
    many = [model(f"m{index:03}") for index in range(45)]
    with clients(many) as (_, client):
        first = client.models.list()
        assert (len(first.data), first.has_more, first.first_id, first.last_id) == (20, True, "m000", "m019")
        assert [entry.id for entry in first] == [entry.name for entry in many]
        assert len(client.models.list(limit=1000).data) == 45
        backwards = client.models.list(before_id="m030", limit=20)
        assert (backwards.first_id, backwards.last_id, backwards.has_more) == ("m010", "m029", True)
        assert [entry.id for entry in client.models.list(lifecycle=["retired"])] == []
    with clients(MODELS) as (_, client):
        assert [entry.id for entry in client.models.list(lifecycle=["retired"])] == ["gpt-4"]


@for_each(
    ("page", "ids", "has_more"),
    [
        (Page(limit=2), ["a", "b"], True),
        (Page(limit=3), ["a", "b", "d"], False),
        (Page(after_id="b"), ["d"], False),
        (Page(after_id="c"), ["d"], False),
        (Page(after_id="d"), [], False),
        (Page(before_id="a"), [], False),
        (Page(before_id="d", limit=1), ["b"], True),
        (Page(before_id="z", limit=3), ["a", "b", "d"], False),
    ],
)
def test_pages(page: Page, ids: list[str], has_more: bool) -> None:
    listed = json.loads(anthropic_list([model("d"), model("a"), model("b")], page))
    assert ([entry["id"] for entry in listed["data"]], listed["has_more"]) == (ids, has_more)
    assert (listed["first_id"], listed["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


@for_each(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("after_id=a&before_id=b", "before_id"),
        ("lifecycle=new", "lifecycle"),
    ],
)
def test_wrong_parameters_are_named(query: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_page(parse_qsl(query))
    assert [violation.field for violation in raised.value.violations] == [field]


def test_parameters_of_other_apis_are_passed_over() -> None:
    assert read_page([("beta", "true"), ("limit", "1000"), ("lifecycle[]", "retired")]) == Page(
        limit=1000, lifecycles=frozenset({"retired"})
    )
