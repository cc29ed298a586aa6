"""Answers of models on the command line: the text on standard output, notices and costs on standard error."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import click

from genai_platform import ChatResponse, GenAIPlatform
from genai_platform.cli.output import say
from genai_platform.streams import check_stored

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that a terminal obeys instead of showing them, but line ends and tabs."""

ENDS = {
    "length": "the answer was cut off at its longest length",
    "content_filter": "the provider's content filter ended the answer",
    "refusal": "the model refused to answer",
    "pause": "the provider paused the answer",
    "tool_calls": "the model called tools, which this command cannot answer",
}
"""Ends of an answer that is not whole, by its finish reason."""


def stream_answer(platform: GenAIPlatform, messages: Any, fields: Mapping[str, Any]) -> ChatResponse:
    """Streams an answer to standard output, and returns it. Leaving it by an error or Ctrl-C cancels the call.

    Raises GenAIError.
    """
    last = "\n"
    with platform.models.chat_stream(messages, **fields) as stream:
        try:
            for chunk in stream:
                if chunk.token:
                    click.echo(printable(chunk.token), nl=False)
                    last = chunk.token[-1]
        except BrokenPipeError:
            raise
        except BaseException:
            end_line(last)
            raise
        end_line(last)
        response = stream.response or ChatResponse()
    tell_end(response)
    check_stored(response)
    return response


def end_line(last: str) -> None:
    """Ends a line of output whose last character this is."""
    if last != "\n":
        click.echo()


def printable(text: str) -> str:
    """The text, without the power to move the cursor or to change colours where a terminal shows it."""
    return CONTROL.sub("\ufffd", text) if sys.stdout.isatty() else text


def tell_end(response: ChatResponse) -> None:
    """Tells the notices of an answer, and why it is not whole."""
    for notice in response.warnings:
        say(f"genai: {notice.message} [{notice.code}]")
    for part in response.message.parts:
        if part.refusal:
            say(f"genai: {printable(part.refusal)}")
    if response.finish_reason in ENDS:
        say(f"genai: {ENDS[response.finish_reason]}")


def tell_usage(response: ChatResponse) -> None:
    """Tells the model of an answer, its tokens and its cost."""
    usage = response.usage
    cost = usage.cost_usd
    facts = (
        response.model,
        f"{usage.prompt_tokens} + {usage.completion_tokens} tokens",
        "cost unknown" if cost is None else f"${cost:.6f}",
        f"{response.timing.total.ToMilliseconds() / 1000:.1f} s",
    )
    say(_dim(" · ".join(facts)))


def _dim(text: str) -> str:
    has_colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return click.style(text, dim=True) if has_colours else text
