"""Errors in OpenAI's words: statuses, codes, paths of the body, and what clients read in them."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from services.models.faces import openai_errors
from services.models.faces.base import Refusal
from services.models.faces.problems import BY_REASON
from services.shared import errors
from services.shared.errors import FieldViolation, InvalidRequest, LimitExceeded, PlatformError, Unavailable
from tests.rows import for_each, row

if TYPE_CHECKING:
    import openai

FAMILY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PlatformError)]

PATHS = {
    "messages[1].parts[0].media": "messages[1].content[0].image_url",
    "config.temperature": "temperature",
    "config.max_tokens": "max_tokens",
    "tools": "tools",
}


class Read:
    """A request that was read, as far as errors ask it."""

    def path_of(self, field: str) -> str:
        return PATHS.get(field, "")


def refuse(error: PlatformError) -> Refusal:
    return openai_errors.refusal(error, Read())  # type: ignore[arg-type]


def body_of(refusal: Refusal) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(refusal.body)
    assert set(whole) == {"error"}
    error: dict[str, Any] = whole["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


def raised_by_the_sdk(refusal: Refusal) -> openai.APIStatusError:
    """The exception that OpenAI's client makes of a refusal."""
    import openai

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(refusal.status, headers=list(refusal.headers), content=refusal.body)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = openai.OpenAI(api_key="k", base_url="http://gateway/v1", max_retries=0, http_client=http)
    with client, pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    return raised.value


def test_every_error_has_a_problem_that_the_sdk_reads() -> None:
    known = [PlatformError("what to do", reason=reason) for reason in BY_REASON]
    for error in [*known, *(kind("what to do") for kind in FAMILY if kind is not PlatformError)]:
        with row(type(error).__name__, error.reason):
            refusal = refuse(error)
            raised, body = raised_by_the_sdk(refusal), body_of(refusal)
            assert (raised.status_code, raised.code, raised.type) == (refusal.status, body["code"], body["type"])
            assert raised.body == body


@for_each(
    ("message", "fields", "told", "param"),
    [
        (
            "messages[1].parts[0].media: is too large (and 1 more)",
            ["messages[1].parts[0].media", "config.temperature"],
            "messages[1].content[0].image_url: is too large (and 1 more)",
            "messages[1].content[0].image_url",
        ),
        (
            "m does not take config.temperature, config.max_tokens as given; change it",
            ["config.temperature", "config.max_tokens"],
            "m does not take temperature, max_tokens as given; change it",
            "temperature",
        ),
        (
            "config.temperature.x is none of them",
            ["config.temperature"],
            "config.temperature.x is none of them",
            "temperature",
        ),
        ("tools: m calls no tools", ["tools"], "tools: m calls no tools", "tools"),
        ("session_id: has no place in the body", ["session_id"], "session_id: has no place in the body", None),
        ("without a field", [], "without a field", None),
    ],
)
def test_fields_are_told_by_their_paths_in_the_body(
    message: str, fields: list[str], told: str, param: str | None
) -> None:
    violations = [FieldViolation(field, "is wrong") for field in fields]
    body = body_of(refuse(InvalidRequest(message, violations=violations)))
    assert (body["message"], body["param"]) == (told, param)


def test_errors_of_reading_name_the_paths_of_the_body_themselves() -> None:
    body = body_of(openai_errors.refusal(InvalidRequest.field("messages[2].content[0].type", "is required")))
    assert body == {
        "message": "messages[2].content[0].type: is required",
        "type": "invalid_request_error",
        "param": "messages[2].content[0].type",
        "code": None,
    }


def test_many_violations_of_one_request_are_told_at_once() -> None:
    violations = [FieldViolation(f"messages[{index}].parts[0].media", "is wrong") for index in range(20_000)]
    body = body_of(refuse(InvalidRequest("messages[1].parts[0].media: is wrong", violations=violations[1:])))
    assert body["message"] == "messages[1].content[0].image_url: is wrong"


def test_overflow_begins_with_the_words_that_clients_look_for() -> None:
    body = body_of(refuse(InvalidRequest("shorten it", reason="CONTEXT_LENGTH_EXCEEDED")))
    assert body["code"] == "context_length_exceeded"
    assert body["message"] == "This model's maximum context length is exceeded: shorten it"


def test_retries_are_told_where_they_may_help_and_forbidden_where_an_answer_may_be_paid_for() -> None:
    limited = LimitExceeded("later", reason="UPSTREAM_RATE_LIMITED", retry_after=1.2)
    assert dict(refuse(limited).headers) == {"retry-after": "2", "retry-after-ms": "1200"}
    cut = Unavailable("cut", reason="UPSTREAM_STREAM_TRUNCATED", retry_after=1.2)
    assert dict(refuse(cut).headers) == {"x-should-retry": "false"}


def test_any_text_can_be_told() -> None:
    assert body_of(refuse(InvalidRequest("half \ud800 of a pair \0")))["message"] == "half � of a pair \0"
