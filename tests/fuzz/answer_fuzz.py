"""Mutated answers for the decoders and readers of every dialect, without a service around them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator

from services.models.providers.answers.answer import Answer
from services.models.providers.base import Dialect
from services.models.providers.errors.faults import Fault
from services.models.transport.sse import EventStream
from services.shared.errors import PlatformError
from tests.fuzz.http_answers import make_body
from tests.fuzz.report import Judged
from tests.fuzz.spoken import SPOKEN

REFUSALS = (Fault, PlatformError, RecursionError)
"""What reading may raise: the exchange makes an error of each."""

MICROSECONDS_A_BYTE = 5
LONGEST_SECONDS = 0.1
"""Of the processor, for whatever is no longer than a read from a socket."""


def main(numbers: Iterable[int], seed: int) -> Iterator[Judged]:
    """Runs the cases of these numbers, one after the other."""
    for number in numbers:
        rng = random.Random(f"{seed}:{number}")
        path = rng.choice(sorted(SPOKEN))
        dialect = rng.choice(SPOKEN[path].dialects)
        as_stream = rng.random() < 0.6
        outcome = f"{dialect.name} {'stream' if as_stream else 'body'}"
        body = make_body(rng, path, [], as_stream=as_stream)
        began = time.thread_time()
        try:
            problem = _stream(rng, dialect, body) if as_stream else _read(dialect, body)
        except Exception as error:
            problem = f"raises {type(error).__name__}"
        seconds = time.thread_time() - began
        if seconds > max(LONGEST_SECONDS, MICROSECONDS_A_BYTE * 1e-6 * len(body)):
            problem = f"takes {seconds:.2f} s for {len(body)} bytes"
        yield Judged(outcome, problem and f"{outcome}: {problem} (seed {seed}, case {number})")


def _read(dialect: Dialect, body: bytes) -> str:
    try:
        answer = dialect.read(body)
        answer.complete()
    except REFUSALS:
        return ""
    return _problem_with(answer)


def _stream(rng: random.Random, dialect: Dialect, body: bytes) -> str:
    events, decoder = EventStream(), dialect.decoder()
    size = rng.choice((1, 17, 1000, 64 * 1024)) if len(body) < 10_000 else 64 * 1024
    try:
        for start in range(0, len(body), size):
            decoder.feed(events.feed(body[start : start + size]))
            for chunk in decoder.answer.drain_chunks():
                chunk.SerializeToString()
            if decoder.ended:
                break
        decoder.answer.complete()
    except REFUSALS:
        return ""
    return _problem_with(decoder.answer)


def _problem_with(answer: Answer) -> str:
    for chunk in answer.drain_chunks():
        chunk.SerializeToString()
    response = answer.response()
    written = response.SerializeToString()
    return "" if type(response).FromString(written) == response else "does not come back from the wire as it was"
