"""A program that calls the health of processes every 10 ms and prints each call that was late or failed, as JSON.

    python -m tests.fuzz.heartbeat models=127.0.0.1:50053=4711 …

It runs beside the fuzzer, so that what it measures is the processes and not the fuzzer. At the end of its standard
input it prints what was the longest of all and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PAUSE_SECONDS = 0.01
LATE_SECONDS = 0.1
PATIENCE_SECONDS = 10.0

OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
]


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used; 0 when it cannot be known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Heart:
    """Beats at one process."""

    def __init__(self, name: str, address: str, pid: int) -> None:
        self._name = name
        self._pid = pid
        self._check = health_pb2_grpc.HealthStub(grpc.insecure_channel(address, options=OPTIONS)).Check
        self.beats = 0
        self.longest = 0.0

    def beat(self) -> None:
        cpu, began = cpu_seconds(self._pid), time.monotonic()
        try:
            self._check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            tell(service=self._name, began=began, failed=error.code().name, detail=error.details())
            return
        seconds = time.monotonic() - began
        self.beats += 1
        self.longest = max(self.longest, seconds)
        if seconds > LATE_SECONDS:
            tell(service=self._name, began=began, seconds=seconds, cpu=cpu_seconds(self._pid) - cpu)

    def run(self, stopped: threading.Event) -> None:
        while not stopped.wait(PAUSE_SECONDS):
            self.beat()


def tell(**facts: Any) -> None:
    # In one write, because there are several threads. Whoever listened may have been killed.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


def main() -> None:
    hearts = [Heart(name, address, int(pid)) for name, address, pid in (told.split("=") for told in sys.argv[1:])]
    stopped = threading.Event()
    threads = [threading.Thread(target=heart.run, args=(stopped,), daemon=True) for heart in hearts]
    for thread in threads:
        thread.start()
    tell(ready=True)
    sys.stdin.read()
    stopped.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS + 1)
    tell(longest={told.split("=")[0]: heart.longest for told, heart in zip(sys.argv[1:], hearts, strict=True)})


if __name__ == "__main__":
    main()
