"""Which of the operator's keys go where: only what is mapped, only there, and strangers can name nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto.models_pb2 import Credential, GetModelStatusRequest
from tests.scripted_upstream import Received, Script, ScriptedUpstream, answer, json_answer
from tests.services.model_service import OPENAI_KEY, STRANGER, answered, chat_request, model_service, registration
from tests.support.errors import failure_of

KEY = "canary-key-0123456789"
CALLERS = pytest.mark.parametrize("caller", [(), STRANGER], ids=["operator", "stranger"])


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered) as server:
        yield server


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables and files of this machine, not all of them meant for models."""
    for variable in ("TEAM_API_KEY", "STRIPE_API_KEY", "GENAI_SIGNING_SECRET", "TEAM_TOKEN", "PATH_TO_NOTHING"):
        monkeypatch.setenv(variable, KEY)
    monkeypatch.delenv("MISSING_API_KEY", raising=False)
    (tmp_path / "keys" / "team").mkdir(parents=True)
    (tmp_path / "keys" / "team" / "key").write_text(KEY)
    (tmp_path / "keys" / "linked").symlink_to("team/key")
    (tmp_path / "keys" / "out").symlink_to("/etc/hostname")


def settings(directory: Path, **others: str) -> dict[str, Any]:
    """Of a service that may connect to the upstream for strangers, too."""
    return {"MODELS_ALLOWED_ENDPOINTS": "private", "MODELS_CREDENTIALS_DIR": str(directory / "keys"), **others}


def keys(requests: list[Received]) -> dict[str, str]:
    """The key that came with each path that was asked."""
    return {sent.path: sent.headers.get("authorization") or sent.headers.get("x-api-key", "") for sent in requests}


# ------------------------------------------------------------------------------------------ what strangers may name

UNMAPPED = [
    *(Credential(env_var=name) for name in ("STRIPE_API_KEY", "MISSING_API_KEY", "GENAI_SIGNING_SECRET", "PATH")),
    *(Credential(env_var=name) for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "team_api_key", "TEAM_API_KEY ")),
    *(Credential(file=name) for name in ("linked", "missing", "out", "../secret", ".", "", "team", "a\0b", "x" * 5000)),
]


@pytest.mark.parametrize("validate_only", [True, False])
async def test_strangers_can_name_no_key_that_is_not_mapped_and_learn_nothing_of_those_that_there_are(
    tmp_path: Path, upstream: ScriptedUpstream, validate_only: bool
) -> None:
    told: set[str] = set()
    mapped = f"TEAM_API_KEY={upstream.url}/v1,file:team/key={upstream.url}/v1"
    async with model_service(tmp_path, upstream, **settings(tmp_path, MODELS_CREDENTIALS=mapped)) as service:
        for credential in UNMAPPED:
            for adapter_type in ("openai", "anthropic"):
                request = registration(
                    upstream, credential=credential, adapter_type=adapter_type, validate_only=validate_only
                )
                failure = await failure_of(service.stub.RegisterModel(request, metadata=STRANGER))
                field = f"credential.{credential.WhichOneof('source')}"
                assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
                told.add(failure.fields[field])
    assert len(told) == 1
    assert "MODELS_CREDENTIALS" in told.pop()
    assert not upstream.requests


@CALLERS
@pytest.mark.parametrize("credential", [Credential(env_var="TEAM_TOKEN"), Credential(file="./team//key")])
async def test_mapped_key_is_sent_below_its_endpoint(
    tmp_path: Path, upstream: ScriptedUpstream, caller: Any, credential: Credential
) -> None:
    mapped = f"TEAM_TOKEN={upstream.url}/team/v1,file:team/key={upstream.url}/team/v1"
    async with model_service(tmp_path, upstream, **settings(tmp_path, MODELS_CREDENTIALS=mapped)) as service:
        for name, path in (("at", "/team/v1"), ("below", "/team/v1/deeper")):
            endpoint = upstream.url + path
            request = registration(
                upstream, name, credential=credential, endpoint=endpoint, health_check=f"{path}/health"
            )
            model = await service.stub.RegisterModel(request, metadata=caller)
            assert model.model.status == "healthy"
            await service.stub.Chat(chat_request(name), metadata=caller)
    assert set(keys(upstream.requests).values()) == {f"Bearer {KEY}"}


ELSEWHERE = [
    "{url}/other/v1",
    "{url}/team",
    "{url}/team/v10",
    "{url}/TEAM/v1",
    "{url}//team/v1",
    "{url}/team/v1/../../other",
    "{url}/team/v1/%2e%2e/%2e%2e/other",
    "{url}/team/v1/..%2f..%2fother",
    "{url}/team/v1/..;/other",
    "{url}",
    "http://127.0.0.2:{port}/team/v1",
    "http://localhost:{port}/team/v1",
    "http://127.0.0.1:1/team/v1",
    "https://127.0.0.1:{port}/team/v1",
    "http://[::ffff:127.0.0.1]:{port}/team/v1",
]


@CALLERS
@pytest.mark.parametrize("credential", [Credential(env_var="TEAM_API_KEY"), Credential(file="team/key")])
async def test_mapped_key_goes_nowhere_else_whoever_asks(
    tmp_path: Path, upstream: ScriptedUpstream, caller: Any, credential: Credential
) -> None:
    mapped = f"TEAM_API_KEY={upstream.url}/team/v1,file:team/key={upstream.url}/team/v1"
    async with model_service(tmp_path, upstream, **settings(tmp_path, MODELS_CREDENTIALS=mapped)) as service:
        for url in ELSEWHERE:
            for validate_only in (True, False):
                endpoint = url.format(url=upstream.url, port=upstream.port)
                request = registration(upstream, endpoint=endpoint, credential=credential, validate_only=validate_only)
                failure = await failure_of(service.stub.RegisterModel(request, metadata=caller))
                assert list(failure.fields) == [f"credential.{credential.WhichOneof('source')}"], endpoint
                assert upstream.url not in failure.message
    assert not upstream.requests


@pytest.mark.parametrize("adapter_type", ["openai-compatible", "vllm", "anthropic"])
async def test_probe_sends_a_mapped_key_only_below_its_endpoint(
    tmp_path: Path, upstream: ScriptedUpstream, adapter_type: str
) -> None:
    mapped = f"TEAM_API_KEY={upstream.url}/team/v1"
    checks = ["", "/health", "/other/health", "/team/v1/../../other", "/team/v1/%2e%2e/x"]
    async with model_service(tmp_path, upstream, **settings(tmp_path, MODELS_CREDENTIALS=mapped)) as service:
        for number, health_check in enumerate(checks):
            request = registration(
                upstream,
                f"m{number}",
                adapter_type=adapter_type,
                endpoint=f"{upstream.url}/team/v1",
                health_check=health_check,
                credential=Credential(env_var="TEAM_API_KEY"),
            )
            upstream.requests.clear()
            await service.stub.RegisterModel(request, metadata=STRANGER)
            sent = keys(upstream.requests)
            assert sent, health_check
            for path, key in sent.items():
                below = path.startswith("/team/v1/models")
                assert key.removeprefix("Bearer ") == (KEY if below else ""), path


@pytest.mark.parametrize(("health_check", "code"), [("/health", "AUTH_FAILED"), ("", "MODEL_NOT_SERVED")])
async def test_probe_that_needs_a_key_where_it_may_not_go_says_so(
    tmp_path: Path, upstream: ScriptedUpstream, health_check: str, code: str
) -> None:
    """Unless nobody has chosen that path: then the list of models, which gets the key, is enough."""

    def guarded(request: Received) -> Script:
        return json_answer({"data": []}) if "authorization" in request.headers else answer(b"", status=401)

    upstream.default = guarded
    request = registration(
        upstream,
        adapter_type="vllm",
        endpoint=f"{upstream.url}/team/v1",
        health_check=health_check,
        credential=Credential(env_var="TEAM_API_KEY"),
    )
    mapped = f"TEAM_API_KEY={upstream.url}/team/v1"
    async with model_service(tmp_path, upstream, **settings(tmp_path, MODELS_CREDENTIALS=mapped)) as service:
        response = await service.stub.RegisterModel(request)
    assert [notice.code for notice in response.warnings] == [code]
    assert ("health_check" in response.warnings[0].message) is bool(health_check)


# ------------------------------------------------------------------------------------------------------ at each use


@CALLERS
async def test_key_whose_mapping_was_taken_back_is_sent_no_more(
    tmp_path: Path, upstream: ScriptedUpstream, caller: Any
) -> None:
    """To an operator's registration it then goes as if it had never been mapped, unless it is mapped to another."""
    mapped = f"TEAM_API_KEY={upstream.url}/v1"
    request = registration(upstream, credential=Credential(env_var="TEAM_API_KEY"))
    async with model_service(tmp_path, upstream, **settings(tmp_path, MODELS_CREDENTIALS=mapped)) as service:
        await service.stub.RegisterModel(request, metadata=caller)
    upstream.requests.clear()
    elsewhere = "TEAM_API_KEY=https://elsewhere.invalid/v1"
    for credentials in ("", elsewhere) if caller else (elsewhere,):
        async with model_service(tmp_path, upstream, **settings(tmp_path, MODELS_CREDENTIALS=credentials)) as service:
            for now in ((), STRANGER):
                failure = await failure_of(service.stub.Chat(chat_request("mine"), metadata=now))
                assert failure.code is grpc.StatusCode.FAILED_PRECONDITION
                assert failure.reason == "CREDENTIAL_NOT_ALLOWED"
                assert (failure.metadata["variable"], failure.metadata["model"]) == ("TEAM_API_KEY", "mine")
                assert KEY not in str(failure)
            status = await service.stub.GetModelStatus(GetModelStatusRequest(name="mine"))
            assert (status.status, status.reason) == ("unhealthy", "CREDENTIAL_NOT_ALLOWED")
    assert not upstream.requests


async def test_operators_registration_keeps_its_key_when_strangers_call(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    request = registration(upstream, credential=Credential(env_var="STRIPE_API_KEY"))
    async with model_service(tmp_path, upstream) as service:
        await service.stub.RegisterModel(request)
        await service.stub.Chat(chat_request("mine"), metadata=STRANGER)
    assert set(keys(upstream.requests).values()) == {f"Bearer {KEY}"}


# ---------------------------------------------------------------------------------------------------- vendors' keys

VENDORS = [("openai", "OPENAI_API_KEY", "/tenant/v1"), ("anthropic", "ANTHROPIC_API_KEY", "/tenant/v1")]


@CALLERS
@pytest.mark.parametrize(("adapter_type", "variable", "path"), VENDORS)
async def test_vendors_key_stays_below_its_base_url(
    tmp_path: Path, upstream: ScriptedUpstream, caller: Any, adapter_type: str, variable: str, path: str
) -> None:
    base_urls = {"OPENAI_BASE_URL": f"{upstream.url}/tenant/v1", "ANTHROPIC_BASE_URL": f"{upstream.url}/tenant"}
    async with model_service(tmp_path, upstream, **settings(tmp_path, **base_urls)) as service:
        for endpoint in ("/v1", "/attacker/v1", "/tenant", "/tenant/v1x", "/tenant/v1/../../attacker", ""):
            request = registration(
                upstream,
                adapter_type=adapter_type,
                endpoint=upstream.url + endpoint,
                credential=Credential(env_var=variable),
            )
            failure = await failure_of(service.stub.RegisterModel(request, metadata=caller))
            assert list(failure.fields) == ["credential.env_var"]
    assert not upstream.requests


async def test_vendors_key_is_not_sent_to_a_health_check_beside_its_base_url(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
    request = registration(upstream, adapter_type="openai", credential=Credential(env_var="OPENAI_API_KEY"))
    async with model_service(tmp_path, upstream) as service:
        await service.stub.RegisterModel(request)
        await service.stub.Chat(chat_request("mine"))
    assert keys(upstream.requests) == {"/health": "", "/v1/chat/completions": f"Bearer {OPENAI_KEY}"}


async def test_vendors_key_is_strangers_only_where_it_is_mapped(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
    request = registration(upstream, adapter_type="openai", credential=Credential(env_var="OPENAI_API_KEY"))
    mapped = f"OPENAI_API_KEY={upstream.url}/v1"
    async with model_service(tmp_path, upstream, **settings(tmp_path, MODELS_CREDENTIALS=mapped)) as service:
        await service.stub.RegisterModel(request, metadata=STRANGER)
        assert (await service.stub.Chat(chat_request("mine"), metadata=STRANGER)).text == "Hi."
        request.adapter_type = "anthropic"
        failure = await failure_of(service.stub.RegisterModel(request, metadata=STRANGER))
        assert list(failure.fields) == ["credential.env_var"]
