"""The body of a response → an Answer. https://platform.openai.com/docs/api-reference/responses/object"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.models.providers.answers.answer import Answer
from services.models.providers.answers.dropped_members import (
    OF_RESPONSES,
    warn_of_cut_logprobs,
    warn_of_members,
    warn_of_tool_usage,
)
from services.models.providers.answers.finish_reasons import finish_reason_of
from services.models.providers.answers.large_logprobs import read_large_object
from services.models.providers.answers.openai_usage import read_rates, read_usage
from services.models.providers.answers.values import read_word
from services.models.providers.errors.error_body import fault_in
from services.models.providers.errors.faults import Fault
from services.models.providers.errors.in_band_errors import bare_error_in, error_in
from services.models.providers.openai.responses.output_items import OutputItems, index_of, item_of
from services.shared import json_text
from services.shared.json_text import items_of

# Reasons why the model did not see reasoning that was sent. By default it does not see that of earlier turns.
WITHHELD = {
    "organization_mismatch": "another organization's",
    "end_user_mismatch": "another end user's",
    "model_mismatch": "another model's",
    "prefix_mismatch": "of other messages before it",
}

UNFINISHED = frozenset({"queued", "in_progress"})


class _RawOutput(msgspec.Struct):
    output: list[msgspec.Raw]


def read_answer(body: bytes) -> Answer:
    """Raises Fault when the body is not a response that has ended."""
    response, light = read_large_object(body)
    if error := error_in(response):
        raise fault_in(error)
    if not isinstance(response.get("output"), list):
        if error := bare_error_in(response):
            raise fault_in(error)
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    answer = Answer()
    if light is not body:
        warn_of_cut_logprobs(answer)
    read_end(answer, OutputItems(answer), response, light)
    return answer


def read_end(
    answer: Answer,
    items: OutputItems,
    response: dict[str, Any],
    response_json: bytes,
    places_of: Callable[[list[Any]], Sequence[int]] = lambda output: range(len(output)),
) -> None:
    """Reads a response that has ended: the items that were not streamed, the finish reason and the usage. `places_of`
    returns the places of the output's items, which may have been streamed already.

    Raises Fault if it failed, or has not ended.
    """
    read_header(answer, response)
    # Checked before the output is read, which would not be used.
    word = _finish_word(response)
    output = items_of(response.get("output"))
    places = places_of(output)
    missing = [order for order, place in enumerate(places) if not items.is_whole(place)]
    if missing:
        texts = _raw_items(response_json, output)
        for order in missing:
            items.add_whole(index_of(places[order]), item_of(output[order]), texts[order])
    items.end()
    answer.finish(finish_reason_of(word), word)
    read_usage(answer, response.get("usage"))
    read_rates(answer, response.get("service_tier"))
    _warn_of_withheld_reasoning(answer, response)
    warn_of_members(answer, response, OF_RESPONSES)
    warn_of_tool_usage(answer, response)


def read_header(answer: Answer, response: dict[str, Any]) -> None:
    """Reads the provider's id of the answer, and the model that generated it."""
    answer.provider_response_id = answer.provider_response_id or read_word(response.get("id"))
    answer.model = answer.model or read_word(response.get("model"))


def _finish_word(response: dict[str, Any]) -> str:
    """Its `status`, or where that is `incomplete` the reason for it."""
    status = read_word(response.get("status"))
    if status in ("failed", "cancelled"):
        raise fault_in(response.get("error"))
    if status in UNFINISHED:
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    if status == "incomplete":
        details = response.get("incomplete_details")
        return (read_word(details.get("reason")) if isinstance(details, dict) else "") or status
    return status


def _raw_items(response_json: bytes, output: Sequence[Any]) -> list[bytes]:
    """Each item as the provider wrote it, or, where that cannot be embedded in a request again, as we write it."""
    try:
        return [bytes(item) for item in json_text.decode_exactly(response_json, _RawOutput).output]
    except json_text.Malformed:
        return [json_text.encode_any(item) for item in output]


def _warn_of_withheld_reasoning(answer: Answer, response: dict[str, Any]) -> None:
    named = [
        change.get("reason") for change in items_of(response.get("input_transformations")) if isinstance(change, dict)
    ]
    for reason, whose in WITHHELD.items():
        if reason in named:
            problem = f"OpenAI kept earlier reasoning from the model: it is {whose}"
            answer.warn("REASONING_DROPPED", problem, field="messages")
