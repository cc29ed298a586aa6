"""Raw HTTP/2 at all three ports, with what no client library would send, many connections at a time.

A server may refuse, reset and close as it likes. Found are a call that is whole and never answered; a status that no
caller may see; connections that stay open; and what is found of the processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import struct
import time
from pathlib import Path

from tests.fuzz.fuzzed_platform import NAMES
from tests.fuzz.fuzzer import Fuzzer, run_fuzzer
from tests.fuzz.h2_cases import H2Case, h2_case
from tests.fuzz.report import Report
from tests.support.http2 import Answers, Ended

ANSWER_SECONDS = 6.0
"""A call's timeout is two seconds at most, unless it sets none, and then it is answered at once."""
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 10.0
"""By when a port that refused must serve again. It is to be within one second; this machine may have other work."""
CLOSING_SECONDS = 10.0
SPARE_DESCRIPTORS = 20

BAD_STATUSES = {"status 2": "UNKNOWN", "status 13": "INTERNAL", "status 15": "DATA_LOSS"}

SAID_BY_GRPC = re.compile(
    r"Error parsing '.*' metadata|Illegal header (key|value)|Duplicate '.*' header|Metadata keys cannot be zero length"
    r"|Compression bit set but no encoding configured|Decompression failed",
    re.DOTALL,
)
"""What grpc's own transport answers to header fields and packed messages that it cannot read: no handler is asked."""


class H2Fuzzer(Fuzzer):
    name = "frames"
    batch = 500

    async def prepare(self) -> None:
        self._gone: set[str] = set()
        self._longest_refusal = 0.0
        self._descriptors = {name: _descriptors(self.platform.pid(name)) for name in NAMES}

    def make(self, number: int) -> H2Case:
        return h2_case(self.seed, number)

    async def finish(self) -> None:
        """Looks whether the processes have closed what was closed at this end."""
        self.report.facts["longest time without a port"] = f"{self._longest_refusal:.2f} s"
        end = time.monotonic() + CLOSING_SECONDS
        while open_ones := self._left_open():
            if time.monotonic() > end:
                self.report.find("connections stay open", str(open_ones))
                return
            await asyncio.sleep(0.1)

    def _left_open(self) -> dict[str, int]:
        more = {name: _descriptors(self.platform.pid(name)) - before for name, before in self._descriptors.items()}
        return {name: count for name, count in more.items() if count > SPARE_DESCRIPTORS}

    async def play(self, case: H2Case) -> list[str]:
        connected = await self._connect(case)
        if connected is None:
            return ["refused"]
        reader, writer = connected
        answers = Answers(reader, writer)
        try:
            await _write(writer, case)
            if not case.expected:
                await answers.drain(LOOK_SECONDS)
            elif not await answers.read(case.expected, ANSWER_SECONDS):
                self.find(f"no answer to: {case.kind}", case)
        except ConnectionError:
            answers.closed = True
        finally:
            _end(writer, resets=case.resets)
        if not case.expected:
            return ["closed by the server" if answers.closed else "left"]
        closed = Ended("closed" if answers.closed else "no answer")
        return [self._judge(case, answers.ended.get(stream, closed)) for stream in case.expected]

    def _judge(self, case: H2Case, ended: Ended) -> str:
        if ended.how not in BAD_STATUSES:
            return ended.how
        if SAID_BY_GRPC.match(ended.message):
            return f"{ended.how} by grpc itself"
        self.find(f"{BAD_STATUSES[ended.how]} {ended.message[:60]!r} to: {case.kind}", case, ended.message)
        return ended.how

    async def _connect(self, case: H2Case) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        if case.target in self._gone:
            return None
        began = time.monotonic()
        while True:
            try:
                connected = await asyncio.open_connection("127.0.0.1", self.platform.port(case.target), limit=1 << 20)
            except OSError:
                if self.platform.dead() or time.monotonic() - began > PATIENCE_SECONDS:
                    self._gone.add(case.target)
                    return None
                await asyncio.sleep(0.02)
                self._longest_refusal = max(self._longest_refusal, time.monotonic() - began)
                continue
            return connected


async def _write(writer: asyncio.StreamWriter, case: H2Case) -> None:
    for data in case.writes:
        if writer.is_closing():
            return
        writer.write(data)
        if case.pause:
            await asyncio.sleep(case.pause)


def _end(writer: asyncio.StreamWriter, *, resets: bool) -> None:
    peer: socket.socket = writer.get_extra_info("socket")
    if resets and peer.fileno() != -1:
        # Lingering for zero seconds is what turns a close into an RST.
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def main(
    count: int, seed: int, *, seconds: float = float("inf"), only: int | None = None, folder: Path | None = None
) -> Report:
    return run_fuzzer(H2Fuzzer, count, seed, seconds, only, folder)
