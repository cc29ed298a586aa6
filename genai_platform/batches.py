"""Many chats at once, for `models.map`: which one is begun next, which is tried again, and the results in order.

The state of a batch knows no clock, no thread and no event loop: `batch_runs` moves it on.

A refusal for a limit halves the number of chats that run at once, and answers raise it again by one; nothing is begun
before the time that the refusal asks to wait. So a batch runs as fast as the limit allows, with few refusals.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

from genai_platform.errors import GenAIError, RateLimited
from genai_platform.requests import Messages, build_chat_request
from genai_platform.v1.models_pb2 import ChatRequest, ChatResponse

DEFAULT_CONCURRENCY = 8

MAX_TRIES = 8
"""The number of times that one chat is tried."""
RETRIES_PER_CHAT = 2
MIN_RETRIES = 20
"""The budget of retries of a whole batch: so many for each of its chats, or at least so many."""


@dataclass(frozen=True, slots=True)
class ChatResult:
    """The result of one chat of a batch: a response or an error."""

    index: int
    response: ChatResponse | None = None
    error: GenAIError | None = None

    @property
    def text(self) -> str:
        """The answer's text. Raises the chat's error if it has none."""
        if self.response is None:
            raise self.error or RuntimeError("this chat has no result")
        return self.response.text


class ChatResults(Sequence[ChatResult]):
    """The results of a batch, in the order of its prompts. As a text it is a summary in one line."""

    def __init__(self, results: Sequence[ChatResult], *, retries: int, resumed: int, seconds: float) -> None:
        self._results = results
        self.retries = retries
        self.resumed = resumed
        """The number of results that were read from the file of `resume`."""
        self.seconds = seconds

    @overload
    def __getitem__(self, index: int) -> ChatResult: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ChatResult]: ...

    def __getitem__(self, index: int | slice) -> ChatResult | Sequence[ChatResult]:
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    @property
    def texts(self) -> list[str | None]:
        """The texts of the answers; None for those that failed."""
        return [result.response.text if result.response is not None else None for result in self._results]

    @property
    def failures(self) -> list[ChatResult]:
        """The results with an error."""
        return [result for result in self._results if result.error is not None]

    @property
    def cost_usd(self) -> float:
        """The cost of all answers in US dollars, as far as it is known; of each answer it is in its `usage`."""
        return sum(each.usage.cost_nano_usd for each in self._responses()) / 1e9

    @property
    def total_tokens(self) -> int:
        return sum(response.usage.total_tokens for response in self._responses())

    def _responses(self) -> Iterator[ChatResponse]:
        return (result.response for result in self._results if result.response is not None)

    def __str__(self) -> str:
        unpriced = sum(not response.usage.HasField("cost_nano_usd") for response in self._responses())
        facts = [
            f"{sum(1 for _ in self._responses())} answers",
            f"{self.resumed} of them from the file" if self.resumed else "",
            f"{len(self.failures)} failures" if self.failures else "",
            f"{self.retries} retries" if self.retries else "",
            f"{self.total_tokens} tokens",
            f"${self.cost_usd:.4f}" + (f" and {unpriced} answers of unknown cost" if unpriced else ""),
            f"{self.seconds:.1f} s",
        ]
        return ", ".join(fact for fact in facts if fact)

    def __repr__(self) -> str:
        return f"<ChatResults {self}>"


def build_requests(prompts: Iterable[ChatRequest | Messages], fields: Mapping[str, Any]) -> list[ChatRequest]:
    """Builds the requests of a batch. Raises TypeError or ValueError naming the first wrong prompt."""
    if isinstance(prompts, str | ChatRequest | Mapping) or not isinstance(prompts, Iterable):
        raise TypeError("prompts must be a list of texts, of lists of messages or of ChatRequests, not one of them")
    return [_build_request(place, prompt, fields) for place, prompt in enumerate(prompts)]


def _build_request(place: int, prompt: ChatRequest | Messages, fields: Mapping[str, Any]) -> ChatRequest:
    try:
        return build_chat_request(prompt, {} if isinstance(prompt, ChatRequest) else fields)
    except (TypeError, ValueError) as error:
        raise type(error)(f"prompts[{place}]: {error}") from None


class _Retry(NamedTuple):
    due: float
    chat: int


class Batch:
    """The state of a batch."""

    def __init__(self, requests: Sequence[ChatRequest], concurrency: int, known: Mapping[int, ChatResponse]) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValueError(f"concurrency must be a whole number from 1, not {concurrency!r}")
        self.requests = requests
        self.results = {index: ChatResult(index, response) for index, response in known.items()}
        self.running: set[int] = set()
        self.retries = 0
        self._resumed = len(known)
        self._concurrency = concurrency
        self._allowed = float(concurrency)
        self._new = deque(index for index in range(len(requests)) if index not in known)
        self._waiting: list[_Retry] = []
        self._tries: dict[int, int] = {}
        self._budget = max(MIN_RETRIES, RETRIES_PER_CHAT * len(requests))
        self._not_before = 0.0

    def is_done(self) -> bool:
        return len(self.results) == len(self.requests)

    def begin_next(self, now: float) -> int | None:
        """The index of a chat to begin now; None if none may be."""
        if len(self.running) >= max(1, int(self._allowed)) or now < self._not_before:
            return None
        if self._waiting and self._waiting[0].due <= now:
            index = heapq.heappop(self._waiting).chat
        elif self._new:
            index = self._new.popleft()
        else:
            return None
        self.running.add(index)
        self._tries[index] = self._tries.get(index, 0) + 1
        return index

    def pause(self, now: float) -> float | None:
        """The seconds until another chat may be begun, if none that runs ends earlier; None if one must end first."""
        if len(self.running) >= max(1, int(self._allowed)):
            return None
        due = [self._not_before] if self._new else []
        due += [max(self._waiting[0].due, self._not_before)] if self._waiting else []
        return max(0.0, min(due) - now) if due else None

    def finish(self, index: int, outcome: ChatResponse | GenAIError, now: float) -> ChatResult | None:
        """Takes the outcome of a chat; returns its result, or None if it is tried again."""
        self.running.discard(index)
        if isinstance(outcome, ChatResponse):
            self._allowed = min(self._concurrency, self._allowed + 1 / max(1.0, self._allowed))
            return self._keep(ChatResult(index, outcome))
        if outcome.retry_after is None or self._tries[index] >= MAX_TRIES or self.retries >= self._budget:
            return self._keep(ChatResult(index, error=outcome))
        self.retries += 1
        due = now + outcome.retry_after
        if isinstance(outcome, RateLimited):
            self._limit(due, now)
        heapq.heappush(self._waiting, _Retry(due, index))
        return None

    def _limit(self, due: float, now: float) -> None:
        # Refusals that come together are one: they answer chats that were begun before the first of them was known.
        if now >= self._not_before:
            self._allowed = max(1.0, self._allowed / 2)
        self._not_before = max(self._not_before, due)

    def _keep(self, result: ChatResult) -> ChatResult:
        self.results[result.index] = result
        return result

    def summary(self, seconds: float) -> ChatResults:
        ordered = [self.results[index] for index in range(len(self.requests))]
        return ChatResults(ordered, retries=self.retries, resumed=self._resumed, seconds=seconds)
