"""Real chats through real processes, to an upstream that plays mutated answers.

Found are a call that ends in UNKNOWN, or in INTERNAL that is not the upstream's; an OK for an answer that had no end; a
call that outlives its deadline; words of the upstream in an error; and what is found of the processes.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from docs.feature_requests import FIND
from proto import models_pb2, models_pb2_grpc
from tests.fuzz.fuzzed_platform import CHANNEL_OPTIONS
from tests.fuzz.fuzzer import BAD_CODES, OWN_CODES, SPARE_SECONDS, Fuzzer, run_fuzzer, tells_key
from tests.fuzz.http_answers import Answer, make_answer, make_list
from tests.fuzz.json_mutations import SECRET
from tests.fuzz.report import Report
from tests.fuzz.seeds import ADAPTER_TYPES, registered_name
from tests.fuzz.spoken import MODEL, spoken_path
from tests.fuzz.upstream import Last, Request, Step, answer_well
from tests.support.errors import reason_in

UNTOLD_CODES = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNAVAILABLE,
    }
)

TIMEOUT_SECONDS = 2.0
KEPT = 5000
"""How many answers are remembered, for what is found of them."""
VERBS = ("Chat", "Chat", "ChatStream", "ChatStream", "ChatStream", "RegisterModel")

# Each dialect through each kind of target.
MODELS = (
    "gpt-4o",
    "claude-opus-5",
    "claude-3-5-haiku-20241022",
    *map(registered_name, ADAPTER_TYPES),
)
RESPONSES_MODEL = "gpt-5.1"

_CASE = re.compile(rb"case-(\d+)-")


class UpstreamCase(NamedTuple):
    """One call, whose answer is made when it is asked for: the path says in which dialect."""

    number: int
    target: str
    verb: str
    model: str
    timeout: float = TIMEOUT_SECONDS

    @property
    def kind(self) -> str:
        return f"{self.verb} {self.model}"

    @property
    def size(self) -> int:
        return 0

    def describe(self, seed: int) -> str:
        return "\n".join(
            [
                f"python -m tests.fuzz upstreams --seed {seed} --only {self.number}",
                f"{self.verb} of {self.model} at the {self.target}",
            ]
        )


class UpstreamFuzzer(Fuzzer):
    name = "upstreams"

    async def prepare(self) -> None:
        await self.close()
        self._channels = {
            name: grpc.aio.insecure_channel(self.platform.address(name), options=CHANNEL_OPTIONS)
            for name in ("gateway", "models")
        }
        self._stubs = {name: models_pb2_grpc.ModelServiceStub(channel) for name, channel in self._channels.items()}
        self._played: dict[int, Answer] = {}
        self.platform.upstream.play = answer_well
        for adapter_type in ADAPTER_TYPES:
            registration = self._registration(registered_name(adapter_type), adapter_type, "")
            await self._stubs["models"].RegisterModel(registration, timeout=20)
        self.platform.upstream.play = self._play_case

    async def close(self) -> None:
        for channel in getattr(self, "_channels", {}).values():
            await channel.close()

    def make(self, number: int) -> UpstreamCase:
        rng = random.Random(f"{self.seed}:{number}")
        verb = rng.choice(VERBS)
        model = RESPONSES_MODEL if rng.random() < 0.25 else rng.choice(MODELS)
        return UpstreamCase(number, rng.choice(("gateway", "models")), verb, model)

    async def play(self, case: UpstreamCase) -> list[str]:
        try:
            async with asyncio.timeout(case.timeout + 10 * SPARE_SECONDS):
                await self._ask(case)
            outcome = "OK"
            self._judge_ok(case)
        except grpc.aio.AioRpcError as error:
            outcome = f"{error.code().name} {reason_in(error.trailing_metadata())}"
            self._judge(case, error)
        except TimeoutError:
            outcome = "no answer"
            self.find(f"no answer from {case.verb}", case)
        return [outcome]

    async def _ask(self, case: UpstreamCase) -> None:
        stub = self._stubs[case.target]
        options: dict[str, Any] = {"timeout": case.timeout, "metadata": (("x-request-id", self.request_id(case)),)}
        if case.verb == "RegisterModel":
            adapter_type = ADAPTER_TYPES[case.number % len(ADAPTER_TYPES)]
            request = self._registration("fuzz-checked", adapter_type, f"/case-{case.number}-")
            request.validate_only = True
            await stub.RegisterModel(request, **options)
        elif case.verb == "Chat":
            await stub.Chat(_chat(case), **options)
        else:
            async for _ in stub.ChatStream(_chat(case), **options):
                pass

    def _registration(self, name: str, adapter_type: str, path: str) -> models_pb2.RegisterModelRequest:
        return models_pb2.RegisterModelRequest(
            name=name,
            endpoint=f"{self.platform.upstream.url}{path}/v1",
            adapter_type=adapter_type,
            upstream_model=MODEL,
        )

    def _play_case(self, request: Request) -> Sequence[Step]:
        """What is answered to a request of a case: always the same, also when it is sent once more."""
        found = _CASE.search(request.path.encode()) or _CASE.search(request.body)
        if not found:
            return answer_well(request)
        number = int(found[1])
        rng = random.Random(f"{self.seed}:{number}:answer")
        path = spoken_path(request.path)
        answer = make_answer(rng, path, streams=request.streams) if path else make_list(rng)
        self._played[number] = answer
        self._played.pop(number - KEPT, None)
        return answer.steps

    def _refuses(self, case: UpstreamCase) -> bool:
        """Whether the provider says by 408 that the request took too long: the one refusal with a code of failures."""
        played = self._played.get(case.number)
        told = b"".join(step for step in played.steps if isinstance(step, bytes)) if played else b""
        return told.startswith((b"HTTP/1.1 408", b"HTTP/1.0 408"))

    def _judge_ok(self, case: UpstreamCase) -> None:
        played = self._played.get(case.number)
        if case.verb != "RegisterModel" and (played is None or not played.has_end):
            self.find(f"OK from {case.verb} for an answer without its end", case)

    def _judge(self, case: UpstreamCase, error: grpc.aio.AioRpcError) -> None:
        code, reason, details = error.code(), reason_in(error.trailing_metadata()), error.details() or ""
        if code in BAD_CODES and reason != "UPSTREAM_PROTOCOL_ERROR":
            self.find(f"{code.name} {reason or details[:60]} from {case.kind}", case)
        elif code not in OWN_CODES and not reason:
            self.find(f"{code.name} {details[:60]} without ErrorInfo", case)
        # What a provider says of a request that it refuses is the caller's to know; of its own failures nothing is.
        if code in UNTOLD_CODES and SECRET in f"{details} {error.trailing_metadata()}" and not self._refuses(case):
            self.find(f"{case.verb} repeated the upstream's words", case)
        if tells_key(error):
            self.find(f"{case.verb} told a key", case)

    def find(self, cause: str, case: Any, told: str = "") -> None:
        played = self._played.get(case.number)
        super().find(cause, case, f"{told}\n{_describe(played)}" if played else told)


def _chat(case: UpstreamCase) -> models_pb2.ChatRequest:
    request = models_pb2.ChatRequest(
        model=case.model,
        messages=[models_pb2.ChatMessage(role="user", content=f"case-{case.number}-")],
        tools=[FIND] if case.number % 2 else [],
    )
    if case.model == RESPONSES_MODEL:
        # Only Responses shows it.
        request.reasoning.include_text = True
    return request


def _describe(answer: Answer) -> str:
    data = b"".join(step for step in answer.steps if isinstance(step, bytes))
    last = next((step.name for step in answer.steps if isinstance(step, Last)), "kept open")
    lines = [f"changes: {answer.changes}", f"played in {len(answer.steps)} steps, then: {last}", f"{data[:1500]!r}"]
    return "\n".join(lines)


def main(
    count: int, seed: int, *, seconds: float = float("inf"), only: int | None = None, folder: Path | None = None
) -> Report:
    return run_fuzzer(UpstreamFuzzer, count, seed, seconds, only, folder)
