"""The three processes with AUTH_MODE=required: who gets through the gateway, and who gets past it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from genai_platform import ChatMessage, ChatRequest, CreateSessionRequest, GenAIError, GenAIPlatform, Unauthenticated
from genai_platform.cli import commands
from genai_platform.cli.backup import copy_sqlite
from tests.e2e.test_platform import Upstream, first_success, wait_for_health
from tests.support.processes import Platform, Service, running, running_platform


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Platform]:
    """All three services, which find the key of their signatures in their data directory."""
    settings = {"AUTH_MODE": "required", "OPENAI_API_KEY": "sk-e2e", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
    with running_platform(tmp_path_factory.mktemp("platform"), **settings) as platform:
        wait_for_health(platform.address, "")
        yield platform


@pytest.fixture
def key(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An admin's key, made beside the running gateway."""
    (tmp_path / ".env").touch()
    monkeypatch.chdir(tmp_path)
    variables = {"GENAI_DATA_DIR": str(platform._directory / "data"), "AUTH_MODE": "required"}
    made = CliRunner().invoke(commands.genai, ["keys", "create", "--admin", "-q"], env=variables)
    assert made.exit_code == 0, made.stderr
    key = made.stdout.strip()
    with GenAIPlatform(platform.address, api_key=key) as client:
        first_success(client.models.list_models, 5)
    return key


def test_chat_in_a_session_passes_from_the_gateway_to_the_last_service(platform: Platform, key: str) -> None:
    with GenAIPlatform(platform.address, api_key=key) as client:
        session = client.sessions.create_session(CreateSessionRequest())
        ping = [ChatMessage(role="user", content="ping")]
        request = ChatRequest(model="gpt-4o", messages=ping, session_id=session.session_id)
        assert client.models.chat(request).text == "pong"
    turn = logged(platform.services["sessions"], "TurnService/BeginTurn")
    assert (turn["key_id"], turn["project"], turn["code"]) == (key[3:15], "default", "OK")
    logs = "".join(service.log() for service in platform.services.values())
    assert key[16:] not in logs


def logged(service: Service, method: str) -> dict[str, object]:
    """The line of the first call of a method, as soon as the log has it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for entry in service.entries():
            if entry.get("method") == method:
                return entry
    raise AssertionError(f"{method} was not called: {service.log()}")


def test_services_with_other_keys_refuse_the_gateway(platform: Platform, key: str, tmp_path: Path) -> None:
    addresses = {f"{name.upper()}_ADDRESS": platform.services[name].address for name in ("models", "sessions")}
    copy_sqlite(platform._directory / "data" / "access.db", tmp_path / "access.db")
    settings = {
        "AUTH_MODE": "required",
        "GENAI_INTERNAL_KEYS": "o" * 32,
        "ACCESS_DATABASE_URL": f"sqlite:///{tmp_path / 'access.db'}",
    }
    with running("gateway", tmp_path, **settings, **addresses) as gateway:
        wait_for_health(gateway.address, "")
        with GenAIPlatform(gateway.address, api_key=key) as client, pytest.raises(GenAIError) as refused:
            client.models.list_models()
    assert (refused.value.reason, isinstance(refused.value, Unauthenticated)) == ("IDENTITY_INVALID", True)


def test_key_is_stored_by_its_hash_alone(platform: Platform, key: str) -> None:
    with sqlite3.connect(platform._directory / "data" / "access.db") as database:
        stored = "\n".join(database.iterdump())
    assert key[3:15] in stored
    assert key[16:] not in stored
