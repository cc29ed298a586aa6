"""`genai serve` in real processes, stopped by real signals."""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genai_platform import GenAIError, GenAIPlatform, Unauthenticated
from genai_platform.local_model import MISSING_PACKAGES, MODEL
from tests.e2e.test_platform import first_success
from tests.support.certificates import Authority
from tests.support.processes import EXIT_CONFIG, Process, environment, running

GENAI = ("-c", "from genai_platform.cli import main; main()")
LEFT_SECONDS = 5.0
NEWS_SECONDS = 5.0
FAILED = 1


class Serve:
    """`genai serve` in a directory, on free ports, with a mark by which its processes are found."""

    def __init__(self, directory: Path) -> None:
        self._mark = uuid.uuid4().hex
        self._directory = directory
        self.process: Process | None = None

    def start(self, *arguments: str, **variables: str) -> Process:
        ports = {"SESSIONS_PORT": "0", "MODELS_PORT": "0", "GATEWAY_PORT": "0"}
        settings = ports | {"GENAI_DATA_DIR": str(self._directory / "data"), "MODELS_DISCOVERY": "off"} | variables
        self.log_path = self._directory / "serve.log"
        self.variables = environment(**settings, MARK=self._mark)
        self.process = Process.spawn(
            [*GENAI, "serve", *arguments], self.variables, self.log_path, directory=self._directory
        )
        return self.process

    def started(self, **variables: str) -> dict[str, str]:
        """Starts it and returns where the services listen, in the order of their lines."""
        process = self.start(**variables)
        lines = [process.read_line() for _ in range(3)]
        return {line.partition(":")[0]: line.partition("listening on ")[2].split(",")[0] for line in lines}

    def pids(self) -> dict[str, int]:
        """The processes that were started and live, by their last argument."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self._mark.encode() in path.read_bytes():
                    name = (path.parent / "cmdline").read_text().split("\0")[-2]
                    found[name.removeprefix("services.").removesuffix(".main")] = int(path.parent.name)
            except (OSError, IndexError):
                continue
        return found

    def assert_nothing_left(self) -> None:
        deadline = time.monotonic() + LEFT_SECONDS
        while left := self.pids():
            assert time.monotonic() < deadline, left
            time.sleep(0.02)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    (tmp_path / ".env").touch()
    serve = Serve(tmp_path)
    yield serve
    if serve.process:
        serve.process.close()


def test_all_services_serve_until_ctrl_c_stops_them(serve: Serve) -> None:
    addresses = serve.started()
    assert list(addresses) == ["sessions", "models", "gateway"]
    with GenAIPlatform(addresses["gateway"]) as platform:
        assert platform.models.list_models().models
        assert platform.sessions.create_session(user_id="me").session_id
    assert serve.process
    assert {os.getpgid(pid) for pid in serve.pids().values()} == {serve.process.pid}
    # As a terminal does it: to the whole group.
    os.killpg(serve.process.pid, signal.SIGINT)
    assert serve.process.wait() == 0, serve.process.log()
    serve.assert_nothing_left()
    # A normal start and a normal stop warn of nothing.
    assert {entry["level"] for entry in serve.process.entries()} == {"info"}


def test_callers_are_asked_for_keys_until_sigterm(serve: Serve) -> None:
    addresses = serve.started(AUTH_MODE="required")
    made = Process.spawn([*GENAI, "keys", "create", "--admin", "--quiet"], serve.variables, serve.log_path)
    key = made.read_line().strip()
    assert made.wait() == 0
    made.close()
    assert serve.process
    with GenAIPlatform(addresses["gateway"]) as platform, pytest.raises(Unauthenticated):
        platform.models.list_models()
    with GenAIPlatform(addresses["gateway"], api_key=key) as platform:
        first_success(platform.models.list_models, NEWS_SECONDS)
        assert platform.sessions.create_session(user_id="me").session_id
    serve.process.send(signal.SIGTERM)
    assert serve.process.wait() == 0, serve.process.log()
    serve.assert_nothing_left()


def test_all_ports_speak_tls_until_the_terminal_is_closed(serve: Serve, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue_files("DNS:localhost", "IP:127.0.0.1")
    settings = {
        "GENAI_TLS_CERT_FILE": str(files.certificate),
        "GENAI_TLS_KEY_FILE": str(files.key),
        "GENAI_TLS_CA_FILE": str(authority.path),
    }
    addresses = serve.started(**settings)
    with GenAIPlatform(f"https://{addresses['gateway']}", ca_file=authority.path) as platform:
        # The health of ports that may ask for certificates is not waited for.
        first_success(platform.models.list_models, LEFT_SECONDS)
        first_success(lambda: platform.sessions.create_session(user_id="me"), LEFT_SECONDS)
    assert serve.process
    serve.process.send(signal.SIGHUP)
    assert serve.process.wait() == 0, serve.process.log()
    serve.assert_nothing_left()


def test_killed_command_leaves_nothing_behind(serve: Serve) -> None:
    serve.started()
    assert len(serve.pids()) == 4
    assert serve.process
    serve.process.kill()
    serve.assert_nothing_left()


def test_service_that_dies_is_told_and_stops_the_others(serve: Serve) -> None:
    serve.started()
    assert serve.process
    os.kill(serve.pids()["models"], signal.SIGKILL)
    assert serve.process.wait() == FAILED
    assert "the Model Service has ended (SIGKILL); the others are stopped" in serve.process.log()
    serve.assert_nothing_left()


def test_second_ctrl_c_cancels_what_still_runs(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as provider, ThreadPoolExecutor() as threads:
        settings = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"http://127.0.0.1:{provider.getsockname()[1]}/v1"}
        addresses = serve.started(**settings)
        assert serve.process
        with GenAIPlatform(addresses["gateway"]) as platform:
            chat = threads.submit(platform.models.chat, "Hello", model="gpt-4o")
            provider.settimeout(LEFT_SECONDS)
            connection, _ = provider.accept()
            with connection:
                serve.process.send(signal.SIGINT)
                while "running calls may finish" not in serve.process.log():
                    time.sleep(0.02)
                assert not chat.done()
                serve.process.send(signal.SIGINT)
                with pytest.raises(GenAIError):
                    chat.result(LEFT_SECONDS)
                assert serve.process.wait() == 0, serve.process.log()
    serve.assert_nothing_left()


def test_port_in_use_is_told_with_what_to_do(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = serve.start(MODELS_PORT=port)
        assert process.wait() == EXIT_CONFIG
    assert f"cannot listen on 127.0.0.1:{port}" in process.log()
    assert "the Model Service did not start (exit code 78)" in process.log()
    assert "set MODELS_PORT" in process.log()
    assert "Traceback" not in process.log()
    serve.assert_nothing_left()


def test_second_copy_does_not_call_the_services_of_the_first(serve: Serve) -> None:
    addresses = {"SESSIONS_ADDRESS": "127.0.0.1:1", "MODELS_ADDRESS": "127.0.0.1:2"}
    process = serve.start(**addresses)
    lines = [process.read_line() for _ in range(3)]
    assert not any(address in lines[2] for address in addresses.values())


@pytest.mark.local_model
@pytest.mark.usefixtures("local_model_wheels")
def test_local_model_comes_along_and_leaves_with_the_services(serve: Serve, tmp_path: Path) -> None:
    process = serve.start("--local-model")
    lines = [process.read_line() for _ in range(4)]
    assert [line.partition(":")[0] for line in lines] == ["local model", "sessions", "models", "gateway"]
    gateway = lines[-1].partition("listening on ")[2].split(",")[0]
    deadline = time.monotonic() + LEFT_SECONDS
    while "all services serve" not in process.log():
        assert time.monotonic() < deadline, process.log()
        time.sleep(0.02)
    with GenAIPlatform(gateway) as platform:
        answer = platform.models.chat("Hello", model=MODEL, max_tokens=4)
        assert answer.usage.completion_tokens == 4
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 0, process.log()
    serve.assert_nothing_left()
    with (
        running("models", tmp_path, GENAI_DATA_DIR=str(tmp_path / "data")) as models,
        GenAIPlatform(models.address) as platform,
    ):
        assert MODEL not in {model.name for model in platform.models.list_registered_models().models}


@pytest.mark.local_model
@pytest.mark.usefixtures("local_model_wheels")
def test_local_model_ends_with_a_killed_command(serve: Serve) -> None:
    process = serve.start("--local-model")
    lines = [process.read_line() for _ in range(2)]
    assert [line.partition(":")[0] for line in lines] == ["local model", "sessions"]
    process.kill()
    serve.assert_nothing_left()


def test_local_model_that_is_not_installed_is_told_with_what_to_install(tmp_path: Path) -> None:
    hidden = f"import sys; sys.modules['xllamacpp'] = None; {GENAI[1]}"
    process = Process.spawn(["-c", hidden, "serve", "--local-model"], environment(), tmp_path / "serve.log")
    try:
        assert process.wait() == EXIT_CONFIG
    finally:
        process.close()
    assert process.log() == f"genai: {MISSING_PACKAGES}\n"
