from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from examples import local_model as example
from genai_platform import local_model as program
from genai_platform.local_model import LocalModel, LocalModelError

pytestmark = pytest.mark.local_model

SCRIPT = str(Path(example.__file__))
QUESTION = {"model": program.MODEL, "messages": [{"role": "user", "content": "Tell me a long story."}]}


@pytest.fixture
def running() -> Iterator[subprocess.Popen[str]]:
    """The program as a person starts it, and its ready line read."""
    process = subprocess.Popen([sys.executable, SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith(program.LISTENING), line
    return line.removeprefix(program.LISTENING).split(",")[0]


def test_answers_on_the_wire_of_openai(local_model: LocalModel) -> None:
    answer = httpx.post(f"{local_model.url}/chat/completions", json={**QUESTION, "max_tokens": 4}, timeout=30)
    assert answer.status_code == 200
    assert answer.json()["model"] == local_model.model
    assert answer.json()["usage"]["completion_tokens"] == 4


def test_answers_on_the_wire_of_anthropic(local_model: LocalModel) -> None:
    answer = httpx.post(f"{local_model.url}/messages", json={**QUESTION, "max_tokens": 4}, timeout=30)
    assert answer.status_code == 200
    assert answer.json()["usage"]["output_tokens"] == 4


def test_lists_the_model_by_its_name(local_model: LocalModel) -> None:
    models = httpx.get(f"{local_model.url}/models").json()["data"]
    assert [model["id"] for model in models] == [local_model.model]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_at_once_while_it_generates(running: subprocess.Popen[str], number: signal.Signals) -> None:
    url = read_url(running)
    with httpx.stream("POST", f"{url}/chat/completions", json={**QUESTION, "stream": True}, timeout=30) as answer:
        assert json.loads(next(answer.iter_lines()).removeprefix("data: "))["object"] == "chat.completion.chunk"
        running.send_signal(number)
        assert running.wait(2) == 0
    assert running.stdout
    assert running.stdout.read() == ""


def test_a_block_that_raises_stops_the_process() -> None:
    local = LocalModel()
    with pytest.raises(RuntimeError), local:
        raise RuntimeError
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{local.url}/models")


def test_does_not_outlive_a_program_that_is_killed() -> None:
    code = "from examples.local_model import LocalModel\nwith LocalModel() as m: print(m.url, flush=True); input()"
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(SCRIPT).parents[1],
    )
    assert parent.stdout
    address = httpx.URL(parent.stdout.readline().strip())
    with socket.create_connection((address.host, address.port or 0), timeout=5) as connection:
        os.kill(parent.pid, signal.SIGKILL)
        parent.communicate()
        # The end of the connection is the end of the process that served it.
        assert connection.recv(1) == b""


def test_a_port_in_use_is_one_line_and_exit_code_78() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([sys.executable, SCRIPT, "--port", str(port)], capture_output=True, text=True, timeout=30)
    assert done.returncode == program.EXIT_CONFIG
    assert done.stdout == ""
    assert "is the port in use?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_packages_are_one_line_and_exit_code_78() -> None:
    """-S leaves out site-packages, where the wheels are."""
    here = {"PYTHONPATH": str(Path(SCRIPT).parents[1])}
    done = subprocess.run([sys.executable, "-S", SCRIPT], env=here, capture_output=True, text=True, timeout=30)
    assert done.returncode == program.EXIT_CONFIG
    assert done.stderr == f"{program.MISSING_PACKAGES}\n"


def test_a_model_that_is_not_ready_in_time_is_an_error() -> None:
    with pytest.raises(LocalModelError, match="was not ready within"), LocalModel(start_seconds=0.01):
        pass
