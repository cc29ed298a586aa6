"""Random schemas, each in one, two and four times its size, through every dialect, as the answer's form and as a tool.

Found are: an error that is not the caller's to mend, a body that is no JSON, a reference to nothing, and whatever grows
faster than the schema: the body, the notices, the memory or the CPU time that it takes.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import random
import re
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from docs.features import endpoint_target, vendor_target
from proto import models_pb2
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.encoding import encode
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.validation.request import check_chat_request
from services.shared.errors import InvalidRequest
from tests.fuzz.report import Judged
from tests.fuzz.schema_recipes import Recipe, schema_recipe

SIZES = (1, 2, 4)
FURTHER_SIZES = (4, 8, 16)
"""Of what seems to grow faster: definitions may be written again up to a bound, and grow faster until they reach it."""
REPEATS = 3
WAYS = ("form", "tool")
ADAPT = models_pb2.PARAMETER_POLICY_ADAPT
POLICIES = (*[ADAPT] * 6, models_pb2.PARAMETER_POLICY_STRICT, models_pb2.PARAMETER_POLICY_PASSTHROUGH)

# Of each byte of a schema. A small property that becomes an object which may be null has six times its size, and a
# definition may be written nine times.
MAX_BODY_BYTES = 60
MAX_MEMORY_BYTES = 4_000
# In µs: ten times as long as the slowest schemas take, and whatever a scheduler does.
MAX_MICROSECONDS = 80
SPARE_BYTES = 2_000
SPARE_MEMORY_BYTES = 200_000
SPARE_MICROSECONDS = 20_000

MAX_NOTICE_BYTES = 25_000
NAMED = re.compile(rb'"\$ref":"#/\$defs/(joined_\d+)"')
DEFINED = re.compile(rb'"(joined_\d+)":')
"""The definitions that the platform adds."""

MAX_GROWTH = 3
"""How much more a byte of the largest size may cost than one of the smallest."""


def targets() -> dict[str, Target]:
    responses = vendor_target("openai", "gpt-5.6")
    return {
        "gpt-4o": vendor_target("openai", "gpt-4o"),
        "Responses": dataclasses.replace(responses, dialect=OPENAI_RESPONSES),
        "claude-haiku-4-5": vendor_target("anthropic", "claude-haiku-4-5"),
        "claude-3-5-haiku": vendor_target("anthropic", "claude-3-5-haiku-20241022"),
        "vLLM": endpoint_target("vllm"),
        "compatible": endpoint_target("openai-compatible"),
    }


class Cost(NamedTuple):
    """What one schema took, and what became of it."""

    size: int
    body: int
    microseconds: float


def request_with(schema_json: str, way: str, policy: int = ADAPT) -> models_pb2.ChatRequest:
    """A request with a strict schema in one of the `WAYS`."""
    request = models_pb2.ChatRequest(model="any", messages=[models_pb2.ChatMessage(role="user", content="Hello")])
    request.parameter_policy = policy
    if way == "tool":
        request.tools.add(name="t", parameters_json=schema_json, strict=True)
    else:
        request.response_format.MergeFrom(
            models_pb2.ResponseFormat(type="json_schema", schema_json=schema_json, strict=True)
        )
    return request


def encoded(request: models_pb2.ChatRequest, target: Target) -> Encoded | None:
    """The request, or None where the request is refused by field."""
    try:
        return encode(Conversation(request, request.messages), target, stream=False)
    except InvalidRequest as problem:
        if not problem.violations:
            raise AssertionError("refused, but no field is named") from problem
        return None


def check(schema_json: str, target: Target, way: str, policy: int = ADAPT) -> Cost:
    """What it costs to fit one schema. Raises AssertionError for what must not be."""
    size = len(schema_json.encode())
    request = request_with(schema_json, way, policy)
    try:
        check_chat_request(request)
    except InvalidRequest:
        return Cost(size, 0, 0)
    # What the collector of garbage looks at is not what this schema has made.
    gc.disable()
    try:
        begin = time.thread_time()
        sent = encoded(request, target)
        microseconds = (time.thread_time() - begin) * 1e6
    finally:
        gc.enable()
    if sent is None:
        return Cost(size, 0, microseconds)
    told = sum(len(notice.message) for notice in sent.notices)
    assert told <= MAX_NOTICE_BYTES, f"{told} characters of notices"
    body = sent.request.body
    assert len(body) <= SPARE_BYTES + MAX_BODY_BYTES * size, f"a body of {len(body)} bytes of {size}"
    limit = SPARE_MICROSECONDS + MAX_MICROSECONDS * size
    assert microseconds <= limit, f"{microseconds:.0f} µs of CPU for {size} bytes"
    # Numbers may be longer than Python reads.
    json.loads(body, parse_int=str)
    missing = set(NAMED.findall(body)) - set(DEFINED.findall(body))
    assert not missing, f"references to nothing: {missing}"
    return Cost(size, len(body), microseconds)


def check_memory(schema_json: str, target: Target, way: str) -> None:
    """Raises AssertionError when a schema takes more memory than is in proportion to it."""
    request = request_with(schema_json, way)
    tracemalloc.start()
    try:
        encoded(request, target)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    limit = SPARE_MEMORY_BYTES + MAX_MEMORY_BYTES * len(schema_json.encode())
    assert peak <= limit, f"{peak} bytes of memory for a schema of {len(schema_json)}"


def in_proportion(costs: list[Cost]) -> bool:
    """Whether the largest size cost no more for each byte than the smallest."""
    small, large = costs[0], costs[-1]
    body = (large.body - SPARE_BYTES) * small.size <= MAX_GROWTH * max(small.body, SPARE_BYTES) * large.size
    time_ = (large.microseconds - SPARE_MICROSECONDS) * small.size <= (
        MAX_GROWTH * max(small.microseconds, SPARE_MICROSECONDS / 10) * large.size
    )
    return body and time_


def grows_in_proportion(recipe: Recipe, target: Target, way: str, policy: int = ADAPT) -> bool:
    """The same for larger sizes. A scheduler may come between, so there are several turns, with blanks, so that nothing
    is remembered."""
    made = [recipe(size) for size in FURTHER_SIZES]
    turns = [[check(text + "\n" * turn, target, way, policy) for turn in range(1, 1 + REPEATS)] for text in made]
    return in_proportion([min(costs, key=lambda cost: cost.microseconds) for costs in turns])


def main(numbers: Iterable[int], seed: int) -> Iterator[Judged]:
    """Runs the cases of these numbers, one after the other."""
    for number in numbers:
        problem = problem_of(seed, number)
        yield Judged("wrong" if problem else "right", problem and f"{problem} (seed {seed}, case {number})")


def problem_of(seed: int, number: int) -> str:
    """What is wrong with a case; empty if nothing is."""
    rng = random.Random(f"{seed}:{number}")
    recipe = schema_recipe(rng)
    name, target = rng.choice(list(targets().items()))
    way, policy = rng.choice(WAYS), rng.choice(POLICIES)
    try:
        made = [recipe(size) for size in SIZES]
        costs = [check(text, target, way, policy) for text in made]
        if number % 8 == 0:
            check_memory(made[-1] + " ", target, way)
        assert in_proportion(costs) or grows_in_proportion(recipe, target, way, policy), "grows faster than the schema"
    except Exception as problem:
        return f"{name}, {way}, policy {policy}: {type(problem).__name__}: {problem}"
    return ""
