"""Answers of every dialect, whole and streamed, changed at random and fed to its reader and its decoder.

Found are: an exception that is no fault of the provider's, an answer that cannot be written, one whose pieces do not
join to it, and what takes long or is never let go.

    python -m tests.fuzz.answer_fuzz COUNT SEED [NUMBER]     the last for one case alone
"""

from __future__ import annotations

import functools
import gc
import itertools
import random
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from proto import models_pb2
from services.models.providers.answer import Answer
from services.models.providers.anthropic import ANTHROPIC
from services.models.providers.base import Dialect
from services.models.providers.event_stream import EventStream
from services.models.providers.faults import Fault, error_for
from services.models.providers.openai import OPENAI, OPENAI_COMPATIBLE
from services.models.providers.openai_responses import OPENAI_RESPONSES
from services.models.providers.vllm import VLLM
from services.shared.errors import PlatformError
from tests.fuzz.answer_mutations import MAX_BYTES, changed_bytes, changed_json, changed_stream
from tests.wire.dialects import AnthropicSpeech, Call, OpenAISpeech, Sample, Speech, encode
from tests.wire.responses_speech import ResponsesSpeech

MAX_SECONDS = 0.05
"""Of CPU, for one answer."""

MAX_BLOCKS = 20_000
"""Of Python's memory, that a run may leave behind: less than a tenth of one for each case of a long one."""

TRANSCRIPTS = Path(__file__).parents[1] / "wire" / "transcripts"
DIALECTS: dict[str, tuple[Dialect, Speech]] = {
    "openai": (OPENAI, OpenAISpeech()),
    "compatible": (OPENAI_COMPATIBLE, OpenAISpeech("reasoning")),
    "llama.cpp": (OPENAI_COMPATIBLE, OpenAISpeech()),
    "vllm": (VLLM, OpenAISpeech("reasoning")),
    "openai_responses": (OPENAI_RESPONSES, ResponsesSpeech()),
    "anthropic": (ANTHROPIC, AnthropicSpeech()),
}
CALLS = (Call("call_1", "find", ['{"a"', ': "\U0001f600"}']), Call("call_2", "keep", ["{}"]))
SAMPLES = (
    Sample(text=["Hel", "lo ", "wörld \U0001f600"]),
    Sample(text=["So: "], reasoning=["Hm", "m."], calls=CALLS),
    Sample(calls=CALLS, usage=None),
)


class Seed(NamedTuple):
    """A real answer of one kind of server."""

    name: str
    data: bytes
    streams: bool


@functools.cache
def seeds() -> Sequence[Seed]:
    found = []
    for name, (_, speech) in DIALECTS.items():
        streams = [path.read_bytes() for path in sorted((TRANSCRIPTS / name).glob("*.sse"))]
        streams += ["".join(speech.events(sample)).encode() for sample in SAMPLES]
        found += [Seed(name, data, True) for data in streams]
        found += [Seed(name, encode(speech.body(sample)), False) for sample in SAMPLES]
        found.append(Seed(name, encode(speech.error("rate_limit_error", "Too many requests")), False))
    return found


class Case(NamedTuple):
    seed: Seed
    data: bytes
    positions: Sequence[int]
    """Where a stream is cut between two reads."""


def make_case(seed: int, number: int) -> Case:
    """Always the same one for the same numbers."""
    rng = random.Random(f"{seed}:{number}")
    origin = rng.choice(seeds())
    others = [other.data for other in seeds() if other.streams and (other.name == origin.name or rng.random() < 0.1)]
    data = origin.data
    for _ in range(rng.choice((1, 1, 2))):
        if rng.random() < 0.3:
            data = changed_bytes(rng, data)
        elif origin.streams:
            data = changed_stream(rng, data, others)
        else:
            data = changed_json(rng, data)
    data = data[:MAX_BYTES]
    positions = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 3, 30))))
    return Case(origin, data, positions)


def run_case(case: Case) -> str:
    """Reads the answer. Returns what is wrong with what comes of it, or nothing."""
    dialect = DIALECTS[case.seed.name][0]
    try:
        if case.seed.streams:
            return decode(dialect, case)
        error_for(dialect.fault(400, case.data), "mine")
        answer = dialect.read(case.data)
        answer.complete()
        return check(answer, answer.take_chunks(), answer.last_chunk())
    except Fault as fault:
        error_for(fault, "mine")
    except (PlatformError, RecursionError):
        # Those of the decoder of events; and what was read at the very bound of depth, which the exchange refuses.
        pass
    return ""


def decode(dialect: Dialect, case: Case) -> str:
    events, decoder = EventStream(), dialect.decoder()
    answer = decoder.answer
    answer.state_owner = "mine"
    chunks = []
    places = [0, *case.positions, len(case.data)]
    try:
        for start, end in itertools.pairwise(places):
            if not decoder.ended:
                decoder.feed(events.feed(case.data[start:end]))
                chunks += answer.take_chunks()
    finally:
        # What had come before a fault is delivered, and accounted for.
        chunks += answer.take_chunks()
        answer.estimated_completion_tokens()
        for chunk in chunks:
            chunk.SerializeToString()
    if not decoder.finished:
        return ""
    answer.complete()
    return check(answer, chunks + answer.take_chunks(), answer.last_chunk())


def check(answer: Answer, chunks: Sequence[models_pb2.ChatChunk], last: models_pb2.ChatChunk) -> str:
    response = models_pb2.ChatResponse.FromString(last.response.SerializeToString())
    if [chunk.index for chunk in (*chunks, last)] != list(range(len(chunks) + 1)):
        return "chunks are miscounted"
    # What came late of an earlier block stands in its place in the response, and behind others among the pieces.
    if sorted("".join(chunk.token for chunk in chunks)) != sorted(response.text):
        return "the pieces are not the text"
    arguments = [""] * len(response.tool_calls)
    for chunk in chunks:
        if chunk.HasField("tool_call_delta"):
            arguments[chunk.tool_call_delta.index] += chunk.tool_call_delta.arguments_json
    if arguments != [call.arguments_json for call in response.tool_calls]:
        return "the pieces are not the arguments"
    parts = [chunk.completed_part for chunk in chunks if chunk.HasField("completed_part")]
    if sum(part.ByteSize() for part in parts) > 10 * MAX_BYTES or answer.size > 10 * MAX_BYTES:
        return "it grew to ten times of what was sent"
    return ""


def seconds_of(case: Case) -> float:
    began = time.thread_time()
    run_case(case)
    return time.thread_time() - began


def find(seed: int, number: int) -> str:
    """What is wrong with one case, or nothing."""
    case = make_case(seed, number)
    try:
        began = time.thread_time()
        problem = run_case(case)
        # What is slow once may have been the machine, or the collection of garbage.
        if time.thread_time() - began > MAX_SECONDS and min(seconds_of(case) for _ in range(3)) > MAX_SECONDS:
            problem = problem or "it takes too long"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        problem = f"{type(error).__name__} in {where.name} of {Path(where.filename).name}"
    return f"{problem}: {case.seed.name}, case {number} of seed {seed}" if problem else ""


def main(count: int, seed: int) -> list[str]:
    """What was found in so many cases."""
    settled = max(count // 10, 1)
    found = [find(seed, number) for number in range(settled)]
    gc.collect()
    before = sys.getallocatedblocks()
    found += [find(seed, number) for number in range(settled, count)]
    found = [finding for finding in found if finding]
    gc.collect()
    left = sys.getallocatedblocks() - before
    return found + ([f"{left} blocks of memory are left behind"] if left > MAX_BLOCKS else [])


if __name__ == "__main__":
    told = [find(int(sys.argv[2]), int(sys.argv[3]))] if len(sys.argv) > 3 else main(int(sys.argv[1]), int(sys.argv[2]))
    print("\n".join(told) or "nothing was found")
