"""Names and arguments of tool calls, read from whole messages or from pieces of a stream."""

from __future__ import annotations

from typing import Any, NamedTuple

from services.models.providers.answers.values import read_word
from services.models.providers.errors.faults import Fault
from services.shared import json_text
from services.shared.json_text import written

KINDS = {"function": "arguments", "custom": "input"}
"""The kinds of tools, each with the member that holds the arguments of a call; those of custom tools are any text."""

OTHER_NAMES = ("parameters", "input")
"""Names of arguments in the models' own formats, which servers hand on (Llama's, Anthropic's)."""
NULL = "null"


class Called(NamedTuple):
    """The name and arguments of a call, or of a piece of one; empty if it has none."""

    name: str
    arguments: str
    takes_text: bool = False
    """Whether the arguments are any text, and need not be an object."""

    @property
    def has_no_arguments(self) -> bool:
        """Whether the arguments are white space, or null where there should be an object."""
        blank = self.arguments.strip()
        return not blank or (blank == NULL and not self.takes_text)


def calls_in(message: dict[str, Any]) -> list[Any]:
    """The calls, or pieces of calls, in a message or a piece of one; one in the form before `tool_calls` included."""
    calls = message.get("tool_calls")
    if isinstance(calls, str) and calls.lstrip().startswith(("[", "{")):
        calls = _decoded(calls)
    if isinstance(calls, list) and calls:
        return calls
    if isinstance(calls, dict) and calls:
        return _calls_of(calls)
    former = message.get("function_call")
    # Some servers have an empty one in every message.
    if isinstance(former, dict) and any(former.values()):
        return [{"index": 0, "function": former}]
    return []


def is_placeholder(call: Any) -> bool:
    """Whether a call is null, or has no name: some servers write such a call into every message."""
    if call is None:
        return True
    called = _read(call)
    return called is not None and not called.name and called.has_no_arguments and not call.get("id")


def _calls_of(calls: dict[str, Any]) -> list[Any]:
    """The calls in an object: the only one, or all by their numbers."""
    if _read(calls):
        return [calls]
    if all(isinstance(call, dict) for call in calls.values()):
        return list(calls.values())
    return []


def _decoded(calls: str) -> Any:
    """The calls in a text of JSON. Raises Fault for a text that is not JSON."""
    try:
        return json_text.decode(calls.encode())
    except (json_text.Malformed, UnicodeEncodeError):
        raise Fault("UPSTREAM_PROTOCOL_ERROR") from None


def read_call(call: Any) -> Called:
    """The name and arguments of a whole call. Raises Fault for a call of no tool of the caller's."""
    called = _read(call)
    if called is None:
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return called


def read_piece(delta: Any) -> Called:
    """The name and arguments in a piece of a call, which may be its id alone. Raises Fault for a piece of no call."""
    called = _read(delta)
    if called is not None:
        return called
    kind = delta.get("type")
    if kind and kind not in KINDS:
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return Called("", "")


def _arguments_in(holder: dict[str, Any], member: str) -> str:
    """The arguments of a call, for which some servers have other names."""
    name = next((name for name in (member, *OTHER_NAMES) if holder.get(name) is not None), member)
    return written(holder.get(name))


def _read(call: Any) -> Called | None:
    if not isinstance(call, dict):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    for kind, member in KINDS.items():
        holder = call.get(kind)
        if isinstance(holder, dict):
            return Called(read_word(holder.get("name")), _arguments_in(holder, member), kind == "custom")
        if holder:
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
    # Some servers leave out the object around the name and the arguments.
    if "name" in call or "arguments" in call:
        return Called(read_word(call.get("name")), written(call.get("arguments")))
    return None
