"""The free probes, against real servers on the loopback interface."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proto import models_pb2
from services.models.access.trust import ByTrust
from services.models.health import monitor
from services.models.health.monitor import HealthMonitor
from services.models.health.probes import ModelProbe, ProviderProbe
from services.models.health.results import ProbeResult
from services.models.transport.client import HttpClient, open_probing_client
from services.models.transport.egress import EndpointPolicy
from services.shared.backoff import Backoff
from services.shared.logs import open_log
from tests.scripted_upstream import Ending, ScriptedUpstream, answer, json_answer, no_answer, raw

LOG = open_log("test", file=io.BytesIO())
ENDPOINTS = ByTrust(EndpointPolicy(), EndpointPolicy(discreet=True))
KEY = "canary-key-0123456789"

QUICK = Backoff(interval=0.05, first_retry=0.01)
SLOW = Backoff(interval=300.0, first_retry=300.0)


def probing_clients() -> ByTrust[HttpClient]:
    return ByTrust(*map(open_probing_client, ENDPOINTS))


@pytest.fixture
async def board() -> AsyncIterator[HealthMonitor]:
    board = HealthMonitor(LOG, probing_clients(), SLOW, fresh_seconds=30.0)
    yield board
    await board.close()


def registered(endpoint: str, adapter_type: str = "openai-compatible", **fields: Any) -> models_pb2.RegisteredModel:
    defaults: dict[str, Any] = {"name": "mine", "provider": adapter_type, "upstream_model": "tiny"}
    return models_pb2.RegisteredModel(endpoint=endpoint, adapter_type=adapter_type, **(defaults | fields))


def served(*names: str) -> Any:
    return json_answer({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


async def ask(probe: ModelProbe | ProviderProbe) -> ProbeResult:
    return await probe.ask(open_probing_client(ENDPOINTS.operators))


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---------------------------------------------------------------------------------------------- registered models


@pytest.mark.parametrize("adapter_type", ["openai", "openai-compatible", "anthropic"])
async def test_model_that_its_server_lists_is_healthy(upstream: ScriptedUpstream, adapter_type: str) -> None:
    upstream.play(served("other", "tiny"))
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1", adapter_type)))
    assert finding[:4] == ("healthy", "OK", "the newest probe succeeded", f"{upstream.url}/v1/models")
    assert upstream.requests[0].method == "GET"
    assert upstream.requests[0].path.partition("?")[0] == "/v1/models"
    assert upstream.requests[0].body == b""


async def test_health_check_path_is_asked_from_the_root_and_nothing_else(upstream: ScriptedUpstream) -> None:
    upstream.play(answer(b"anything", status=204))
    finding = await ask(ModelProbe(registered(f"{upstream.url}/deep/v1", health_check="/ready/now")))
    assert finding.status == "healthy"
    assert finding.url == f"{upstream.url}/ready/now"
    assert [request.path for request in upstream.requests] == ["/ready/now"]


async def test_endless_body_of_a_healthy_answer_is_not_waited_for(upstream: ScriptedUpstream) -> None:
    upstream.play(raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", ending=Ending.STALL))
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1", health_check="/health")))
    assert finding.status == "healthy"
    await upstream.requests[0].closed_by_peer()


async def test_vllm_is_asked_for_its_engine_and_then_for_its_models(upstream: ScriptedUpstream) -> None:
    upstream.play(answer(b""), served("tiny"))
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1", "vllm")))
    assert finding.status == "healthy"
    assert [request.path for request in upstream.requests] == ["/health", "/v1/models"]


async def test_vllm_whose_engine_is_dead_is_unhealthy_although_it_would_list_the_model(
    upstream: ScriptedUpstream,
) -> None:
    upstream.play(answer(b"", status=503))
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1", "vllm")))
    assert finding[:2] == ("unhealthy", "HTTP_STATUS")
    assert "503" in finding.message
    assert [request.path for request in upstream.requests] == ["/health"]


async def test_vllm_behind_a_proxy_without_health_is_judged_by_its_list(upstream: ScriptedUpstream) -> None:
    upstream.play(answer(b"", status=404), served("tiny"))
    assert (await ask(ModelProbe(registered(f"{upstream.url}/team/v1", "vllm")))).status == "healthy"
    assert [request.path for request in upstream.requests] == ["/team/health", "/team/v1/models"]


async def test_model_that_is_not_listed_is_degraded_and_five_others_are_named(upstream: ScriptedUpstream) -> None:
    """llama.cpp lists one name and answers to any: such a model can be called."""
    upstream.play(served("<b>evil</b>", *(f"model-{number}" for number in range(7))))
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1")))
    assert finding[:2] == ("degraded", "MODEL_NOT_SERVED")
    assert "model-0, model-1, model-2, model-3, model-4;" in finding.message
    assert "evil" not in finding.message
    assert "model-5" not in finding.message


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, ("degraded", "HTTP_STATUS")),
        (404, ("degraded", "PATH_NOT_FOUND")),
        (405, ("degraded", "PATH_NOT_FOUND")),
        (429, ("degraded", "HTTP_STATUS")),
        (401, ("unhealthy", "AUTH_FAILED")),
        (403, ("unhealthy", "AUTH_FAILED")),
        (500, ("unhealthy", "HTTP_STATUS")),
        (503, ("unhealthy", "HTTP_STATUS")),
    ],
)
async def test_http_status_decides_and_the_body_is_never_repeated(
    upstream: ScriptedUpstream, status: int, expected: tuple[str, str]
) -> None:
    upstream.default = json_answer(
        {"error": {"message": "SERVER-TEXT"}}, status=status, headers={"Location": "/v1/elsewhere"}
    )
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1")))
    assert finding[:2] == expected
    assert "SERVER-TEXT" not in finding.message
    assert (str(status) in finding.message) == (finding.reason == "HTTP_STATUS")
    paths = ["/v1/models", "/models"] if finding.reason == "PATH_NOT_FOUND" else ["/v1/models"]
    assert [request.path for request in upstream.requests] == paths


async def test_llama_cpp_that_still_loads_is_starting(upstream: ScriptedUpstream) -> None:
    error = {"code": 503, "message": "Loading model", "type": "unavailable_error"}
    upstream.play(json_answer({"error": error}, status=503))
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1")))
    assert finding[:2] == ("unhealthy", "STARTING")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": {}}', b"null", b'{"data": [' + b"1," * 600_000 + b"1]}"])
async def test_answer_that_is_no_list_of_models_is_degraded(upstream: ScriptedUpstream, body: bytes) -> None:
    upstream.play(answer(body))
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1")))
    assert finding[:2] == ("degraded", "BAD_RESPONSE")


@pytest.mark.parametrize(
    "script",
    [
        no_answer(Ending.CLOSE),
        no_answer(Ending.RESET),
        raw("SSH-2.0-OpenSSH_9.2\r\n", ending=Ending.CLOSE),
        json_answer({"data": [{"id": "tiny"}]}, ending=Ending.CUT),
    ],
    ids=["closed", "reset", "not http", "cut"],
)
async def test_broken_connection_is_unhealthy(upstream: ScriptedUpstream, script: Any) -> None:
    upstream.play(script)
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1")))
    assert finding[:2] == ("unhealthy", "BAD_RESPONSE")


async def test_nobody_at_the_endpoint_is_a_failed_connection() -> None:
    finding = await ask(ModelProbe(registered(f"http://127.0.0.1:{unused_port()}/v1")))
    assert finding[:2] == ("unhealthy", "CONNECT_FAILED")


async def test_host_without_an_address_is_a_failed_connection() -> None:
    finding = await ask(ModelProbe(registered("http://no-such-host.invalid/v1")))
    assert finding[:2] == ("unhealthy", "CONNECT_FAILED")


@pytest.mark.usefixtures("hasty_probes")
async def test_silence_is_a_timeout(upstream: ScriptedUpstream) -> None:
    upstream.play(no_answer())
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1")))
    assert finding[:2] == ("unhealthy", "TIMEOUT")
    await upstream.requests[0].closed_by_peer()


async def test_server_without_tls_behind_https_is_told() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        finding = await ask(ModelProbe(registered(f"https://127.0.0.1:{port}/v1")))
    assert finding[:2] == ("unhealthy", "TLS_FAILED")


# ---------------------------------------------------------------------------------------------------- credentials


async def test_key_goes_out_as_bearer(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE_API_KEY", f"{KEY}\n")
    upstream.play(served("tiny"))
    credential = models_pb2.Credential(env_var="MINE_API_KEY")
    await ask(ModelProbe(registered(f"{upstream.url}/v1", credential=credential)))
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_key_goes_to_anthropic_servers_in_their_own_headers(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE_API_KEY", KEY)
    upstream.play(served("tiny"))
    credential = models_pb2.Credential(env_var="MINE_API_KEY")
    await ask(ModelProbe(registered(f"{upstream.url}/v1", "anthropic", credential=credential)))
    headers = upstream.requests[0].headers
    assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert "authorization" not in headers


async def test_model_without_credential_sends_none(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    upstream.play(served("tiny"))
    await ask(ModelProbe(registered(f"{upstream.url}/v1")))
    assert "authorization" not in upstream.requests[0].headers


@pytest.mark.parametrize(("value", "reason"), [(None, "MISSING"), (" ", "MISSING"), ("käy", "INVALID")])
async def test_unusable_credential_is_told_by_its_variable_without_asking(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, value: str | None, reason: str
) -> None:
    monkeypatch.delenv("MINE_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MINE_API_KEY", value)
    credential = models_pb2.Credential(env_var="MINE_API_KEY")
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1", credential=credential)))
    assert finding[:2] == ("unhealthy", f"CREDENTIAL_{reason}")
    assert "MINE_API_KEY" in finding.message
    assert upstream.requests == []


async def test_refused_key_names_the_variable_and_never_the_key(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE_API_KEY", KEY)
    upstream.play(json_answer({"error": f"bad key {KEY}"}, status=401))
    credential = models_pb2.Credential(env_var="MINE_API_KEY")
    finding = await ask(ModelProbe(registered(f"{upstream.url}/v1", credential=credential)))
    assert finding.reason == "AUTH_FAILED"
    assert "MINE_API_KEY" in finding.message
    assert KEY not in repr(finding)


# ------------------------------------------------------------------------------------------------- built-in models


def provider_probe(upstream: ScriptedUpstream, headers: dict[str, str] | None) -> ProviderProbe:
    return ProviderProbe("gpt-4o", f"{upstream.url}/v1/models/gpt-4o", "OPENAI_API_KEY", headers)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, ("healthy", "OK")),
        (404, ("unhealthy", "MODEL_NOT_SERVED")),
        (401, ("unhealthy", "AUTH_FAILED")),
        (429, ("degraded", "HTTP_STATUS")),
        (529, ("unhealthy", "HTTP_STATUS")),
    ],
)
async def test_provider_is_asked_for_the_one_model(
    upstream: ScriptedUpstream, status: int, expected: tuple[str, str]
) -> None:
    upstream.play(json_answer({"id": "gpt-4o"}, status=status))
    finding = await ask(provider_probe(upstream, {"authorization": f"Bearer {KEY}"}))
    assert finding[:2] == expected
    assert upstream.requests[0].path == "/v1/models/gpt-4o"
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_path_that_a_provider_does_not_have_says_nothing_of_the_model(upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer({"detail": "Not Found"}, status=404))
    finding = await ask(provider_probe(upstream, {}))
    assert finding[:2] == ("degraded", "PATH_NOT_FOUND")
    assert "/v1/models/gpt-4o" in finding.message


async def test_provider_without_key_is_unconfigured_and_not_asked(upstream: ScriptedUpstream) -> None:
    finding = await ask(provider_probe(upstream, None))
    assert finding[:2] == ("unconfigured", "CREDENTIAL_MISSING")
    assert "OPENAI_API_KEY" in finding.message
    assert upstream.requests == []


def test_key_of_a_provider_is_not_in_what_is_printed_of_its_probe() -> None:
    probe = ProviderProbe("gpt-4o", "https://api.openai.com/v1/models/gpt-4o", "OPENAI_API_KEY", {"authorization": KEY})
    assert KEY not in repr(probe)


# ---------------------------------------------------------------------------------------------------- status board


async def test_watched_model_is_unknown_until_it_has_been_probed(
    upstream: ScriptedUpstream, board: HealthMonitor
) -> None:
    upstream.play(no_answer())
    board.watch(ModelProbe(registered(f"{upstream.url}/v1")))
    status = board.newest("mine")
    assert status is not None
    assert (status.status, status.reason, status.last_checked) == ("unknown", "NOT_PROBED", "")
    assert not status.HasField("last_success")


async def test_callers_who_ask_at_once_share_one_probe(upstream: ScriptedUpstream, board: HealthMonitor) -> None:
    gate = asyncio.Event()
    upstream.default = json_answer({"data": [{"id": "tiny"}]}, before=[gate])
    probe = ModelProbe(registered(f"{upstream.url}/v1"))
    board.watch(probe)
    callers = [asyncio.create_task(board.check(probe)) for _ in range(5)]
    await upstream.received(1)
    gate.set()
    statuses = await asyncio.gather(*callers)
    assert {status.status for status in statuses} == {"healthy"}
    assert len(upstream.requests) == 1


async def test_fresh_status_is_not_asked_for_again(upstream: ScriptedUpstream, board: HealthMonitor) -> None:
    upstream.play(served("tiny"))
    probe = ModelProbe(registered(f"{upstream.url}/v1"))
    first = await board.check(probe)
    assert await board.check(probe) == first
    assert len(upstream.requests) == 1


async def test_stale_status_is_asked_for_again_and_counts(upstream: ScriptedUpstream) -> None:
    upstream.play(served("tiny"), answer(b"", status=500), answer(b"", status=500), served("tiny"))
    board = HealthMonitor(LOG, probing_clients(), fresh_seconds=0.0)
    probe = ModelProbe(registered(f"{upstream.url}/v1"))
    healthy, failed, failed_again, recovered = [await board.check(probe) for _ in range(4)]
    await board.close()
    assert [status.consecutive_failures for status in (healthy, failed, failed_again, recovered)] == [0, 1, 2, 0]
    assert failed.last_success == failed_again.last_success == healthy.last_success
    assert failed.since == failed_again.since
    assert failed.since.ToNanoseconds() > healthy.since.ToNanoseconds()
    assert recovered.last_success.ToNanoseconds() > healthy.last_success.ToNanoseconds()
    assert failed.last_checked.endswith("Z")
    assert failed.endpoint == f"{upstream.url}/v1/models"


async def test_caller_who_leaves_does_not_end_the_probe_of_another(
    upstream: ScriptedUpstream, board: HealthMonitor
) -> None:
    gate = asyncio.Event()
    upstream.play(json_answer({"data": [{"id": "tiny"}]}, before=[gate]))
    probe = ModelProbe(registered(f"{upstream.url}/v1"))
    leaving, staying = asyncio.create_task(board.check(probe)), asyncio.create_task(board.check(probe))
    await upstream.received(1)
    leaving.cancel()
    gate.set()
    assert (await staying).status == "healthy"
    assert leaving.cancelled()


async def test_watched_model_is_probed_again_by_itself_and_faster_while_it_fails(upstream: ScriptedUpstream) -> None:
    upstream.default = answer(b"", status=500)
    board = HealthMonitor(LOG, probing_clients(), Backoff(interval=60.0, first_retry=0.01), fresh_seconds=0.0)
    board.watch(ModelProbe(registered(f"{upstream.url}/v1")))
    await upstream.received(4)
    upstream.default = served("tiny")
    seen = len(upstream.requests)
    await upstream.received(seen + 1)
    await board.close()


async def test_unhealthy_endpoint_that_a_chat_could_use_is_asked_again_at_once(
    upstream: ScriptedUpstream, board: HealthMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.play(answer(b"", status=500), served("tiny"))
    probe = ModelProbe(registered(f"{upstream.url}/v1"))
    board.watch(probe)
    await board.check(probe)
    assert board.is_unhealthy("mine", probe.endpoint)
    assert len(upstream.requests) == 1
    monkeypatch.setattr(monitor, "UNHEALTHY_SECONDS", 0.0)
    assert board.is_unhealthy("mine", probe.endpoint)
    await upstream.received(2)


async def test_forgotten_model_is_asked_no_more(upstream: ScriptedUpstream) -> None:
    upstream.default = served("tiny")
    board = HealthMonitor(LOG, probing_clients(), QUICK, fresh_seconds=0.0)
    probe = ModelProbe(registered(f"{upstream.url}/v1"))
    board.watch(probe)
    await upstream.received(2)
    board.forget("mine")
    await board.check(ModelProbe(registered(f"{upstream.url}/v1", name="other")))
    asked = len(upstream.requests)
    await asyncio.sleep(0.2)
    assert board.newest("mine") is None
    assert len(upstream.requests) == asked
    await board.close()


async def test_new_definition_of_a_model_begins_with_a_new_status(
    upstream: ScriptedUpstream, board: HealthMonitor
) -> None:
    upstream.play(answer(b"", status=500), served("tiny"))
    broken, mended = (ModelProbe(registered(f"{upstream.url}/{path}")) for path in ("v1", "v2"))
    board.watch(broken)
    assert (await board.check(broken)).consecutive_failures == 1
    board.watch(mended)
    assert (await board.check(mended)).status == "healthy"
    newest = board.newest("mine")
    assert newest is not None
    assert newest.status == "healthy"


async def test_close_ends_probes_in_the_middle(upstream: ScriptedUpstream) -> None:
    upstream.play(no_answer())
    board = HealthMonitor(LOG, probing_clients())
    board.watch(ModelProbe(registered(f"{upstream.url}/v1")))
    received = await upstream.received(1)
    await board.close()
    await received.closed_by_peer(timeout=1)


async def test_probe_that_is_itself_broken_does_not_end_the_watch() -> None:
    """A fault of ours must not silently freeze a status."""
    asked = asyncio.Event()

    class Broken:
        model = "mine"
        endpoint = "http://127.0.0.1/"
        url = "http://127.0.0.1/"
        untrusted = False
        count = 0

        async def ask(self, client: object) -> ProbeResult:
            self.count += 1
            if self.count == 3:
                asked.set()
            raise ValueError(KEY)

    board = HealthMonitor(LOG, probing_clients(), QUICK, fresh_seconds=0.0)
    board.watch(Broken())
    await asyncio.wait_for(asked.wait(), 5)
    status = board.newest("mine")
    await board.close()
    assert status is not None
    assert (status.status, status.reason) == ("unknown", "PROBE_FAILED")
    assert KEY not in str(status)


def test_pauses_double_with_failures_up_to_the_usual_one_and_never_fall_into_step() -> None:
    backoff = Backoff(interval=30.0, first_retry=1.0, jitter=0.2)
    for failures, seconds in [(0, 30), (1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (5000, 30)]:
        pauses = [backoff.pause(failures) for _ in range(200)]
        assert 0.8 * seconds <= min(pauses) < max(pauses) <= 1.2 * seconds
