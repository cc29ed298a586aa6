"""Results of tools, read out of the messages that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from proto import models_pb2
from services.models.providers.requests.parts import PlacedPart, place
from services.shared.tool_calls import calls_of


class Result(NamedTuple):
    """The result of one tool call, in a message of parts."""

    call_id: str
    content: Sequence[PlacedPart]
    whole: PlacedPart | None = None
    """The part that is the result; None where the parts of a message answer the message's own call."""

    @property
    def tool_name(self) -> str:
        """The tool's name, if the caller has given it here."""
        return self.whole[1].tool_result.name if self.whole else ""

    @property
    def is_error(self) -> bool:
        """Whether the tool failed."""
        return self.whole is not None and self.whole[1].tool_result.is_error


def read_results(message: models_pb2.ChatMessage, path: str) -> Iterator[Result]:
    """The results in a tool message of parts: each part that is a result, and one result of all other parts, which
    answers the message's own call, at the place of the first of them."""
    parts = place(message.parts, f"{path}.parts")
    own = [(here, part) for here, part in parts if not part.HasField("tool_result")]
    for here, part in parts:
        if part.HasField("tool_result"):
            result = part.tool_result
            yield Result(result.tool_call_id, place(result.content, f"{here}.tool_result.content"), (here, part))
        elif own:
            yield Result(message.tool_call_id, own)
            own = []


class CalledTools:
    """The names of the tools that a conversation calls, for dialects whose results name the tool.

    The messages are taken in their order, because an id may be used again in a later message.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def take(self, message: models_pb2.ChatMessage) -> None:
        """Adds the calls of a message."""
        self._names.update((call.id, call.name) for call in calls_of(message))

    def name_of(self, result: Result) -> str:
        """The name of the tool in the newest call with the result's id, or else in the result; empty without either."""
        return self._names.get(result.call_id) or result.tool_name
