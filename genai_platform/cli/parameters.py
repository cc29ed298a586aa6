"""Parameters of commands: spans of time, pairs, amounts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d+)([smhdw])")

NANO = 10**9

Command = TypeVar("Command", bound=Callable[..., Any])

reason_option: Callable[[Command], Command] = click.option("--reason", default="", help="Reason, for the audit log.")


class Span(click.ParamType[int]):
    """A span of time such as `90d`, in seconds."""

    name = "span"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        match = _SPAN.fullmatch(value)
        if not match and value != "0":
            self.fail(f"{value!r} is no span of time: write 12h, 90d or 4w", parameter, context)
        return int(match[1]) * _SECONDS[match[2]] if match else 0


class Expiry(click.ParamType[float]):
    """A span of time from now, or a date, in seconds since 1970."""

    name = "span|date"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, float):
            return value
        match = _SPAN.fullmatch(value)
        if match:
            return time.time() + int(match[1]) * _SECONDS[match[2]]
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no span and no date: write 90d or 2027-01-31", parameter, context)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


class Pair(click.ParamType[tuple[str, str]]):
    """A pair such as `app=search`."""

    name = "key=value"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        key, equals, text = value.partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is no pair: write key=value", parameter, context)
        return key, text


def read_amount(text: str, *, in_usd: bool) -> int:
    """An amount: a whole number, or with `in_usd` US dollars as nano-USD. Raises click.BadParameter."""
    try:
        amount = Decimal(text.replace("_", "")) * (NANO if in_usd else 1)
    except InvalidOperation:
        raise click.BadParameter(f"{text!r} is no number") from None
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise click.BadParameter(f"{text!r} is no {'amount of nano-USD' if in_usd else 'whole number'}")
    return int(amount)
