"""The errors by themselves; that calls raise them is tested on the wire."""

from __future__ import annotations

import pickle

import grpc
import pytest

from genai_platform import FieldViolation, GenAIError, NotFound, QuotaViolation, Timeout
from genai_platform.errors import ERROR_TYPES, translate_error
from services.shared.error_details import DETAILS_KEY, pack_details
from services.shared.errors import LimitExceeded
from services.shared.errors import QuotaViolation as Quota
from services.shared.rpc import STATUS_CODES
from tests.rows import for_each


def test_every_status_has_a_class() -> None:
    assert set(ERROR_TYPES) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


def test_every_error_of_the_services_has_a_class_of_its_own_code() -> None:
    for code in STATUS_CODES.values():
        assert issubclass(ERROR_TYPES[code], GenAIError)


def test_an_error_reads_as_one_line() -> None:
    error = NotFound("no model is called\n  'x'", reason="MODEL_NOT_FOUND", request_id="1f2c")
    assert str(error) == "no model is called 'x' [MODEL_NOT_FOUND, request 1f2c]"
    assert str(NotFound("gone")) == "gone [NOT_FOUND]"


def test_an_error_survives_pickling() -> None:
    """Process pools send errors between processes that way."""
    for error_type in {*ERROR_TYPES.values(), GenAIError}:
        error = error_type("text", reason="R", retry_after=1.5, violations=[FieldViolation("a", "b")], request_id="1")
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is error_type
        assert vars(copy) == vars(error)


def test_a_timeout_is_a_timeout_error_too() -> None:
    with pytest.raises(TimeoutError, match="late"):
        raise Timeout("late")
    assert Timeout("late").code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_attempts_of_a_failed_chat_are_those_of_a_response() -> None:
    text = '[{"model":"m","provider":"p","outcome":"UPSTREAM_SERVER_ERROR","http_status":503,"latency":"0.250s"}]'
    (attempt,) = GenAIError("", metadata={"attempts": text}).attempts
    assert (attempt.model, attempt.provider, attempt.outcome, attempt.http_status) == (
        "m",
        "p",
        "UPSTREAM_SERVER_ERROR",
        503,
    )
    assert attempt.latency.ToMilliseconds() == 250


@for_each("text", [None, "", "{}", "[1]", "[{]", '[{"http_status":"x"}]'])
def test_error_without_readable_attempts_has_none(text: str | None) -> None:
    assert GenAIError("", metadata={} if text is None else {"attempts": text}).attempts == []


class Refused(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    """The error of a call over two limits, as grpc raises it."""

    LIMITS = (
        Quota("project:search", "no more today", "daily", "tokens", "day", 2**40),
        Quota("key:k", "no more at once", "slots", "concurrent", "", 4),
    )

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self) -> str:
        return "no more today"

    def initial_metadata(self) -> tuple[()]:
        return ()

    def trailing_metadata(self) -> tuple[tuple[str, bytes]]:
        error = LimitExceeded("no more today", reason="RATE_LIMITED", quotas=self.LIMITS)
        return ((DETAILS_KEY, pack_details(self.code().value[0], error)),)


def test_limits_that_refuse_a_call_are_read() -> None:
    error = translate_error(Refused(), address="localhost:1", secure=False, limit="", request_id="")
    assert error.reason == "RATE_LIMITED"
    assert error.quotas == (
        QuotaViolation("daily", "project:search", "tokens", "day", 2**40, "no more today"),
        QuotaViolation("slots", "key:k", "concurrent", "", 4, "no more at once"),
    )
