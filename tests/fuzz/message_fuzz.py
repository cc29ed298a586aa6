"""Mutated messages for every RPC, directly and through the gateway, many at a time, with a heartbeat beside them.

Found are a status that no caller may see, or one without details; a call that nobody answers, or that outlives its
deadline; and what is found of the processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from proto import models_pb2, sessions_pb2
from tests.fuzz.fuzzed_platform import CHANNEL_OPTIONS, MIB, NAMES
from tests.fuzz.fuzzer import BAD_CODES, OWN_CODES, SPARE_SECONDS, Fuzzer, run_fuzzer, tells_key
from tests.fuzz.message_cases import TIMEOUT_SECONDS, MessageCase, MessageCases
from tests.fuzz.report import Report
from tests.fuzz.seeds import Rpc, rpcs, seeds
from tests.support.errors import reason_in

CHANNELS = 4
LARGE_BYTES = MIB
"""From this size on, one call at a time."""
PATIENCE_SECONDS = 45.0
"""When a call counts as never answered."""


class MessageFuzzer(Fuzzer):
    name = "messages"

    async def prepare(self) -> None:
        """Registers, creates and stores what the cases name."""
        await self.close()
        self._channels = {name: _open_channels(self.platform.address(name)) for name in NAMES}
        self._large = asyncio.Lock()
        url = self.platform.upstream.url
        for rpc in rpcs():
            if rpc.method.name in ("RegisterModel", "RegisterPrompt", "CreateSession", "AppendMessages", "PutMemory"):
                for seed in seeds(rpc, url)[4:]:
                    await self._ask(rpc, seed)
        tokens = [
            await self._page_token(rpc, seed)
            for rpc in rpcs()
            if "page_token" in rpc.method.input_type.fields_by_name
            for seed in seeds(rpc, url)
        ]
        self._cases = MessageCases(self.seed, url, sorted({token for token in tokens if token}))

    async def close(self) -> None:
        for channels in getattr(self, "_channels", {}).values():
            for channel in channels:
                await channel.close()

    def make(self, number: int) -> MessageCase:
        return self._cases.case(number)

    async def play(self, case: MessageCase) -> list[str]:
        async with self._large if case.size >= LARGE_BYTES else contextlib.nullcontext():
            return [await self._call(case)]

    async def _call(self, case: MessageCase) -> str:
        """Makes the call, judges its end and says which it was."""
        channel = self._channels[case.target][case.number % CHANNELS]
        call = _start(channel, case, self.request_id(case))
        if case.cancel_after is not None:
            asyncio.get_running_loop().call_later(case.cancel_after, call.cancel)
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await _consume(call, case.rpc)
        except grpc.aio.AioRpcError as error:
            if _is_own(error, case):
                return "ended while it was written to"
            self._judge(case, error, time.monotonic() - began)
            return str(error.code().name)
        except TimeoutError:
            self.find(f"no answer from {case.kind}", case)
            return "no answer"
        except asyncio.CancelledError:
            if case.cancel_after is None:
                raise
            return "CANCELLED"
        finally:
            call.cancel()
        return "OK"

    def _judge(self, case: MessageCase, error: grpc.aio.AioRpcError, seconds: float) -> None:
        code, details, reason = error.code(), error.details() or "", reason_in(error.trailing_metadata())
        hop = "the gateway" if case.target == "gateway" else "the service"
        told = f"{code.name} {reason or details[:60]}"
        if code in BAD_CODES:
            self.find(f"{told} from {case.kind} at {hop}", case, details)
        elif code is grpc.StatusCode.CANCELLED and case.cancel_after is None:
            self.find(f"{case.kind} was cancelled by nobody", case, details)
        elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._judge_time(case, seconds, f"{hop}: {details}")
        elif code not in OWN_CODES and not reason and case.rpc.is_ours:
            self.find(f"{told} without ErrorInfo at {hop}", case, f"{case.kind}: {details}")
        if tells_key(error):
            self.find(f"{case.kind} told a key", case, details)

    def _judge_time(self, case: MessageCase, seconds: float, told: str) -> None:
        if seconds < (case.timeout or TIMEOUT_SECONDS) - SPARE_SECONDS:
            self.find(f"too late long before its deadline of {case.timeout} s", case, told)
        elif seconds >= TIMEOUT_SECONDS:
            self.find(f"more than {TIMEOUT_SECONDS:g} s for {case.kind}", case, told)

    async def _ask(self, rpc: Rpc, request: Message) -> bytes:
        channel = self._channels[rpc.homes[0]][0]
        answer: bytes = await channel.unary_unary(rpc.path)(request.SerializeToString(), timeout=TIMEOUT_SECONDS)
        return answer

    async def _page_token(self, rpc: Rpc, seed: Any) -> str:
        request = type(seed)()
        request.CopyFrom(seed)
        request.page_size, request.page_token = 1, ""
        try:
            answer = await self._ask(rpc, request)
        except grpc.aio.AioRpcError:
            return ""
        module = models_pb2 if rpc.homes == ("models",) else sessions_pb2
        response = getattr(module, rpc.method.output_type.name).FromString(answer)
        return str(response.next_page_token)


def _start(channel: grpc.aio.Channel, case: MessageCase, request_id: str) -> Any:
    options: dict[str, Any] = {"timeout": case.timeout, "metadata": (("x-request-id", request_id),)}
    if case.rpc.method.client_streaming:
        return channel.stream_stream(case.rpc.path)(_each(case.payloads), **options)
    if case.rpc.method.server_streaming:
        return channel.unary_stream(case.rpc.path)(case.payloads[0], **options)
    return channel.unary_unary(case.rpc.path)(case.payloads[0], **options)


def _is_own(error: grpc.aio.AioRpcError, case: MessageCase) -> bool:
    """Whether this client says so itself, because a call has ended while it still writes."""
    return case.rpc.method.client_streaming and error.details() == "Internal error from Core"


async def _each(payloads: list[bytes]) -> AsyncIterator[bytes]:
    for payload in payloads:
        yield payload


async def _consume(call: Any, rpc: Rpc) -> None:
    if not rpc.method.server_streaming:
        await call
        return
    async for _ in call:
        pass


def _open_channels(address: str) -> list[grpc.aio.Channel]:
    return [grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) for _ in range(CHANNELS)]


def main(
    count: int, seed: int, *, seconds: float = float("inf"), only: int | None = None, folder: Path | None = None
) -> Report:
    return run_fuzzer(MessageFuzzer, count, seed, seconds, only, folder)
