"""Metrics of chats, by the conventions for generative AI: duration, first chunk, chunks, tokens and cost.

A chat is measured once, however many attempts it takes, under the model that has answered, or else failed last.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from proto import models_pb2
from services.models.providers.base import Conversation, Target
from services.models.providers.model_labels import Labels, answering_label, model_labels
from services.models.providers.usage import Counts, counts_of
from services.shared import metric_names as names
from services.shared.call import Call
from services.shared.call_metrics import MAX_SERIES, NOBODY, team_labels
from services.shared.errors import PlatformError
from services.shared.identity import Identity
from services.shared.metrics import BATCH_SIZE, Batch, Count, Counters, Histogram, Histograms, Values, count_batches

OPERATION = "chat"
CANCELLED = "CANCELLED"
INTERNAL = "INTERNAL"

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Buckets of the conventions for durations."""

MODEL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model")
OWNER = ("team", "project", "gen_ai_provider_name", "gen_ai_request_model")
TOKENS = (*MODEL, "gen_ai_token_modality")

DURATIONS = Histograms(
    names.INFERENCE_DURATION,
    "Seconds of a chat with a model, all its attempts included.",
    (*MODEL, "error_type"),
    SECONDS,
)
FIRST_CHUNKS = Histograms(names.TIME_TO_FIRST_CHUNK, "Seconds until a stream's first chunk.", MODEL, SECONDS)
CHUNK_INTERVALS = Histograms(
    names.TIME_PER_OUTPUT_CHUNK, "Seconds from one chunk of a stream to the next.", MODEL[:3], SECONDS
)
INPUT_TOKENS = Counters(names.INPUT_TOKENS, "Tokens of prompts, cached ones included.", TOKENS)
OUTPUT_TOKENS = Counters(names.OUTPUT_TOKENS, "Tokens of answers, reasoning included.", TOKENS)
CACHE_READ_TOKENS = Counters(names.CACHE_READ_INPUT_TOKENS, "Tokens of prompts that a provider's cache had.", TOKENS)
CACHE_WRITE_TOKENS = Counters(names.CACHE_WRITE_INPUT_TOKENS, "Tokens of prompts that were cached.", TOKENS)
REASONING_TOKENS = Counters(names.REASONING_OUTPUT_TOKENS, "Tokens of answers that are reasoning.", TOKENS)
COSTS = Counters(names.COST, "Cost of the tokens whose price is known, in nano-USD.", OWNER)
UNPRICED_CALLS = Counters(names.UNPRICED_CALLS, "Answers that have used tokens whose price is not known.", OWNER)


CHUNKS_TOGETHER = 64
"""Intervals between chunks that are counted together."""


class ChatMeter:
    """Measures one chat, from the moment at which its first attempt may begin."""

    __slots__ = ("_call", "_first_chunk", "_has_ended", "_intervals", "_last_chunk", "_modality", "_started", "_target")

    def __init__(self, call: Call, conversation: Conversation) -> None:
        self._call = call
        self._modality = "text" if conversation.contents.are_plain else "unknown"
        self._target: Target | None = None
        """The target that chunks come from."""
        self._first_chunk: float | None = None
        self._last_chunk = 0.0
        self._intervals: list[float] = []
        self._has_ended = False
        self._started = time.perf_counter()

    def note_chunk(self, target: Target) -> None:
        """Measures one chunk of a stream."""
        now = time.perf_counter()
        if self._first_chunk is None:
            self._first_chunk, self._target = now - self._started, target
        else:
            self._intervals.append(now - self._last_chunk)
            if len(self._intervals) >= CHUNKS_TOGETHER:
                self._hand_over_intervals()
        self._last_chunk = now

    def note_usage(self, target: Target, usage: models_pb2.TokenUsage) -> None:
        """Counts the tokens of an answer that broke off."""
        BROKEN_ANSWERS.note((target, self._modality, self._call.identity, counts_of(usage)))

    def succeed(self, target: Target, answering: str, counts: Counts) -> None:
        """Ends the chat with an answer of the model that goes by this name in it."""
        self._has_ended = True
        if self._intervals:
            self._hand_over_intervals()
        seconds = time.perf_counter() - self._started
        ANSWERS.note((target, answering, self._modality, self._call.identity, counts, seconds, self._first_chunk))

    def fail(self, target: Target, error: BaseException) -> None:
        """Ends the chat with an error, unless it has ended with an answer."""
        if self._has_ended:
            return
        if self._intervals:
            self._hand_over_intervals()
        FAILURES.note((target, error_type_of(error), time.perf_counter() - self._started, self._first_chunk))

    def _hand_over_intervals(self) -> None:
        INTERVALS.note((self._target, self._intervals))
        self._intervals = []
        if len(INTERVALS) >= BATCH_SIZE:
            count_batches()


def error_type_of(error: BaseException) -> str:
    """The reason of an error, or the word for one that has none."""
    if isinstance(error, PlatformError):
        return error.reason
    return INTERNAL if isinstance(error, Exception) else CANCELLED


class _Answered:
    """The series of answers of one model, to callers of one project."""

    __slots__ = ("_first_chunks", "_model", "_owner", "_tokens", "cost", "durations", "input", "output")

    def __init__(self, labels: Labels, answering: str, modality: str, team: str, project: str) -> None:
        self._model = (OPERATION, *labels, answering_label(labels, answering))
        self._tokens = (*self._model, modality)
        self._owner = (*team_labels(team, project), *labels)
        self._first_chunks: Histogram | None = None
        self.durations = DURATIONS.of((*self._model, ""))
        self.input = INPUT_TOKENS.of(self._tokens)
        self.output = OUTPUT_TOKENS.of(self._tokens)
        self.cost: Count | None = None

    def count_usage(self, counts: Counts) -> None:
        prompt, completion, total, cached, written, reasoning, _, nano_usd = counts
        self.input.value += prompt
        self.output.value += completion
        if nano_usd is not None:
            if self.cost is None:
                self.cost = COSTS.of(self._owner)
            self.cost.value += nano_usd
        elif total:
            UNPRICED_CALLS.add(self._owner)
        if cached:
            CACHE_READ_TOKENS.add(self._tokens, cached)
        if written:
            CACHE_WRITE_TOKENS.add(self._tokens, written)
        if reasoning:
            REASONING_TOKENS.add(self._tokens, reasoning)

    def count_first_chunk(self, seconds: float) -> None:
        if self._first_chunks is None:
            self._first_chunks = FIRST_CHUNKS.of(self._model)
        self._first_chunks.observe(seconds)


_answered: dict[Values, _Answered] = {}


def _count_answer(
    target: Target,
    answering: str,
    modality: str,
    identity: Identity | None,
    counts: Counts,
    seconds: float,
    first_chunk: float | None,
) -> None:
    owner = (identity.team_id, identity.project_id) if identity else NOBODY
    key = (target.provider, target.registered_model, target.model, answering, modality, *owner)
    series = _answered.get(key)
    if series is None:
        if len(_answered) >= MAX_SERIES:
            _answered.clear()
        series = _answered[key] = _Answered(model_labels(target, has_answered=True), answering, modality, *owner)
    series.count_usage(counts)
    series.durations.observe(seconds)
    if first_chunk is not None:
        series.count_first_chunk(first_chunk)


def _count_failure(target: Target, error_type: str, seconds: float, first_chunk: float | None) -> None:
    model = (OPERATION, *model_labels(target), "")
    DURATIONS.observe((*model, error_type), seconds)
    if first_chunk is not None:
        FIRST_CHUNKS.observe(model, first_chunk)


def _count_broken_answer(target: Target, modality: str, identity: Identity | None, counts: Counts) -> None:
    owner = (identity.team_id, identity.project_id) if identity else NOBODY
    _Answered(model_labels(target), "", modality, *owner).count_usage(counts)


def _count_intervals(target: Target, intervals: Sequence[float]) -> None:
    histogram = CHUNK_INTERVALS.of((OPERATION, *model_labels(target)))
    for interval in intervals:
        histogram.observe(interval)


ANSWERS = Batch(_count_answer)
FAILURES = Batch(_count_failure)
BROKEN_ANSWERS = Batch(_count_broken_answer)
INTERVALS = Batch(_count_intervals)
