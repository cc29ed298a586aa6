"""What the providers list themselves: asked for in the background, and known from then on."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proto import models_pb2
from services.models.catalog.discovery import EVERY_HOUR, Discovery
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendor_models import VendorModels
from services.models.settings import Settings
from services.models.transport.client import open_probing_client
from services.models.transport.egress import EndpointPolicy
from services.shared.backoff import Backoff
from services.shared.logs import open_log
from tests.scripted_upstream import Ending, Received, Script, ScriptedUpstream, Step, answer, json_answer
from tests.services.log_file import LogFile
from tests.services.model_service import ANTHROPIC_KEY, NO_KEYS, OPENAI_KEY, answered, chat_request, model_service

QUICK = Backoff(interval=0.01, first_retry=0.01, jitter=0)
NEVER_AGAIN = Backoff(interval=3600, first_retry=3600)
DISCOVERY_OF_TWO: dict[str, Any] = {
    **NO_KEYS,
    "OPENAI_API_KEY": OPENAI_KEY,
    "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
    "MODELS_DISCOVERY": "on",
}
"""Settings by which OpenAI and Anthropic alone are asked for their lists."""

REPLACEMENTS = ("gpt-6-luna", "gpt-6.1-sol", "gpt-6.1-terra")


class Log(LogFile):
    """A log whose entries can be waited for."""

    async def wait(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Waits until there are this many entries of the event."""

        def found() -> list[dict[str, Any]]:
            return [entry for entry in self.entries() if entry["event"] == event]

        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(lambda: len(found()) >= count, 5), f"{event} was not logged"

        await asyncio.to_thread(wait)
        return found()


def openai_list(*ids: str, before: Sequence[Step] = (), **shutdown_dates: str) -> Script:
    dates = {name.replace("_", "-"): day for name, day in shutdown_dates.items()}
    entries = [{"id": model_id, "object": "model", "shutdown_date": dates.get(model_id)} for model_id in ids]
    return json_answer({"object": "list", "data": entries}, before=before)


def anthropic_list(entries: Iterable[dict[str, Any]], last_id: str = "") -> Script:
    return json_answer({"data": list(entries), "has_more": bool(last_id), "last_id": last_id or None})


def lists(request: Received) -> Script:
    """Two providers at one address, each with a list; everything else is answered as ever."""
    if request.method != "GET":
        return answered(request)
    if "x-api-key" not in request.headers:
        return openai_list("gpt-5.2", "chat-latest", "gpt-4o", "whisper-1", *REPLACEMENTS, chat_latest="2026-12-01")
    if "after_id=claude-a" not in request.path:
        return anthropic_list([{"id": "claude-a", "max_input_tokens": 77, "lifecycle": "active"}], "claude-a")
    return anthropic_list([{"id": "claude-b"}, {"id": "claude-sonnet-4-6"}, {"id": "claude-haiku-4-5"}])


@asynccontextmanager
async def discovery(url: str, log: Log, backoff: Backoff) -> AsyncIterator[VendorModels]:
    """The models that OpenAI alone is asked for."""
    settings = Settings.model_validate({**NO_KEYS, "OPENAI_API_KEY": OPENAI_KEY, "OPENAI_BASE_URL": f"{url}/v1"})
    providers = ProviderRegistry(settings.accounts())
    models = VendorModels()
    client = open_probing_client(EndpointPolicy((), providers.base_urls().values()))
    asking = Discovery(models, client, open_log("models", file=log), backoff)
    asking.start(providers.all())
    try:
        yield models
    finally:
        await asking.close()
        await client.close()


async def test_discovered_models_are_listed_described_and_callable(tmp_path: Path) -> None:
    log = Log()
    async with (
        ScriptedUpstream(default=lists) as upstream,
        model_service(tmp_path, upstream, log=open_log("models", file=log), **DISCOVERY_OF_TWO) as service,
    ):
        found = await log.wait("models discovered", 2)
        assert {entry["provider"]: entry["count"] for entry in found} == {"openai": 6, "anthropic": 4}
        listed = {
            model.name: model
            for model in (await service.stub.ListModels(models_pb2.ListModelsRequest(page_size=500))).models
        }
        assert "whisper-1" not in listed
        for name, provider in (("chat-latest", "openai"), ("claude-a", "anthropic"), ("claude-b", "anthropic")):
            assert listed[name].provider == provider
            assert listed[name].source == models_pb2.MODEL_SOURCE_DISCOVERED
            for called in (name, f"{provider}/{name}"):
                response = await service.stub.Chat(chat_request(called))
                assert (response.provider, response.model) == (provider, name)
        assert listed["claude-a"].capabilities.context_window == 77
        assert listed["claude-a"].capabilities.source == "provider"
        assert listed["claude-a"].capabilities.as_of == "2026-11-22"
        assert listed["gpt-5.2"].source == models_pb2.MODEL_SOURCE_BUILT_IN


async def test_day_that_openai_tells_is_in_the_lifecycle_and_in_the_warnings(tmp_path: Path) -> None:
    log = Log()
    async with (
        ScriptedUpstream(default=lists) as upstream,
        model_service(tmp_path, upstream, log=open_log("models", file=log), **DISCOVERY_OF_TWO) as service,
    ):
        await log.wait("models discovered", 2)
        response = await service.stub.Chat(chat_request("chat-latest"))
        assert [warning.code for warning in response.warnings] == ["MODEL_RETIRING"]
        assert "2026-12-01" in response.warnings[0].message
        asked = models_pb2.GetCapabilitiesRequest(model="chat-latest")
        lifecycle = (await service.stub.GetModelCapabilities(asked)).lifecycle
        assert (lifecycle.state, lifecycle.shutdown_date) == (models_pb2.LIFECYCLE_STATE_DEPRECATED, "2026-12-01")


async def test_providers_are_asked_with_their_own_headers_and_no_key_is_logged(tmp_path: Path) -> None:
    log = Log()
    async with (
        ScriptedUpstream(default=lists) as upstream,
        model_service(tmp_path, upstream, log=open_log("models", file=log), **DISCOVERY_OF_TWO, OPENAI_ORG_ID="org-1"),
    ):
        await log.wait("models discovered", 2)
        asked = {request.path: request.headers for request in upstream.requests}
    assert set(asked) == {"/v1/models", "/v1/models?limit=1000", "/v1/models?limit=1000&after_id=claude-a"}
    assert asked["/v1/models"]["authorization"] == f"Bearer {OPENAI_KEY}"
    assert asked["/v1/models"]["openai-organization"] == "org-1"
    assert asked["/v1/models?limit=1000"]["x-api-key"] == ANTHROPIC_KEY
    assert asked["/v1/models?limit=1000"]["anthropic-version"]
    assert OPENAI_KEY.encode() not in log.getvalue()
    assert ANTHROPIC_KEY.encode() not in log.getvalue()


async def test_nothing_waits_for_a_silent_provider(tmp_path: Path) -> None:
    silent = answer(b"", ending=Ending.STALL)

    def only_chats(request: Received) -> Script:
        return silent if request.method == "GET" else answered(request)

    async with (
        ScriptedUpstream(default=only_chats) as upstream,
        model_service(tmp_path, upstream, MODELS_DISCOVERY="on") as service,
    ):
        await upstream.received(2)
        assert (await service.stub.Chat(chat_request())).text == "Hi."
        assert (await service.stub.ListModels(models_pb2.ListModelsRequest())).models


async def test_without_discovery_or_a_key_nobody_is_asked(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=lists) as upstream:
        async with model_service(tmp_path / "off", upstream) as service:
            await service.stub.Chat(chat_request())
        keyless: dict[str, Any] = {**NO_KEYS, "MODELS_DISCOVERY": "on"}
        async with model_service(tmp_path / "keyless", upstream, **keyless) as service:
            await service.stub.ListModels(models_pb2.ListModelsRequest())
        assert [request.method for request in upstream.requests] == ["POST"]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (json_answer({"error": {"message": "sk-secret"}}, status=401), "HTTP_STATUS_401"),
        (answer(b"<html>sk-secret</html>"), "BAD_RESPONSE"),
        (Script(ending=Ending.RESET), "CONNECT_FAILED"),
        (
            answer(b'{"data": [{"id": "gpt-half"', headers={"Content-Length": "999"}, ending=Ending.CUT),
            "CONNECT_FAILED",
        ),
    ],
    ids=["refused", "no list", "reset", "cut"],
)
async def test_failure_is_logged_once_and_leaves_what_was_known(failure: Script, reason: str) -> None:
    log = Log()
    again = asyncio.Event()
    async with ScriptedUpstream() as upstream:
        upstream.play(openai_list("gpt-first", *REPLACEMENTS), failure, failure)
        upstream.play(openai_list("gpt-second", *REPLACEMENTS, before=[again]), answer(b"", before=[asyncio.Event()]))
        async with discovery(upstream.url, log, QUICK) as models:
            await upstream.received(4)
            assert models.find("gpt-first")
            again.set()
            await log.wait("models discovered", 2)
            assert models.find("gpt-second")
            assert models.find("gpt-first") is None
    told = [entry for entry in log.entries() if entry["event"] == "models not discovered"]
    assert [(entry["provider"], entry["reason"]) for entry in told] == [("openai", reason)]
    assert b"sk-secret" not in log.getvalue()


async def test_provider_that_cannot_be_reached_is_logged() -> None:
    log = Log()
    async with ScriptedUpstream() as upstream:
        url = upstream.url
    async with discovery(url, log, NEVER_AGAIN):
        (entry,) = await log.wait("models not discovered")
    assert entry["reason"] == "CONNECT_FAILED"


async def test_replacement_that_is_not_listed_is_logged_once() -> None:
    log = Log()
    async with ScriptedUpstream() as upstream:
        upstream.play(*[openai_list("gpt-6.1-sol", "gpt-6-luna")] * 3, answer(b"", before=[asyncio.Event()]))
        async with discovery(upstream.url, log, QUICK):
            await log.wait("models discovered", 3)
    told = [entry for entry in log.entries() if entry["event"] == "replacement is not listed"]
    assert [(entry["model"], entry["replacement"]) for entry in told] == [("gpt-5-mini", "gpt-6.1-terra")]


async def test_close_ends_a_question_in_the_middle() -> None:
    async with ScriptedUpstream(default=lambda _: answer(b"", ending=Ending.STALL)) as upstream:
        async with discovery(upstream.url, Log(), NEVER_AGAIN):
            await upstream.received(1)
        await upstream.requests[0].closed_by_peer()


def test_failures_are_followed_by_growing_pauses_up_to_the_usual_one() -> None:
    backoff = Backoff(interval=100, first_retry=10, jitter=0)
    assert [backoff.pause(failures) for failures in range(7)] == [100, 10, 20, 40, 80, 100, 100]
    assert datetime.timedelta(seconds=EVERY_HOUR.interval) == datetime.timedelta(hours=1)
    assert all(2880 <= EVERY_HOUR.pause(0) <= 4320 for _ in range(100))
