"""The estimate of a call's usage, which limits reserve before a model is asked."""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from proto import models_pb2
from services.models.limits.charges import Estimate
from services.models.providers.base import Conversation, Target
from services.models.providers.usage import estimate_prompt_tokens, estimated_usage

ReservePolicy: TypeAlias = Literal["probable", "worst"]

ANSWERS = 200
"""The newest answers that an estimate goes by."""
FIRST_ANSWER_TOKENS = 1024
"""The tokens of an answer before the first one is known."""
WORST_ANSWER_TOKENS = 16_384
"""The tokens of the longest answer of a model whose maximum is not known."""
SHARE = 0.9
"""The share of answers that are no longer than the estimate."""
RENEWED_EACH = 20
"""Answers after which an estimate is renewed; the first ones renew it each."""

LENGTH_MEMBERS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""The members of bodies that limit an answer, in all dialects."""

MAX_OPTIONS = 64 * 1024
"""Characters of options that are read for an estimate; longer ones may ask for any length."""

MAX_SERIES = 4096
"""Projects and models whose answers are remembered; the ones that were not used for longest give way."""


class _ProbableUsage(NamedTuple):
    """The probable usage of a call, as numbers: a price reads them in a tenth of the time of a message's."""

    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int = 0
    cache_write_tokens: int = 0
    long_cache_write_tokens: int = 0


class _Series:
    """The lengths of the newest answers."""

    __slots__ = ("_added", "_newest", "probable")

    def __init__(self) -> None:
        self.probable = FIRST_ANSWER_TOKENS
        """The length that `SHARE` of them do not exceed."""
        self._newest: deque[int] = deque(maxlen=ANSWERS)
        self._added = 0

    def add(self, tokens: int) -> None:
        self._newest.append(tokens)
        self._added += 1
        if self._added <= RENEWED_EACH or not self._added % RENEWED_EACH:
            lengths = sorted(self._newest)
            self.probable = lengths[int(len(lengths) * SHARE)]


class AnswerLengths:
    """The lengths of the newest answers of each project and model, in tokens."""

    def __init__(self) -> None:
        self._series: OrderedDict[tuple[str, str], _Series] = OrderedDict()

    def add(self, project: str, model: str, tokens: int) -> None:
        """Records a whole answer."""
        key = (project, model)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
            if len(self._series) > MAX_SERIES:
                self._series.popitem(last=False)
        series.add(tokens)
        self._series.move_to_end(key)

    def probable(self, project: str, model: str) -> int:
        """The tokens that nine in ten of the newest answers do not exceed."""
        series = self._series.get((project, model))
        return series.probable if series else FIRST_ANSWER_TOKENS


class Estimator:
    """Estimates calls by the answers before them, or by their worst case."""

    def __init__(self, policy: ReservePolicy = "probable") -> None:
        self.lengths = AnswerLengths()
        self._policy = policy

    def estimate(self, conversation: Conversation, target: Target, project: str) -> Estimate:
        """The estimate of a chat with a target."""
        prompt, answer = estimate_prompt_tokens(conversation), self._answer_tokens(conversation, target, project)
        price = target.price
        if price is None:
            return Estimate(prompt + answer, None)
        return Estimate(prompt + answer, price(_ProbableUsage(prompt, answer)))

    def usage(self, conversation: Conversation, target: Target, project: str) -> models_pb2.TokenUsage:
        """The same as a usage, without its cost."""
        answer = self._answer_tokens(conversation, target, project)
        return estimated_usage(estimate_prompt_tokens(conversation), answer)

    def _answer_tokens(self, conversation: Conversation, target: Target, project: str) -> int:
        longest = _wanted_tokens(conversation.request, target) or target.facts.max_output_tokens or 0
        if self._policy == "worst":
            return longest or WORST_ANSWER_TOKENS
        probable = self.lengths.probable(project, target.model)
        return min(longest, probable) if longest else probable


def bounded_usage(usage: models_pb2.TokenUsage, conversation: Conversation, target: Target) -> models_pb2.TokenUsage:
    """The usage of a chat as a stranger's server has counted it, and no more than it can have been.

    The registration may lower the longest answer, and not raise it: a stranger would choose what limits are charged.
    """
    longest = min(target.facts.max_output_tokens or WORST_ANSWER_TOKENS, WORST_ANSWER_TOKENS)
    most = estimated_usage(estimate_prompt_tokens(conversation), longest)
    bounded = models_pb2.TokenUsage()
    bounded.CopyFrom(usage)
    if usage.prompt_tokens + usage.completion_tokens > most.total_tokens:
        bounded = estimated_usage(
            min(usage.prompt_tokens, most.prompt_tokens), min(usage.completion_tokens, most.completion_tokens)
        )
    highest = _price(most, target)
    if usage.HasField("cost_nano_usd"):
        bounded.cost_nano_usd = usage.cost_nano_usd if highest is None else min(usage.cost_nano_usd, highest)
    return bounded


def _wanted_tokens(request: models_pb2.ChatRequest, target: Target) -> int:
    """The longest answer that a request asks for in tokens, 0 for any: options of the provider may say another one than
    its parameters, and go into the body beside or instead of those."""
    config = request.config
    wanted = config.max_tokens if config.HasField("max_tokens") else 0
    if not target.default_options_json and not request.provider_options_json:
        return wanted
    options_json = [target.default_options_json] if target.default_options_json else []
    options_json += request.provider_options_json.values()
    for options in options_json:
        if len(options) > MAX_OPTIONS:
            return 0
        for length in _lengths_in(options):
            if type(length) is not int or length <= 0:
                return 0
            wanted = max(wanted, length)
    return wanted


def _lengths_in(options: str) -> Iterator[object]:
    # A name may be written with escapes.
    if "\\" not in options and not any(name in options for name in LENGTH_MEMBERS):
        return
    # Options that are no object are refused later.
    with contextlib.suppress(ValueError, RecursionError):
        members = json.loads(options)
        if isinstance(members, dict):
            yield from (members[name] for name in LENGTH_MEMBERS if name in members)


def _price(usage: models_pb2.TokenUsage, target: Target) -> int | None:
    return target.price(usage) if target.price else None
