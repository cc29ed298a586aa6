"""Log lines for people at a terminal: one short line for each event, with what matters first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from services.shared.characters import escape_invisible

Render = Callable[[Mapping[str, Any]], bytes]

MAX_TEXT = 400
"""Characters of one value that are shown."""

_RED, _GREEN, _YELLOW, _DIM, _PLAIN = "31", "32", "33", "2", ""
_COLOR_OF_LEVEL = {"debug": _DIM, "warning": _YELLOW, "error": _RED}

# Codes that are the caller's own doing, or a moment's: no fault to look after.
_CALLERS_CODES = frozenset(
    {
        *("CANCELLED", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "ABORTED", "FAILED_PRECONDITION"),
        *("UNAUTHENTICATED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    }
)

_HEAD = frozenset({"ts", "level", "service", "event"})
_OF_A_CALL = frozenset(
    {
        *("method", "code", "reason", "request_id", "duration_ms", "model", "provider", "upstream_model"),
        *("prompt_tokens", "completion_tokens", "cost_nano_usd", "first_token_ms", "finish_reason", "response_id"),
        *("key_id", "team", "project", "request_bytes", "response_bytes", "messages", "replica"),
        *("usage_estimated", "tags", "call_id"),
    }
)
"""Fields that a line of a call shows in a form of its own, or leaves to the log of machines."""


def is_terminal(file: BinaryIO) -> bool:
    """Whether a person reads the file."""
    try:
        return file.isatty()
    except ValueError:
        return False


def takes_colors(file: BinaryIO) -> bool:
    """Whether the terminal shows colors: no-color.org, and TERM=dumb."""
    return is_terminal(file) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class ReadableLines:
    """Renders log entries for people, with colors or without."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors

    def __call__(self, entry: Mapping[str, Any]) -> bytes:
        """The line of an entry. Control and invisible characters are escaped."""
        pieces = [self._paint(time.strftime("%H:%M:%S"), _DIM), f"{entry['service']:<8}"]
        pieces += self._call(entry) if entry["event"] == "rpc" else self._event(entry)
        return "  ".join(piece for piece in pieces if piece).encode("utf-8", "replace")

    def _event(self, entry: Mapping[str, Any]) -> list[str]:
        level = str(entry["level"])
        text = _text(entry["event"])
        label = "" if level == "info" else f"{level}: "
        rest = {name: value for name, value in entry.items() if name not in _HEAD}
        return [self._paint(f"{label}{text}", _COLOR_OF_LEVEL.get(level, _PLAIN)), self._fields(rest)]

    def _call(self, entry: Mapping[str, Any]) -> list[str]:
        code = str(entry["code"])
        rest = {name: value for name, value in entry.items() if name not in _HEAD | _OF_A_CALL}
        return [
            self._paint(_outcome(entry), _color_of(code)),
            str(entry["method"]).rpartition("/")[2],
            _seconds(entry["duration_ms"]),
            _model(entry),
            _usage(entry),
            self._fields(rest),
            "" if code == "OK" else self._paint(f"request {_text(entry['request_id'])}", _DIM),
        ]

    def _fields(self, fields: Mapping[str, Any]) -> str:
        return self._paint(" ".join(f"{name}={_text(value)}" for name, value in fields.items()), _DIM)

    def _paint(self, text: str, color: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._colors and color and text else text


def _color_of(code: str) -> str:
    if code == "OK":
        return _GREEN
    return _YELLOW if code in _CALLERS_CODES else _RED


def _outcome(entry: Mapping[str, Any]) -> str:
    reason = entry.get("reason")
    return f"{entry['code']} {_text(reason)}" if reason else str(entry["code"])


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def _model(entry: Mapping[str, Any]) -> str:
    asked, provider, upstream = (_text(entry.get(name, "")) for name in ("model", "provider", "upstream_model"))
    if not provider:
        return asked
    served = provider if upstream in ("", asked) else f"{provider}/{upstream}"
    return f"{asked} by {served}"


def _usage(entry: Mapping[str, Any]) -> str:
    tokens = [entry.get(name) for name in ("prompt_tokens", "completion_tokens")]
    shown = f"{tokens[0] or 0}+{tokens[1] or 0} tokens" if any(count is not None for count in tokens) else ""
    cost = entry.get("cost_nano_usd")
    return f"{shown} ${cost / 1e9:.6f}" if shown and cost is not None else shown


def _text(value: Any) -> str:
    text = str(value)
    shown = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
    return escape_invisible(shown)
