"""A first look at a body: what decides whether it can be forwarded as it is, without reading all of it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from services.shared.errors import InvalidRequest

STATE_MARK = b'"gs1'
"""The beginning of opaque state that another vendor's server must get back, as `state_envelope` writes it."""

MAX_MEMBERS = 1000
"""Members of a body. No dialect has a tenth of it."""


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
    stream_options: _Options | msgspec.UnsetType | None = msgspec.UNSET
    background: bool | None = None
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
    if STATE_MARK in body or seen.background:
        return None
    asks_for_usage = seen.stream_options is not msgspec.UNSET
    if seen.stream and asks_for_usage and bytes(seen.messages) and not _includes_usage(seen.stream_options):
        # Only what is asked for otherwise has the usage, hidden tokens too.
        return None
    return Glance(
        seen.model,
        bool(seen.stream),
        max(seen.max_tokens or 0, seen.max_completion_tokens or 0, seen.max_output_tokens or 0),
        len(bytes(seen.tools)) > len(b"[]") and bytes(seen.tools) != b"null",
        bool(bytes(seen.messages)),
        asks_for_usage,
    )


def _includes_usage(options: _Options | msgspec.UnsetType | None) -> bool:
    return isinstance(options, _Options) and bool(options.include_usage)


_ESCAPES = [(b"\\u00%02x" % letter, bytes([letter]).lower()) for letter in b"modelMODEL"]


def check_model_member(body: bytes) -> None:
    """Raises InvalidRequest for a body that names two models: of two members with one name, or with one in another
    case, servers take different ones, and what is asked must be what was allowed."""
    marks = _count_marks(body)
    if marks == 1 and b'"model"' in body:
        return
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # The face says what is wrong with it.
        return
    if len(members) > MAX_MEMBERS:
        raise InvalidRequest(f"the body has more than {MAX_MEMBERS} members")
    names = [name for name in members if name.lower() == "model"]
    known = _count_marks(b" ".join(map(bytes, members.values())))
    if len(names) > 1 or any(name != "model" for name in names) or marks != known + len(names):
        raise InvalidRequest.field("model", "must be in the body once, in lower case, and no other member twice")


def _count_marks(text: bytes) -> int:
    """The times that a text has the word in quotes, in any case and with escapes."""
    text = text.lower()
    if b"\\u006" in text or b"\\u004" in text:
        for written, letter in _ESCAPES:
            text = text.replace(written, letter)
    return text.count(b'"model"')
