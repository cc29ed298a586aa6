"""Metrics of chats, by the conventions for generative AI: duration, first chunk, chunks, tokens and cost.

A chat is measured once, however many attempts it takes, under the model that has answered, or else failed last.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from proto import models_pb2
from services.models.providers.base import Conversation, Target
from services.models.providers.model_labels import answering_label, model_labels
from services.shared import metric_names as names
from services.shared.call_metrics import team_labels
from services.shared.errors import PlatformError
from services.shared.metrics import Batch, Counters, Histograms
from services.shared.rpc import Call

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

    def note_usage(self, target: Target, usage: models_pb2.TokenUsage, answering: str = "") -> None:
        """Counts the tokens of an answer, or of one that broke off, of the model that calls itself `answering`."""
        # A field of a response would keep the whole of it in memory.
        USAGES.note(target, answering, self._modality, *self._call.owner(), usage.SerializeToString())

    def succeed(self, target: Target, response: models_pb2.ChatResponse) -> None:
        """Ends the chat with an answer."""
        answering = response.model
        self.note_usage(target, response.usage, answering)
        self._end(target, answering, "")

    def fail(self, target: Target, error: BaseException) -> None:
        """Ends the chat with an error, unless it has ended with an answer."""
        if not self._has_ended:
            self._end(target, "", _error_type(error))

    def _end(self, target: Target, answering: str, error_type: str) -> None:
        self._has_ended = True
        if self._intervals:
            self._hand_over_intervals()
        ENDED_CHATS.note(target, answering, error_type, time.perf_counter() - self._started, self._first_chunk)

    def _hand_over_intervals(self) -> None:
        INTERVALS.note(self._target, self._intervals)
        self._intervals = []


def _error_type(error: BaseException) -> str:
    if isinstance(error, PlatformError):
        return error.reason
    return INTERNAL if isinstance(error, Exception) else CANCELLED


def _count_end(target: Target, answering: str, error_type: str, seconds: float, first_chunk: float | None) -> None:
    labels = model_labels(target, has_answered=not error_type)
    model = (OPERATION, *labels, answering_label(labels, answering))
    DURATIONS.observe((*model, error_type), seconds)
    if first_chunk is not None:
        FIRST_CHUNKS.observe(model, first_chunk)


def _count_usage(target: Target, answering: str, modality: str, team: str, project: str, data: bytes) -> None:
    usage = models_pb2.TokenUsage.FromString(data)
    labels = model_labels(target, has_answered=bool(answering))
    owner = (*team_labels(team, project), *labels)
    if usage.HasField("cost_nano_usd"):
        COSTS.add(owner, usage.cost_nano_usd)
    elif usage.total_tokens:
        UNPRICED_CALLS.add(owner)
    tokens = (OPERATION, *labels, answering_label(labels, answering), modality)
    INPUT_TOKENS.add(tokens, usage.prompt_tokens)
    OUTPUT_TOKENS.add(tokens, usage.completion_tokens)
    if cached := usage.cached_prompt_tokens:
        CACHE_READ_TOKENS.add(tokens, cached)
    if written := usage.cache_write_tokens:
        CACHE_WRITE_TOKENS.add(tokens, written)
    if reasoning := usage.reasoning_tokens:
        REASONING_TOKENS.add(tokens, reasoning)


def _count_intervals(target: Target, intervals: Sequence[float]) -> None:
    labels = (OPERATION, *model_labels(target))
    for interval in intervals:
        CHUNK_INTERVALS.observe(labels, interval)


ENDED_CHATS = Batch(_count_end)
USAGES = Batch(_count_usage)
INTERVALS = Batch(_count_intervals)
