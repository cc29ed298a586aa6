"""The sample answers that every dialect writes, and `Speech`: how one of them writes them.

The speeches themselves are in `tests/wire/speeches`, a module for each dialect.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import msgspec

from tests.scripted_upstream import Received

MODEL = "sample-model-1"
ANSWER_ID = "answer-1"


class Call(NamedTuple):
    """A tool call; `pieces` joined are its arguments."""

    id: str
    name: str
    pieces: Sequence[str]

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class Usage(NamedTuple):
    """Tokens as the platform counts them: cached ones are part of the prompt, thoughts of the completion."""

    prompt: int
    completion: int
    cached: int | None = None
    written: int | None = None
    thought: int | None = None


USAGE = Usage(prompt=12, completion=7)


@dataclass(frozen=True)
class Sample:
    """An answer, in pieces as a stream would send them. Without `finish`, the usual word for such an answer."""

    text: Sequence[str] = ()
    reasoning: Sequence[str] = ()
    calls: Sequence[Call] = ()
    finish: str = ""
    usage: Usage | None = USAGE


HELLO = Sample(text=["Hel", "lo ", "wörld \U0001f600"])


class Speech(ABC):
    """A dialect as a server speaks it: how it writes an answer, and the shape of the requests that it is sent."""

    title: ClassVar[str]
    """The name of the dialect in docs/features.md."""
    finish_reasons: ClassVar[dict[str, str]]
    """The provider's words, and the platform's for each."""
    terminal_words: ClassVar[tuple[bytes, ...]]
    """Words, one of which is in every stream that is whole."""
    ping: str = ": keep-alive\n\n"
    """What keeps a connection busy without being part of the answer."""
    terminal_event: str
    """The event that ends a stream and has no content. Where a dialect has no such marker, and ends with the last piece
    of the answer, it is an event of the dialect without content."""
    counts_cache_writes: bool = True
    """Whether its usage tells the tokens that were written into a cache."""
    counts_prompt_first: bool = False
    """Whether a stream tells the tokens of the prompt before its first piece."""

    # ----------------------------------------------------------------------------------------------------- answers

    @abstractmethod
    def body(self, sample: Sample) -> dict[str, Any]:
        """The whole answer."""

    @abstractmethod
    def opening(self) -> list[str]:
        """The events before the first piece, at least one: an event without content where a dialect has no others."""

    @abstractmethod
    def piece(self, text: str) -> str:
        """An event with a piece of the first text block."""

    @abstractmethod
    def ending(self, sample: Sample) -> list[str]:
        """The events after the last piece, the terminal one last."""

    @abstractmethod
    def events(self, sample: Sample) -> list[str]:
        """The whole answer as a stream."""

    @abstractmethod
    def error(self, word: str, message: str) -> dict[str, Any]:
        """The body of an error, and the data of an error event."""

    @property
    def end_marks(self) -> Sequence[bytes]:
        """The bytes, one of which begins the end of a transcript: before it no stream is whole."""
        return self.terminal_words

    def without_model(self, text: str) -> str:
        """A body or an event as a server writes it that does not name its model."""
        return re.sub(f'"model": ?"{MODEL}", ?', "", text)

    # ---------------------------------------------------------------------------------------------------- requests

    @abstractmethod
    def path(self, model: str, *, stream: bool) -> str:
        """The path below the base URL at which a model is asked for a whole answer, or for a stream."""

    stream_members: Mapping[str, Any] = {"stream": True}
    """The members of a body that ask for a stream."""
    sdk_type: str = ""
    """The type of its bodies in the vendor's SDK, as `vendor_types.request_type` names it; empty if there is none."""

    def asks_for_stream(self, request: Received) -> bool:
        """Whether a request asks for a stream."""
        return bool(request.json().get("stream"))

    @abstractmethod
    def returned(self, body: Any) -> Any:
        """The answer to the first question, as it stands in the body of the next request."""

    @abstractmethod
    def expected(self, sample: Sample) -> Any:
        """The same as the provider wrote it, as far as its dialect takes it back."""


def exactly(text: str) -> msgspec.Raw:
    """JSON text that stands in a body as it is written."""
    return msgspec.Raw(text.encode())


def encode(body: Any) -> bytes:
    """The bytes of a body."""
    return msgspec.json.encode(body)
