"""The contract of a face: a dialect that clients speak, turned into the platform's own and back.

A face is pure: bytes and messages in, bytes and messages out, no I/O and no clock. Three things make it:

  reading    `Face.read`: the body of a request → `Asked`, which has the ChatRequest
  writing    `Asked.whole` for a complete answer, `Asked.encoder` for one in events
  refusing   `Face.refusal`: an error → status, header fields and body, in the dialect's own words

What a face promises:

  * Nothing is lost silently. What the contract has no place for goes into the options of the providers that speak the
    same dialect, or is refused by its path in the body.
  * Arguments, schemas and opaque state keep their bytes.
  * An answer names the model as the client has named it.
  * An answer that is not complete never looks complete: each ending but a whole answer is an error event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from proto import models_pb2
from services.shared.errors import PlatformError


class About(NamedTuple):
    """The facts of an answer that the platform adds."""

    id: str
    """The id of the call: hexadecimal digits, from which the dialect makes its ids."""
    created: int
    """The time of the call, in seconds since 1970."""


class Refusal(NamedTuple):
    """An error in the words of a dialect."""

    status: int
    headers: Sequence[tuple[str, str]]
    """Header fields beside those of every answer, names in lower case."""
    body: bytes


class Encoder(Protocol):
    """Writes one answer as the events of its dialect. Each method returns bytes to send, b"" for none."""

    heartbeat: bytes
    """Bytes that are sent in a silence."""

    def begin(self) -> bytes:
        """The events with which every answer begins, if they are not sent yet: for an answer that is long in coming."""

    def feed(self, chunk: models_pb2.ChatChunk) -> bytes:
        """The events of a chunk; those of the last one, with the response, end the answer."""

    def fail(self, error: PlatformError, request_id: str) -> bytes:
        """The events that end an answer with an error. The connection is cut behind them."""


class Asked(Protocol):
    """A request that was read. Its writers know what it has asked for: the name of the model, usage, formats."""

    request: models_pb2.ChatRequest
    streams: bool
    """Whether the answer is asked for in events."""
    platform: bytes
    """The member `genai`, JSON with the platform's own fields; b"" without one."""

    def whole(self, response: models_pb2.ChatResponse, about: About) -> bytes:
        """The body of a complete answer."""

    def encoder(self, about: About) -> Encoder:
        """The encoder of one answer in events."""

    def path_of(self, field: str) -> str:
        """The path in the body of a field of `request` (`messages[1].parts[0].media`); "" where it has none."""


class Face(Protocol):
    """One dialect."""

    name: str
    """As in the log: `chat_completions`, `responses`, `messages`."""

    def read(self, body: bytes, model: str = "") -> Asked:
        """Reads a body; `model` is that of the path, if the path names one.

        Raises InvalidRequest naming members by their paths in the body (`messages[2].content[0].type`).
        """

    def refusal(self, error: PlatformError, request_id: str, asked: Asked | None = None) -> Refusal:
        """The error of a request, which `asked` is if it was read."""


class CountingFace(Face, Protocol):
    """A dialect that can also be asked how many tokens a prompt has, by the same body."""

    def counted(self, tokens: int) -> bytes:
        """The body of the answer."""
