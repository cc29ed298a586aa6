"""A first look at a body: what decides whether it can be forwarded as it is, without reading all of it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

STATE_MARK = b'"gs1'
"""The beginning of opaque state that another vendor's server must get back, as `state_envelope` writes it."""

BILLING_MARK = b'"x-anthropic-billing-header'
"""The beginning of a text of Claude Code that only Anthropic's own servers know what to do with."""


class Glance(NamedTuple):
    """The facts of a request that a first look gives."""

    model: str
    streams: bool
    max_tokens: int
    """The most tokens that it asks for; 0 if it does not say."""
    has_tools: bool
    has_messages: bool
    asks_for_usage: bool
    """Whether a stream of Chat Completions is asked to have its usage."""


class _Options(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: str = ""
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    tools: msgspec.Raw = msgspec.Raw()
    stream_options: _Options | None = None
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    genai: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Body)


def glance_at(body: bytes) -> Glance | None:
    """The facts of a body that may be forwarded; None for one that must be read whole: it has the platform's own
    fields, state of another vendor, or a mistake."""
    try:
        seen = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not seen.model or bytes(seen.genai) or not (bytes(seen.messages) or bytes(seen.input)):
        return None
    if STATE_MARK in body:
        return None
    return Glance(
        seen.model,
        bool(seen.stream),
        max(seen.max_tokens or 0, seen.max_completion_tokens or 0, seen.max_output_tokens or 0),
        len(bytes(seen.tools)) > len(b"[]") and bytes(seen.tools) != b"null",
        bool(bytes(seen.messages)),
        # Options without it are left as they are: the usage is then estimated.
        seen.stream_options is not None,
    )
