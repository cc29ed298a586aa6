"""Vendors that a row adds: one that is compatible, and one whose API lists its models in another form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest

from proto import models_pb2
from services.models.catalog.listings import ListedModel, Listing, listed_tokens
from services.models.catalog.vendor import AdapterType, Auth, Vendor
from services.models.catalog.vendors import VENDORS, by_name
from services.models.catalog.vendors.compatible import COMPATIBLE
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.settings import settings_with
from services.shared.logs import open_log
from tests.scripted_upstream import Received, Script, ScriptedUpstream, answer, json_answer
from tests.services.log_file import LogFile
from tests.services.model_service import NO_KEYS, ModelService, answered, chat_request, model_service
from tests.support.errors import failure_of

ACME = Vendor(
    "acme",
    "Acme AI",
    "ACME_API_KEY",
    "https://api.acme.example/v1",
    COMPATIBLE,
    fixed_headers={"x-source": "genai-platform"},
)
KEY = "sk-acme-0123456789"


def with_vendor(
    vendor: Vendor, directory: Path, upstream: ScriptedUpstream, **settings: Any
) -> AbstractAsyncContextManager[ModelService]:
    """A Model Service whose table of vendors has one row more; the vendor is at `upstream`."""
    vendors = by_name(*VENDORS.values(), vendor)
    variables = {vendor.key_variable: KEY, vendor.url_variable: f"{upstream.url}/v1"}
    return model_service(directory, upstream, settings_type=settings_with(vendors), **(variables | settings))


def headers_of(received: Received) -> Mapping[str, str]:
    return {name.lower(): value for name, value in received.headers.items()}


async def test_model_of_an_added_vendor_is_called_by_vendor_and_id(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=answered) as upstream, with_vendor(ACME, tmp_path, upstream) as service:
        response = await service.stub.Chat(chat_request("acme/acme-large"))
        assert (response.provider, response.text) == ("acme", "Hi.")
        chunks = [chunk async for chunk in service.stub.ChatStream(chat_request("acme/acme-large"))]
        assert chunks[-1].response.text == "Hi."
    assert len(upstream.requests) == 2
    for received in upstream.requests:
        assert received.path == "/v1/chat/completions"
        assert received.json()["model"] == "acme-large"
        headers = headers_of(received)
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["x-source"] == "genai-platform"


async def test_added_vendor_without_a_key_names_its_variable_and_can_be_previewed(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as upstream,
        with_vendor(ACME, tmp_path, upstream, ACME_API_KEY=None) as service,
    ):
        failure = await failure_of(service.stub.Chat(chat_request("acme/acme-large")))
        assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_NOT_CONFIGURED")
        assert failure.metadata == {"provider": "acme", "variable": "ACME_API_KEY"}
        request = models_pb2.PreviewChatRequest(request=chat_request("acme/acme-large"))
        preview = await service.stub.PreviewChat(request)
        assert json.loads(preview.body_json)["model"] == "acme-large"
    assert not upstream.requests


async def test_models_of_an_added_vendor_are_listed(tmp_path: Path) -> None:
    log = LogFile()
    async with (
        ScriptedUpstream(default=lists("acme-large", "acme-embedding-1")) as upstream,
        with_vendor(
            ACME,
            tmp_path,
            upstream,
            log=open_log("models", file=log),
            MODELS_DISCOVERY="on",
            **NO_KEYS,
        ) as service,
    ):
        await log.wait_for("models discovered", 5)
        listed = (await service.stub.ListModels(models_pb2.ListModelsRequest(provider="acme"))).models
        assert [(model.name, model.configured) for model in listed] == [("acme-large", True)]
        assert (await service.stub.Chat(chat_request("acme-large"))).provider == "acme"
        assert upstream.requests[-1].json()["model"] == "acme-large"
        status = await service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="acme-large"))
        assert status.status == "healthy"


async def test_key_of_an_added_vendor_is_never_told(tmp_path: Path) -> None:
    error = {"error": {"message": f"the key {KEY} may not call this from genai-platform"}}
    async with (
        ScriptedUpstream(default=json_answer(error, status=400)) as upstream,
        with_vendor(ACME, tmp_path, upstream) as service,
    ):
        failure = await failure_of(service.stub.Chat(chat_request("acme/acme-large")))
    words = failure.metadata["provider_message"]
    assert KEY not in words
    assert "genai-platform" in words


@pytest.mark.parametrize(("adapter_type", "allowed"), [("openai-compatible", True), ("openai", False)])
async def test_key_of_an_added_vendor_is_for_its_own_adapter_type(
    tmp_path: Path, adapter_type: str, allowed: bool
) -> None:
    async with ScriptedUpstream(default=answered) as upstream, with_vendor(ACME, tmp_path, upstream) as service:
        request = models_pb2.RegisterModelRequest(
            name="mine",
            endpoint=f"{upstream.url}/v1",
            adapter_type=adapter_type,
            credential=models_pb2.Credential(env_var="ACME_API_KEY"),
            validate_only=True,
        )
        if allowed:
            await service.stub.RegisterModel(request)
        else:
            failure = await failure_of(service.stub.RegisterModel(request))
            assert set(failure.fields) == {"credential.env_var"}


def lists(*ids: str) -> Any:
    def reply(received: Received) -> Script:
        if received.method != "GET":
            return answered(received)
        if received.path.endswith("/models"):
            return json_answer({"object": "list", "data": [{"id": model_id} for model_id in ids]})
        return json_answer({"id": received.path.rpartition("/")[2]})

    return reply


# ----------------------------------------------------------------------------------------------- another list's form


def describe(model_id: str, entry: Mapping[str, Any]) -> ListedModel:
    return ListedModel(model_id, context_window=listed_tokens(entry.get("inputTokenLimit")))


PAGED = Vendor(
    "paged",
    "Paged AI",
    "PAGED_API_KEY",
    "https://paged.example/v1beta",
    AdapterType(
        "paged",
        OPENAI_COMPATIBLE,
        "Paged AI",
        auth=Auth("x-goog-api-key"),
        # https://ai.google.dev/api/models
        listing=Listing(
            describe,
            kind_of=lambda _, entry: (
                "chat" if "generateContent" in entry.get("supportedGenerationMethods", ()) else None
            ),
            query=lambda page: f"?pageSize=2&pageToken={page}" if page else "?pageSize=2",
            next_page=lambda page: str(page.get("nextPageToken", "")),
            entries_member="models",
            id_member="name",
            id_prefix="models/",
        ),
    ),
)

PAGES = {
    "": {
        "models": [
            {"name": "models/large", "inputTokenLimit": 1000, "supportedGenerationMethods": ["generateContent"]},
            {"name": "models/embedding", "supportedGenerationMethods": ["embedContent"]},
        ],
        "nextPageToken": "second",
    },
    "second": {"models": [{"name": "models/small", "supportedGenerationMethods": ["generateContent"]}]},
}


def paged(received: Received) -> Script:
    url = urlsplit(received.path)
    if received.method != "GET":
        return answered(received)
    if url.path != "/v1beta/models" or headers_of(received).get("x-goog-api-key") != KEY:
        return answer(b"", status=404)
    return json_answer(PAGES[parse_qs(url.query).get("pageToken", [""])[0]])


async def test_vendor_may_list_its_models_in_pages_and_members_of_its_own(tmp_path: Path) -> None:
    log = LogFile()
    async with (
        ScriptedUpstream(default=paged) as upstream,
        with_vendor(
            PAGED,
            tmp_path,
            upstream,
            log=open_log("models", file=log),
            PAGED_BASE_URL=f"{upstream.url}/v1beta",
            MODELS_DISCOVERY="on",
            **NO_KEYS,
        ) as service,
    ):
        await log.wait_for("models discovered", 5)
        listed = (await service.stub.ListModels(models_pb2.ListModelsRequest(provider="paged"))).models
        assert [model.name for model in listed] == ["large", "small"]
        assert listed[0].capabilities.context_window == 1000
        await service.stub.Chat(chat_request("paged/large"))
    headers = headers_of(upstream.requests[-1])
    assert headers["x-goog-api-key"] == KEY
    assert "authorization" not in headers
