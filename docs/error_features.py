"""The part of docs/features.md that tells what becomes of providers' errors and of their finish reasons, found out by
reading them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from services.models.catalog.vendors import VENDORS
from services.models.providers.answers.finish_reasons import FAILURES, FINISH_REASONS
from services.models.providers.base import Dialect
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.providers.vllm import VLLM

DIALECTS: dict[str, Dialect] = {
    **{vendor.title: vendor.adapter.dialect for vendor in VENDORS.values()},
    "OpenAI (Responses)": OPENAI_RESPONSES,
    "vLLM": VLLM,
    "OpenAI-compatible": OPENAI_COMPATIBLE,
}

TOO_LONG = "prompt is too long: 213462 tokens > 200000 maximum"


class Sample(NamedTuple):
    title: str
    status: int
    body: Any


SAMPLES = [
    Sample("a context that is too long, with 400", 400, {"error": {"message": TOO_LONG}}),
    Sample("the same with 500", 500, {"error": {"message": TOO_LONG}}),
    Sample("in a list, as of Gemini", 400, [{"error": {"code": 400, "message": TOO_LONG}}]),
    Sample("in `detail`, as of FastAPI", 422, {"detail": [{"loc": ["body"], "msg": TOO_LONG}]}),
    Sample("as a text, as of Ollama", 400, {"error": TOO_LONG}),
    Sample("in an error of a proxy", 400, {"error": {"metadata": {"raw": json.dumps({"error": TOO_LONG})}}}),
    Sample("on a page of HTML", 413, f"<html><body><h1>{TOO_LONG}</h1></body></html>"),
    Sample("tokens per minute", 429, {"error": {"message": "Rate limit reached: too many tokens per minute"}}),
    Sample("a model that is not there", 404, {"error": {"message": "The model `x` does not exist"}}),
    Sample("a path that is not there", 404, {"detail": "Not Found"}),
    Sample("another refusal", 400, {"error": {"message": "Unsupported value: 'x'"}}),
    Sample("a key that is refused", 401, {"error": {"message": "Incorrect API key provided: sk-…"}}),
    Sample("the provider's own failure", 500, {"error": {"message": "boom"}}),
]


def error_lines() -> Iterator[str]:
    yield from [
        "## Errors",
        "",
        "The reason that callers read, and *told* where the provider's own words are in `provider_message`.",
        "",
        f"| | {' | '.join(DIALECTS)} |",
        f"|{'---|' * (len(DIALECTS) + 1)}",
    ]
    for sample in SAMPLES:
        cells = [_outcome(dialect, sample) for dialect in DIALECTS.values()]
        yield f"| {sample.title} | {' | '.join(cells)} |"


def _outcome(dialect: Dialect, sample: Sample) -> str:
    body = sample.body if isinstance(sample.body, str) else json.dumps(sample.body)
    fault = dialect.fault(sample.status, body.encode())
    return f"`{fault.reason}`" + (", told" if fault.message else "")


def finish_reason_lines() -> Iterator[str]:
    yield from [
        "## Why answers end",
        "",
        "In every dialect, in any case and spelling; a word that is not here is `other`, and kept as",
        "`raw_finish_reason`.",
        "",
        "| `finish_reason` | words of servers |",
        "|---|---|",
    ]
    for reason in dict.fromkeys(FINISH_REASONS.values()):
        yield f"| `{reason}` | {_listed(word for word, meaning in FINISH_REASONS.items() if meaning == reason)} |"
    for reason in dict.fromkeys(reason for _, reason in FAILURES):
        words = _listed(word for word, meaning in FAILURES if meaning == reason)
        yield f"| an error, `{reason}` | those with {words} |"


def _listed(words: Iterator[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
