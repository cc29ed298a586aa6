"""Errors that come with status 200: as an event, as the whole body, inside a choice or beside one.

vLLM names the event `error` and sends its members bare, or marks them with `"object": "error"`; Anthropic marks them
with `"type": "error"`; most wrap them in `error`, which is null if there is no error.
"""

from __future__ import annotations

from typing import Any

from services.models.providers.errors.error_body import fault_in
from services.models.providers.errors.faults import Fault
from services.models.transport.sse import ERROR
from services.shared import json_text

SENTENCES = ("message", "msg", "errmsg")
STATUSES = ("status", "status_code", "statusCode", "errcode")
FAILURES = frozenset({"error", "fail", "failed", "failure"})
"""Words of `status` for an error, as in JSend."""
BASE_RESP = "base_resp"
MIN_STATUS = 400
"""The lowest number of an error: lower ones are statuses of success."""


def fault_of_event(data: bytes) -> Fault:
    """The fault in an event named `error`, from data of any form."""
    try:
        value = json_text.decode(data)
    except json_text.Malformed:
        return fault_in(data.decode("utf-8", "replace"))
    return fault_in(value)


def error_in(value: dict[str, Any]) -> Any:
    """The object if it holds an error or is one, else None. Some servers put the description beside the error."""
    is_error = value.get("error") or value.get("object") == ERROR or value.get("type") == ERROR
    return value if is_error or has_failed(value.get(BASE_RESP)) else None


def bare_error_in(value: dict[str, Any]) -> Any:
    """The error in an object that has no part of an answer: here an empty error counts as one, too, and so do the
    members of an error without a wrapping."""
    if error := error_in(value):
        return error
    is_empty_error = value.get("error") not in (None, False)
    return value if is_empty_error or _is_refusal(value) else None


def _is_refusal(value: dict[str, Any]) -> bool:
    """Whether there is a sentence with a word or a number of an error; FastAPI has it alone, as `detail`."""
    if value.get("detail") or value.get("error_code") or value.get("error_msg") or value.get("errors"):
        return True
    code, kind = value.get("code"), value.get("type")
    is_coded = code >= MIN_STATUS if isinstance(code, int) else bool(code)
    is_coded = is_coded or value.get("success") is False or any(map(_reports_failure, map(value.get, STATUSES)))
    is_kind = isinstance(kind, str) and any(word in kind.lower() for word in ("error", "exception"))
    return (is_coded or is_kind) and any(isinstance(value.get(name), str) for name in SENTENCES)


def _reports_failure(value: Any) -> bool:
    """Whether a value is a number of an error, as a number or as text, or a word for one."""
    if isinstance(value, str) and value.lower() in FAILURES:
        return True
    if isinstance(value, str) and len(value) == len(str(MIN_STATUS)) and value.isdecimal():
        value = int(value)
    return isinstance(value, int) and value >= MIN_STATUS


def has_failed(base_resp: Any) -> bool:
    """Whether MiniMax's status of the call, which is in every object, is an error: any number except 0."""
    return isinstance(base_resp, dict) and base_resp.get("status_code") not in (None, 0)
