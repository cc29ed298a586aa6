"""The HTTP port of real processes: keys as everywhere, through the gateway's relay as directly, and a stop that lets
answers finish."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from click.testing import CliRunner

from genai_platform import GenAIPlatform
from genai_platform.cli import commands
from tests.e2e.test_platform import Upstream, first_success, wait_for_health
from tests.rows import for_each
from tests.scripted_upstream import json_answer
from tests.support.processes import Platform, running, running_platform

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}], "max_tokens": 9}


class Fronts(NamedTuple):
    """The platform, and where it is over HTTP: at the Model Service, and at the gateway."""

    platform: Platform
    directory: Path
    urls: tuple[str, str]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Fronts]:
    directory, models, gateway = tmp_path_factory.mktemp("platform"), free_port(), free_port()
    settings = {
        "AUTH_MODE": "required",
        "OPENAI_API_KEY": "sk-e2e",
        "OPENAI_BASE_URL": f"{upstream.url}/v1",
        "MODELS_HTTP_PORT": str(models),
        "GATEWAY_HTTP_PORT": str(gateway),
        "MODELS_HTTP_ADDRESS": f"127.0.0.1:{models}",
    }
    with running_platform(directory, **settings) as platform:
        wait_for_health(platform.address, "")
        yield Fronts(platform, directory, (f"http://127.0.0.1:{models}", f"http://127.0.0.1:{gateway}"))


def genai(fronts: Fronts, *words: str) -> str:
    variables = {"GENAI_DATA_DIR": str(fronts.directory / "data"), "AUTH_MODE": "required"}
    made = CliRunner().invoke(commands.genai, list(words), env=variables)
    assert made.exit_code == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture
def key(fronts: Fronts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / ".env").touch()
    monkeypatch.chdir(tmp_path)
    key = genai(fronts, "keys", "create", "--admin", "-q")
    with GenAIPlatform(fronts.platform.address, api_key=key) as client:
        first_success(client.models.list_models, 5)
    deadline = time.monotonic() + 10
    while any(get(url, key).status_code != 200 for url in fronts.urls):
        assert time.monotonic() < deadline, "the Model Service does not know the key"
    return key


def get(url: str, key: str) -> httpx.Response:
    return httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {key}"}, trust_env=False)


def test_key_is_taken_as_each_sdk_sends_it(fronts: Fronts, key: str) -> None:
    for url in fronts.urls:
        for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}, {"api-key": key}):
            answer = httpx.post(url + CHAT, json=BODY, headers=headers, trust_env=False)
            assert answer.json()["choices"][0]["message"]["content"] == "pong", answer.text
    line = next(
        line for line in fronts.platform.services["models"].entries() if line.get("method") == "http/chat_completions"
    )
    assert (line["key_id"], line["project"], line["code"]) == (key[3:15], "default", "OK")
    logs = "".join(service.log() for service in fronts.platform.services.values())
    assert key[16:] not in logs


@for_each(
    ("path", "headers"),
    [
        (CHAT, {}),
        (CHAT, {"authorization": "Bearer sk-wrong"}),
        (MESSAGES, {"x-api-key": "gk_000000000000_" + "0" * 49}),
        ("/v1/messages/count_tokens", {}),
        ("/v1/responses", {}),
        ("/v1/embeddings", {}),
    ],
    ids=str,
)
def test_nobody_asks_without_a_key(
    fronts: Fronts, upstream: Upstream, key: str, path: str, headers: dict[str, str]
) -> None:
    for url in fronts.urls:
        answer = httpx.post(url + path, json=BODY, headers=headers, trust_env=False)
        assert answer.status_code == 401, answer.text
        assert answer.headers["x-should-retry"] == "false"
        kind = "authentication_error" if "messages" in path else "invalid_request_error"
        assert answer.json()["error"]["type"] == kind


def test_models_are_listed_to_those_with_a_key_only(fronts: Fronts, key: str) -> None:
    for url in fronts.urls:
        assert get(url, key).status_code == 200
        assert get(url, "wrong").status_code == 401
        assert httpx.head(url, trust_env=False).status_code == 200


def test_stop_lets_an_answer_finish_and_takes_no_new_one(tmp_path: Path, upstream: Upstream) -> None:
    port = free_port()
    settings = {"OPENAI_API_KEY": "sk-e2e", "OPENAI_BASE_URL": f"{upstream.url}/v1", "MODELS_HTTP_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    with running("models", tmp_path, **settings) as service:
        assert f"{url} for HTTP" in service.line
        gate, asked = upstream.gate(), json.dumps(BODY)
        message = {"role": "assistant", "content": "late"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        upstream.server.play(json_answer({"choices": choices}, before=[gate]))
        count = len(upstream.server.requests) + 1
        with socket.create_connection(("127.0.0.1", port)) as client:
            head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            client.sendall(f"{head}content-length: {len(asked)}\r\n\r\n{asked}".encode())
            upstream.do(upstream.server.received(count))
            service.send(signal.SIGTERM)
            deadline = time.monotonic() + 10
            while _accepts(port) and time.monotonic() < deadline:
                threading.Event().wait(0.01)
            upstream.loop.call_soon_threadsafe(gate.set)
            answer = b""
            while data := client.recv(65536):
                answer += data
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
        assert service.wait() == 0


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
