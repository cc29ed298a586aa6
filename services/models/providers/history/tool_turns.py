"""Results of tools, placed behind their calls: providers refuse a conversation with a call whose result is missing or
elsewhere.

A program may have been stopped between a call and its result, or its user may have said something else instead. Such a
conversation is repaired: a call without a result gets one that says so, and a result elsewhere is moved behind its
call. Several results of one call are joined: Anthropic refuses all later turns otherwise ("each tool_use must have a
single result"). If an answer stands behind the call of the last result, a message says that the result has come: models
would go on with their answer otherwise, and those of Claude refuse to.

A call belongs to the latest earlier message that made one of its id: servers count from 0 in every answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from proto import models_pb2
from services.models.providers.notices import Notices, notice
from services.shared.tool_calls import answered_ids, calls_of, has_own_result

NOT_RUN = "This call was not run: it was never answered."
CAME_LATE = "The result of the tool call has come; it stands behind the call."

PlacedMessage = tuple[str, models_pb2.ChatMessage]
"""A message with its path."""


class _Call(NamedTuple):
    """One call: where its message stands, and its id."""

    message: int
    id: str


def fit_results(messages: Sequence[PlacedMessage], notices: Notices) -> Sequence[PlacedMessage]:
    """The messages with all results behind their calls, the same sequence where nothing had to change."""
    return messages if _are_answered(messages) else _Arrangement(messages, notices).arranged()


def _result_parts(message: models_pb2.ChatMessage) -> Iterator[models_pb2.ContentPart]:
    """The results in a tool's message; its own content is converted to a result part."""
    if has_own_result(message):
        content = [part for part in message.parts if not part.HasField("tool_result")]
        content = content or [models_pb2.ContentPart(text=message.content)] * bool(message.content)
        own = models_pb2.ToolResult(tool_call_id=message.tool_call_id, content=content, name=message.name)
        yield models_pb2.ContentPart(tool_result=own)
    yield from (part for part in message.parts if part.HasField("tool_result"))


def _are_answered(messages: Sequence[PlacedMessage]) -> bool:
    """Whether each call has exactly one result, directly after its message, and there are no other results."""
    waiting: set[str] = set()
    for _, message in messages:
        if message.role == "tool":
            for call_id in answered_ids(message):
                if call_id not in waiting:
                    return False
                waiting.remove(call_id)
            continue
        if waiting:
            return False
        waiting = {call.id for call in calls_of(message)} if message.role == "assistant" else set()
    return not waiting


class _Arrangement:
    """Moves the results of one conversation behind their calls."""

    def __init__(self, messages: Sequence[PlacedMessage], notices: Notices) -> None:
        self._messages = messages
        self._notices = notices
        self._calls: dict[str, list[_Call]] = defaultdict(list)
        """The calls by id, in their order."""
        self._answered: set[_Call] = set()
        self._behind: dict[int, list[PlacedMessage]] = defaultdict(list)
        """The results behind the message of their calls."""
        self._homeless: dict[int, models_pb2.ChatMessage] = {}
        """Results of calls that are nowhere, which stay where they are for the provider to judge."""

    def arranged(self) -> list[PlacedMessage]:
        for place, (_, message) in enumerate(self._messages):
            if message.role == "assistant":
                for call in calls_of(message):
                    self._calls[call.id].append(_Call(place, call.id))
        self._bring_results()
        arranged = list(self._in_order())
        if self._messages[-1][1].role == "tool" and arranged[-1][1].role == "assistant":
            path = self._messages[-1][0]
            text = "an answer stands behind the call of this result; a message was added that says that it has come"
            self._warn("USER_MESSAGE_ADDED", path, text)
            arranged.append((path, models_pb2.ChatMessage(role="user", content=CAME_LATE)))
        return arranged

    def _bring_results(self) -> None:
        block: int | None = None
        for place, (path, message) in enumerate(self._messages):
            if message.role != "tool":
                block = place
                continue
            wholes = self._split(place, message)
            for home, whole in wholes.items():
                if home is None:
                    self._homeless[place] = whole
                    continue
                self._behind[home].append((path, whole))
                if home != block:
                    text = "the result of a tool call stood elsewhere; it was sent right behind the call"
                    self._warn("TOOL_RESULT_MOVED", path, text)

    def _split(self, place: int, message: models_pb2.ChatMessage) -> dict[int | None, models_pb2.ChatMessage]:
        """A tool's message, split by the messages whose calls it answers."""
        homes = {call_id: self._home_of(call_id, place) for call_id in dict.fromkeys(answered_ids(message))}
        if len(set(homes.values())) == 1:
            return {next(iter(homes.values())): message}
        pieces: dict[int | None, models_pb2.ChatMessage] = {}
        for part in message.parts:
            is_result = part.HasField("tool_result")
            home = homes[part.tool_result.tool_call_id if is_result else message.tool_call_id]
            piece = pieces.setdefault(home, models_pb2.ChatMessage(role="tool", name=message.name))
            piece.parts.add().CopyFrom(part)
            if not is_result:
                piece.tool_call_id = message.tool_call_id
        return pieces

    def _home_of(self, call_id: str, place: int) -> int | None:
        """The message of the call that a result at `place` answers."""
        calls = self._calls.get(call_id, ())
        earlier = [call for call in calls if call.message < place]
        open_ones = [call for call in earlier if call not in self._answered]
        later = [call for call in calls if call.message > place and call not in self._answered]
        chosen = open_ones[-1:] or later[:1] or earlier[-1:]
        if not chosen:
            return None
        self._answered.add(chosen[0])
        return chosen[0].message

    def _in_order(self) -> Iterator[PlacedMessage]:
        for place, (path, message) in enumerate(self._messages):
            if message.role == "tool":
                if place in self._homeless:
                    yield path, self._homeless[place]
                continue
            yield path, message
            yield from self._once_each(self._behind.get(place, ()))
            if message.role == "assistant":
                yield from self._not_run(place, path, message)

    def _once_each(self, results: Sequence[PlacedMessage]) -> Sequence[PlacedMessage]:
        """The results behind one message, with those of the same call joined in their order."""
        call_ids = [call_id for _, message in results for call_id in answered_ids(message)]
        if len(set(call_ids)) == len(call_ids):
            return results
        wholes: dict[str, PlacedMessage] = {}
        for path, message in results:
            for part in _result_parts(message):
                call_id = part.tool_result.tool_call_id
                if call_id not in wholes:
                    wholes[call_id] = path, models_pb2.ChatMessage(role="tool", parts=[part])
                    continue
                whole = wholes[call_id][1].parts[0].tool_result
                if whole.content and whole.content[-1].HasField("text"):
                    # A line break keeps joined texts apart.
                    whole.content[-1].text += "\n"
                whole.content.extend(part.tool_result.content)
                whole.is_error = part.tool_result.is_error
                text = f"the tool call {call_id[:64]} was answered more than once; the results were sent as one"
                self._warn("TOOL_RESULTS_JOINED", path, text)
        return list(wholes.values())

    def _not_run(self, place: int, path: str, message: models_pb2.ChatMessage) -> Iterator[PlacedMessage]:
        for call in calls_of(message):
            if _Call(place, call.id) not in self._answered:
                text = f"the tool call {call.id[:64]} was never answered; a result was sent that says it was not run"
                self._warn("TOOL_RESULT_ADDED", path, text)
                yield path, models_pb2.ChatMessage(role="tool", tool_call_id=call.id, content=NOT_RUN)

    def _warn(self, code: str, path: str, text: str) -> None:
        self._notices.append(notice(code, path, text))
