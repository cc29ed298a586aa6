"""Session Service, Model Service and Gateway as processes of their own, for the length of a `with` block.

They listen on free ports and keep their data in a temporary directory, so that they get in nobody's way and leave
nothing behind. Starting them by hand, as the README shows, is the way for everything that should last.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 10.0

LISTENING = re.compile(r"listening on (\S+?),? ")
SERVING = health_pb2.HealthCheckResponse.SERVING


TLS_VARIABLES = ("GENAI_TLS_CERT_FILE", "GENAI_TLS_KEY_FILE", "GENAI_TLS_CLIENT_CA_FILE")


class ServicesError(Exception):
    """The services cannot be started. The message says why."""


@contextmanager
def local_services() -> Iterator[str]:
    """Starts the three services, waits until the gateway says that all of them serve, and yields its address.

    Raises ServicesError when one does not start. All of them are stopped when the block ends, however it ends.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="genai-platform-")))
        environment = {**os.environ, "GENAI_DATA_DIR": str(directory), "GENAI_HOST": "127.0.0.1"}
        for name in ("SESSIONS_DATABASE_URL", "MODELS_DATABASE_URL", *TLS_VARIABLES):
            environment[name] = ""
        for name in ("sessions", "models", "gateway"):
            environment[f"{name.upper()}_PORT"] = "0"
            # The port for HTTP has no use here, and may be that of services that run already.
            environment[f"{name.upper()}_HTTP_PORT"] = "0"
            line = stack.enter_context(_running(name, environment, directory / f"{name}.log"))
            print(f"  {line}")
            environment[f"{name.upper()}_ADDRESS"] = address = _address(line)
        wait_until_serving(address, START_SECONDS)
        yield address


@contextmanager
def _running(name: str, environment: dict[str, str], log_path: Path) -> Iterator[str]:
    """Runs one service and yields the line with which it says where it listens."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, f"services/{name}/main.py"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # Ctrl-C is for this program, which then stops the services in their order.
            process_group=0,
        )
    try:
        assert process.stdout
        readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        line = process.stdout.readline().strip() if readable else ""
        if not LISTENING.search(line + " "):
            raise ServicesError(f"the {name} service did not start: {_last_line(log_path) or 'it said nothing'}")
        yield line
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdout:
            process.stdout.close()


def _address(line: str) -> str:
    match = LISTENING.search(line + " ")
    assert match
    return match.group(1)


def _last_line(log_path: Path) -> str:
    lines = log_path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def wait_until_serving(address: str, seconds: float) -> None:
    """Waits until the health service at `address` says that everything behind it serves. Raises ServicesError."""
    deadline = time.monotonic() + seconds
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            watch = stub.Watch(
                health_pb2.HealthCheckRequest(), timeout=max(0.001, deadline - time.monotonic()), wait_for_ready=True
            )
            for answer in watch:
                if answer.status == SERVING:
                    watch.cancel()
                    return
        except grpc.RpcError:
            pass
    raise ServicesError(f"the services behind {address} were not ready within {seconds:g} s")


def is_serving(address: str) -> bool:
    """Whether a platform already serves at `address`."""
    try:
        wait_until_serving(address, 1.0)
    except ServicesError:
        return False
    return True


def stop_like_ctrl_c_on_sigterm() -> None:
    """Makes SIGTERM unwind the program as Ctrl-C does, so that everything it started is stopped."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
