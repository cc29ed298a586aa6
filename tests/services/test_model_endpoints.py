"""Several endpoints of one registered model: how load is balanced over them, and what their failures come to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from sqlalchemy import insert

from proto import models_pb2
from services.models.attempts import circuit_breaker, traffic
from services.models.health import monitor
from services.models.servicer import ModelServicer
from services.models.storage.tables import registered_model_names, registered_models
from services.shared.logs import open_log
from tests.rows import for_each
from tests.scripted_upstream import Ending, Play, Received, Script, ScriptedUpstream, answer, event_stream, json_answer
from tests.services.log_file import LogFile
from tests.services.model_registries import model, replica
from tests.services.model_service import (
    STRANGER,
    ModelService,
    answered,
    chat_request,
    completion,
    model_service,
    piece,
    registration,
)
from tests.support.errors import failure_of, stream_failure

RATE_LIMITED = json_answer({"error": {"message": "no"}}, status=429, headers={"retry-after": "60"})
UNHEALTHY = answer(b"", status=500)


@contextlib.asynccontextmanager
async def upstreams(count: int) -> AsyncIterator[list[ScriptedUpstream]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ScriptedUpstream(default=answered)) for _ in range(count)]


@contextlib.asynccontextmanager
async def serving(directory: Path, servers: Sequence[ScriptedUpstream], **settings: str) -> AsyncIterator[ModelService]:
    """A service with the model `mine`, which all these servers serve."""
    async with model_service(directory, **{"MODELS_MAX_ATTEMPTS": "3", **settings}) as service:
        await service.stub.RegisterModel(at(servers))
        yield service


def at(servers: Sequence[ScriptedUpstream], **fields: Any) -> models_pb2.RegisterModelRequest:
    endpoints = [f"{server.url}/v1" for server in servers]
    return registration(servers[0], **{"endpoint": "", "endpoints": endpoints, **fields})


def chats(server: ScriptedUpstream) -> int:
    return sum(request.method == "POST" for request in server.requests)


def hosts(response: models_pb2.ChatResponse) -> list[str]:
    return [attempt.host for attempt in response.attempts]


def host(server: ScriptedUpstream) -> str:
    return urlsplit(server.url).netloc


async def ask(service: ModelService, **fields: Any) -> models_pb2.ChatResponse:
    return await service.stub.Chat(chat_request("mine", **fields))


def for_chats(script: Script) -> Play:
    """Plays a script for chats, and has probes find the server healthy."""
    return lambda request: answered(request) if request.method == "GET" else script


# ------------------------------------------------------------------------------------------------------------- load


async def test_requests_go_to_the_endpoint_with_the_fewest_in_flight(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with upstreams(3) as servers, serving(tmp_path, servers) as service:
        for server in servers:
            server.default = for_chats(json_answer(completion(), before=[gate]))
            server.requests.clear()
        running = [asyncio.ensure_future(ask(service)) for _ in range(12)]
        await asyncio.gather(*(server.received(4) for server in servers))
        gate.set()
        await asyncio.gather(*running)
        assert [chats(server) for server in servers] == [4, 4, 4]


async def test_endpoint_that_is_slow_gets_no_more_while_others_are_free(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with upstreams(3) as servers, serving(tmp_path, servers) as service:
        for server in servers:
            server.requests.clear()
        slow = servers[0]
        slow.default = for_chats(json_answer(completion(), before=[gate]))
        held = await until_it_gets_one(service, slow)
        for _ in range(10):
            await ask(service)
        assert chats(slow) == 1
        gate.set()
        await held


async def until_it_gets_one(service: ModelService, slow: ScriptedUpstream) -> asyncio.Future[models_pb2.ChatResponse]:
    """Sends one chat after the other, until this server holds one; its answer."""
    while True:
        answer = asyncio.ensure_future(ask(service))
        has_got_one = asyncio.ensure_future(slow.received(1))
        await asyncio.wait([answer, has_got_one], return_when=asyncio.FIRST_COMPLETED)
        has_got_one.cancel()
        if chats(slow):
            return answer


@for_each("way", ["cancelled", "left", "failed", "refused"])
async def test_nothing_stays_in_flight_however_a_chat_ends(tmp_path: Path, way: str) -> None:
    seen: list[ModelServicer] = []

    def watch(servicer: ModelServicer) -> ModelServicer:
        seen.append(servicer)
        return servicer

    async with upstreams(2) as servers, model_service(tmp_path / way, servicer=watch) as service:
        await service.stub.RegisterModel(at(servers))
        scripts = {
            "cancelled": json_answer(completion(), before=[asyncio.Event()]),
            "left": event_stream(piece("Once"), asyncio.Event()),
            "failed": json_answer({}, status=500),
            "refused": json_answer({"error": {"message": "no"}}, status=400),
        }
        for server in servers:
            server.requests.clear()
            server.default = for_chats(scripts[way])
        if way == "left":
            stream = service.stub.ChatStream(chat_request("mine"))
            await stream.read()
            stream.cancel()
        elif way == "cancelled":
            call = service.stub.Chat(chat_request("mine"))
            arrivals = [asyncio.ensure_future(server.received(1)) for server in servers]
            _, others = await asyncio.wait(arrivals, return_when=asyncio.FIRST_COMPLETED)
            for other in others:
                other.cancel()
            call.cancel()
        else:
            await failure_of(ask(service))
        for request in [request for server in servers for request in server.requests]:
            if way in ("left", "cancelled"):
                await request.closed_by_peer()
        for server in servers:
            server.default = answered
        await ask(service)
        assert [known.in_flight for known in seen[0]._chats._limits._traffic.values()] == [0, 0]


@pytest.mark.parametrize("rest_seconds", [0.0, 0.2], ids=["its circuit opens", "it rests"])
async def test_endpoint_that_dies_fails_no_chat_and_gets_load_again_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest_seconds: float
) -> None:
    monkeypatch.setattr(traffic, "REST_SECONDS", rest_seconds)
    monkeypatch.setattr(circuit_breaker, "OPEN_SECONDS", 0.2)
    monkeypatch.setattr(monitor, "UNHEALTHY_SECONDS", 0.1)
    done = 0
    progress = asyncio.Condition()

    async def load(service: ModelService) -> None:
        nonlocal done
        while True:
            assert (await ask(service)).text == "Hi."
            async with progress:
                done += 1
                progress.notify_all()

    async def more(count: int) -> None:
        wanted = done + count
        async with asyncio.timeout(10), progress:
            await progress.wait_for(lambda: done >= wanted or any(worker.done() for worker in workers))

    async with upstreams(3) as servers, serving(tmp_path, servers) as service:
        dying = servers[2]
        workers = [asyncio.create_task(load(service)) for _ in range(8)]
        await more(100)
        assert chats(dying) > 10
        port = dying.port
        await dying.__aexit__(None, None, None)
        await more(200)
        async with ScriptedUpstream(default=answered, port=port) as back:
            async with asyncio.timeout(5):
                while chats(back) < 10:
                    await back.received(len(back.requests) + 1)
            for worker in workers:
                assert not worker.done()
                worker.cancel()
            await asyncio.wait(workers)


async def test_log_names_the_host_that_has_answered(tmp_path: Path) -> None:
    file = LogFile()
    async with upstreams(2) as servers, model_service(tmp_path, log=open_log("models", file=file)) as service:
        await service.stub.RegisterModel(at(servers))
        response = await ask(service)
        registered, asked = await file.calls(2)
        assert registered["endpoints"] == [f"{server.url}/v1" for server in servers]
        assert [asked["upstream_host"]] == hosts(response)


async def test_rate_limit_at_one_endpoint_moves_its_chats_to_the_other(tmp_path: Path) -> None:
    async with upstreams(2) as servers, serving(tmp_path, servers) as service:
        limited, free = servers
        limited.default = for_chats(RATE_LIMITED)
        responses = [await ask(service) for _ in range(30)]
        moved = [response for response in responses if len(response.attempts) > 1]
        assert {tuple(hosts(response)) for response in moved} <= {(host(limited), host(free))}
        assert {hosts(response)[-1] for response in responses} == {host(free)}
        assert not [notice for response in responses for notice in response.warnings]
        # It rests, and is not asked by every chat first.
        assert chats(limited) == len(moved) == 1


async def test_last_attempt_is_kept_for_another_model(tmp_path: Path) -> None:
    async with upstreams(5) as servers, serving(tmp_path, servers[:4]) as service:
        await service.stub.RegisterModel(registration(servers[4], "other"))
        for server in servers[:4]:
            server.default = for_chats(json_answer({}, status=503))
        response = await ask(service, fallback_models=["other"])
        assert [attempt.outcome for attempt in response.attempts] == ["UPSTREAM_SERVER_ERROR"] * 2 + ["ok"]
        assert hosts(response)[-1] == host(servers[4])
        assert len(set(hosts(response))) == 3


async def test_conversation_that_is_too_long_for_one_endpoint_is_not_sent_to_the_others(tmp_path: Path) -> None:
    too_long = json_answer({"error": {"message": "too long", "code": "context_length_exceeded"}}, status=400)
    async with upstreams(4) as servers, serving(tmp_path, servers[:3]) as service:
        await service.stub.RegisterModel(registration(servers[3], "other"))
        for server in servers[:3]:
            server.default = for_chats(too_long)
        response = await ask(service, fallback_models=["other"])
        assert [attempt.outcome for attempt in response.attempts] == ["CONTEXT_LENGTH_EXCEEDED", "ok"]


async def test_stream_is_not_sent_to_another_endpoint_after_its_first_output(tmp_path: Path) -> None:
    async with upstreams(2) as servers, serving(tmp_path, servers) as service:
        for server in servers:
            server.default = for_chats(event_stream(piece("Once"), ending=Ending.CUT))
        chunks, failure = await stream_failure(service.stub.ChatStream(chat_request("mine")))
        assert ([chunk.token for chunk in chunks], failure.reason) == (["Once"], "UPSTREAM_STREAM_INTERRUPTED")
        assert sum(map(chats, servers)) == 1


async def test_all_circuits_open_say_why_and_until_when(tmp_path: Path) -> None:
    async with upstreams(2) as servers, serving(tmp_path, servers) as service:
        for server in servers:
            server.default = for_chats(json_answer({}, status=503))
        reasons: list[str] = []
        while "CIRCUIT_OPEN" not in reasons[-1:]:
            failure = await failure_of(ask(service))
            reasons.append(failure.reason)
        assert "all endpoints of mine have failed all recent requests" in failure.message
        assert "UPSTREAM_SERVER_ERROR" in failure.message
        assert 0 < (failure.retry_seconds or 0) <= 5


# ----------------------------------------------------------------------------------------------------------- health


async def test_status_has_the_state_of_each_endpoint_and_load_avoids_the_unhealthy(tmp_path: Path) -> None:
    async with upstreams(2) as servers, model_service(tmp_path) as service:
        sound, ill = servers
        ill.default = lambda request: UNHEALTHY if request.method == "GET" else answered(request)
        response = await service.stub.RegisterModel(at(servers))
        assert [(notice.code, notice.field) for notice in response.warnings] == [("HTTP_STATUS", "endpoints[1]")]
        status = await service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="mine"))
        assert (response.status, status.status, status.reason) == ("degraded", "degraded", "HTTP_STATUS")
        assert [(state.endpoint, state.status, state.reason) for state in status.endpoints] == [
            (f"{sound.url}/v1", "healthy", "OK"),
            (f"{ill.url}/v1", "unhealthy", "HTTP_STATUS"),
        ]
        for _ in range(6):
            assert hosts(await ask(service)) == [host(sound)]


async def test_no_endpoint_is_healthy_and_they_are_used_all_the_same(tmp_path: Path) -> None:
    """A probe may be wrong."""
    async with upstreams(2) as servers, model_service(tmp_path) as service:
        for server in servers:
            server.default = lambda request: UNHEALTHY if request.method == "GET" else answered(request)
        response = await service.stub.RegisterModel(at(servers))
        assert response.status == "unhealthy"
        assert (await ask(service)).text == "Hi."


async def test_preview_shows_the_first_endpoint_that_can_be_used(tmp_path: Path) -> None:
    async with upstreams(2) as servers, model_service(tmp_path) as service:
        request = models_pb2.PreviewChatRequest(request=chat_request("mine"))
        await service.stub.RegisterModel(at(servers))
        assert (await service.stub.PreviewChat(request)).host == host(servers[0])
        servers[0].default = UNHEALTHY
        await service.stub.RegisterModel(at(servers, upstream_model="other"))
        assert (await service.stub.PreviewChat(request)).host == host(servers[1])
        assert (await service.stub.PreviewChat(request, metadata=STRANGER)).host == ""


# ---------------------------------------------------------------------------------------------------- registrations

ONE, TWO = "http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1"
WRONG = [
    ({"endpoints": [ONE, "ftp://host"]}, ["endpoints[1]"]),
    ({"endpoints": ["", TWO, ""]}, ["endpoints[0]", "endpoints[2]"]),
    ({"endpoints": [ONE, TWO, "HTTP://127.0.0.1:9/v1/chat/completions"]}, ["endpoints[2]"]),
    ({"endpoints": [ONE, "http://127.0.0.1:9"]}, ["endpoints[1]"]),
    ({"endpoints": [f"http://127.0.0.1:{port}/v1" for port in range(1, 18)]}, ["endpoints"]),
    ({"endpoint": TWO, "endpoints": [ONE, TWO]}, ["endpoint"]),
    (
        {
            "endpoints": [ONE, TWO],
            "credential": models_pb2.Credential(env_var="TEAM_API_KEY"),
        },
        ["endpoints[1]"],
    ),
]


async def test_wrong_endpoints_are_named(tmp_path: Path) -> None:
    async with model_service(tmp_path, MODELS_CREDENTIALS=f"TEAM_API_KEY={ONE}") as service:
        for fields, wrong in WRONG:
            request = models_pb2.RegisterModelRequest(name="mine", adapter_type="openai-compatible", **fields)
            failure = await failure_of(service.stub.RegisterModel(request))
            assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, wrong), fields


async def test_strangers_may_name_no_private_endpoint_and_learn_no_host(tmp_path: Path) -> None:
    async with upstreams(2) as servers, serving(tmp_path, servers) as service:
        public = "http://1.1.1.1/v1"
        request = registration(servers[0], "theirs", endpoint="", endpoints=[public, ONE, "http://10.0.0.1/v1"])
        failure = await failure_of(service.stub.RegisterModel(request, metadata=STRANGER))
        assert (failure.reason, list(failure.fields)) == ("ENDPOINT_NOT_ALLOWED", ["endpoints[1]", "endpoints[2]"])
        response = await service.stub.Chat(chat_request("mine"), metadata=STRANGER)
        assert hosts(response) == [""]
        for server in servers:
            server.default = for_chats(json_answer({}, status=400))
        failure = await failure_of(service.stub.Chat(chat_request("mine"), metadata=STRANGER))
        assert "127.0.0.1" not in failure.metadata["attempts"]
        failure = await failure_of(ask(service))
        assert "127.0.0.1" in json.loads(failure.metadata["attempts"])[0]["host"]


async def test_strangers_do_not_learn_where_the_operators_servers_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_API_KEY", "canary-key")
    asked = models_pb2.GetModelStatusRequest(name="mine")
    listing = models_pb2.ListRegisteredModelsRequest()
    async with upstreams(2) as servers:
        servers[1].default = UNHEALTHY
        async with model_service(tmp_path, servers[0]) as service:
            await service.stub.RegisterModel(at(servers, credential=models_pb2.Credential(env_var="TEAM_API_KEY")))
            told = await service.stub.GetModelStatus(asked, metadata=STRANGER)
            assert (told.status, [state.status for state in told.endpoints]) == ("degraded", ["healthy", "unhealthy"])
            assert "1 of 2 endpoints not healthy: endpoints[1]: " in told.message
            vendors = await service.stub.GetModelStatus(
                models_pb2.GetModelStatusRequest(name="gpt-4o"), metadata=STRANGER
            )
            listed = await service.stub.ListRegisteredModels(listing, metadata=STRANGER)
            for message in (told, vendors, listed):
                assert "127.0.0.1" not in str(message)
                assert "TEAM_API_KEY" not in str(message)
            [own] = (await service.stub.ListRegisteredModels(listing)).models
            assert len(own.endpoints) == 2


async def test_key_goes_to_the_endpoints_that_it_may_go_to_and_to_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_API_KEY", "canary-key")
    async with upstreams(2) as servers:
        both = ",".join(f"TEAM_API_KEY={server.url}/v1" for server in servers)
        async with model_service(tmp_path, MODELS_CREDENTIALS=both) as service:
            await service.stub.RegisterModel(at(servers, credential=models_pb2.Credential(env_var="TEAM_API_KEY")))
        for server in servers:
            server.requests.clear()
        one = f"TEAM_API_KEY={servers[1].url}/v1"
        async with model_service(tmp_path, MODELS_CREDENTIALS=one) as service:
            for _ in range(4):
                assert hosts(await ask(service)) == [host(servers[1])]
        assert not [request for request in servers[0].requests if "authorization" in request.headers]


async def test_endpoints_are_kept_over_a_restart_and_known_when_they_are_registered_again(database_url: str) -> None:
    request = model(endpoint="", endpoints=[ONE, f"{TWO}/"])
    async with replica(database_url) as here:
        assert (await here.registry.register(request)).created
    async with replica(database_url) as here:
        found = here.registry.find("mine")
        assert found
        assert (found.endpoint, list(found.endpoints)) == (ONE, [ONE, TWO])
        assert not (await here.registry.register(request)).created
        assert (await here.registry.register(model(endpoint="", endpoints=[TWO, ONE]))).created


async def test_row_of_an_earlier_version_has_one_endpoint(database_url: str) -> None:
    definition = {
        "name": "mine",
        "endpoint": ONE,
        "adapter_type": "openai-compatible",
        "provider": "openai-compatible",
        "upstream_model": "mine",
    }
    async with replica(database_url, watching=False) as here:
        stored = {
            "name": "mine",
            "definition_json": json.dumps(definition),
            "registered_at": "2026-11-22T00:00:00.000Z",
        }
        async with here.database.write() as connection:
            await connection.execute(insert(registered_models).values(**stored, untrusted=False))
            await connection.execute(insert(registered_model_names).values(name="mine", model="mine"))
        await here.registry.load()
        found = here.registry.find("mine")
        assert found
        assert list(found.endpoints) == [ONE]
        for again in (model(), model(endpoint="", endpoints=[ONE]), model(endpoint=ONE, endpoints=[ONE])):
            assert not (await here.registry.register(again)).created


async def test_provider_state_of_one_endpoint_goes_to_the_others(tmp_path: Path) -> None:
    def with_state(request: Received) -> Script:
        return answered(request) if request.method == "GET" else json_answer(completion(reasoning_content="Hm."))

    async with upstreams(2) as servers, serving(tmp_path, servers) as service:
        for server in servers:
            server.default = with_state
        first = await ask(service)
        owners = {part.provider_state.provider for part in first.message.parts if part.HasField("provider_state")}
        while True:
            user = models_pb2.ChatMessage(role="user", content="And?")
            response = await ask(service, messages=[user, first.message, user])
            assert not response.warnings
            if hosts(response) != hosts(first):
                break
        again = {part.provider_state.provider for part in response.message.parts if part.HasField("provider_state")}
        assert owners == again
