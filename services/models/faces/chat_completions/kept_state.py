"""Opaque state of providers in `reasoning_details`, a member of messages that clients of OpenRouter return untouched.

So do all that send back a message as they got it, such as programs with OpenAI's own SDKs.

https://openrouter.ai/docs/guides/best-practices/reasoning-tokens

A message of Chat Completions has no order: one text, one refusal, one reasoning, and its calls. The details have one
entry for each part, in the order of the parts, with its length or its call's id; so the same parts come back with the
state of each. They are written only where a part has state.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from proto import models_pb2
from services.models.faces.state_envelope import open_envelope, seal

FORMAT = "gs1"
"""The mark of an entry that was written here."""

DETAILS = "reasoning_details"

_PLACE = re.compile(r"(text|reasoning|redacted|refusal|call|state):(.*)", re.DOTALL)
_LENGTH = re.compile(r"[0-9]{1,9}")


class _Detail(msgspec.Struct):
    type: str
    id: str
    format: str
    data: str
    index: int


class _Returned(msgspec.Struct):
    """An entry that a client has sent, ours or a server's."""

    id: str | None = None
    format: str | None = None
    data: str | None = None


_decoder = msgspec.json.Decoder(list[_Returned])


class Entry(NamedTuple):
    """A part of a message, as its detail tells it."""

    kind: str
    """`text`, `reasoning`, `redacted` (of which nothing is told), `refusal`, `call`, or `state` alone."""
    length: int
    """Characters of its text."""
    call_id: str
    state: models_pb2.ProviderState | None


# --------------------------------------------------------------------------------------------------------- writing


def details_of(message: models_pb2.ChatMessage) -> bytes:
    """The details of an answer; b"" if no part of it has state."""
    if not any(part.HasField("provider_state") for part in message.parts):
        return b""
    return msgspec.json.encode([_detail(index, part) for index, part in enumerate(message.parts)])


def _detail(index: int, part: models_pb2.ContentPart) -> _Detail:
    data = seal(part.provider_state) if part.HasField("provider_state") else ""
    return _Detail("reasoning.encrypted", _place_of(part), FORMAT, data, index)


def _place_of(part: models_pb2.ContentPart) -> str:
    kind = part.WhichOneof("kind")
    if kind == "tool_call":
        return f"call:{part.tool_call.id}"
    if kind == "reasoning":
        return f"{'redacted' if part.reasoning.redacted else 'reasoning'}:{len(part.reasoning.text)}"
    if kind in ("text", "refusal"):
        return f"{kind}:{len(getattr(part, kind))}"
    return "state:"


# --------------------------------------------------------------------------------------------------------- reading


def entries_in(details: msgspec.Raw) -> Sequence[Entry]:
    """The parts that details tell of; none for those that others have written, and for damaged ones."""
    try:
        returned = _decoder.decode(details)
    except (msgspec.MsgspecError, RecursionError):
        return []
    return list(_entries(returned))


def _entries(returned: Sequence[_Returned]) -> Iterator[Entry]:
    for detail in returned:
        place = _PLACE.fullmatch(detail.id or "") if detail.format == FORMAT else None
        if place is None:
            continue
        kind, rest = place.groups()
        state = open_envelope(detail.data or "")
        if kind in ("call", "state"):
            yield Entry(kind, 0, rest, state)
        elif _LENGTH.fullmatch(rest):
            yield Entry(kind, int(rest), "", state)


class Placed(NamedTuple):
    """A part, with its path in the message of the body."""

    part: models_pb2.ContentPart
    path: str


def place_parts(entries: Sequence[Entry], told: Mapping[str, Placed], calls: Sequence[Placed]) -> Iterator[Placed]:
    """The parts of a message in their order; `told` are its text, refusal and reasoning under these names.

    A text that the client has changed comes whole, in the place of its first part, and without state.
    """
    cuts = {name: _Cut(name, placed, entries) for name, placed in told.items()}
    left = {placed.part.tool_call.id: placed for placed in calls}
    for index, (kind, length, call_id, state) in enumerate(entries):
        if kind == "call":
            placed = left.pop(call_id, None)
        elif kind == "state":
            placed = Placed(models_pb2.ContentPart(), f"{DETAILS}[{index}]")
        else:
            name = "reasoning" if kind == "redacted" else kind
            cut = cuts.get(name)
            placed = cut.take(length) if cut else None
            keeps_state = kind in ("reasoning", "redacted") or (cut is not None and cut.fits)
            state = state if keeps_state else None
            if placed is None and state is not None and name == "reasoning":
                placed = Placed(models_pb2.ContentPart(reasoning=models_pb2.Reasoning()), f"{DETAILS}[{index}]")
            if placed is not None and kind == "redacted":
                placed.part.reasoning.redacted = True
        if placed is None or (kind == "state" and state is None):
            continue
        if state is not None:
            placed.part.provider_state.CopyFrom(state)
        yield placed
    for cut in cuts.values():
        if (rest := cut.take_rest()) is not None:
            yield rest
    yield from left.values()


class _Cut:
    """A text of a message, cut into its parts."""

    def __init__(self, name: str, placed: Placed, entries: Sequence[Entry]) -> None:
        kinds = ("reasoning", "redacted") if name == "reasoning" else (name,)
        self._name = name
        self._text, self._path = _text_of(placed.part, name), placed.path
        self._start = 0
        self._is_taken = False
        self.fits = sum(entry.length for entry in entries if entry.kind in kinds) == len(self._text)

    def take(self, length: int) -> Placed | None:
        """The next part; None for one that is no longer there."""
        if not self.fits:
            return self.take_rest()
        self._is_taken = True
        start, self._start = self._start, self._start + length
        return self._placed(self._text[start : self._start])

    def take_rest(self) -> Placed | None:
        """The whole text, unless it was taken before."""
        if self._is_taken:
            return None
        self._is_taken = True
        return self._placed(self._text)

    def _placed(self, text: str) -> Placed:
        return Placed(part_of(self._name, text), self._path)


def part_of(name: str, text: str) -> models_pb2.ContentPart:
    """A part of text, of a refusal or of reasoning."""
    if name == "reasoning":
        return models_pb2.ContentPart(reasoning=models_pb2.Reasoning(text=text))
    return models_pb2.ContentPart(text=text) if name == "text" else models_pb2.ContentPart(refusal=text)


def _text_of(part: models_pb2.ContentPart, name: str) -> str:
    return part.reasoning.text if name == "reasoning" else str(getattr(part, name))
