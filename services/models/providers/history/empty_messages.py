"""Empty answers: many providers refuse a conversation that contains one, in this and in every later turn.

An answer is empty if it ended before its first word, or has only reasoning that is not sent back. Between two messages
of others it is filled, because many chat templates require speakers to alternate; elsewhere it is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from proto import models_pb2
from services.models.providers.history.tool_turns import PlacedMessage
from services.models.providers.notices import Notices, notice
from services.models.providers.state.container_state import container_in
from services.models.providers.state.member_state import is_wrapped
from services.models.providers.state.opaque_state import is_made_by

NO_ANSWER = "(no answer)"


def fit_empty_messages(
    messages: Sequence[PlacedMessage], state_owner: str, notices: Notices
) -> Sequence[PlacedMessage]:
    """The messages without the assistant's empty ones; the same sequence if there are none."""
    empty = [place for place, (_, message) in enumerate(messages) if _is_empty(message, state_owner)]
    if not empty or len(messages) == 1:
        return messages
    fitted = list(messages)
    for place in reversed(empty):
        path, message = fitted[place]
        if _is_needed(fitted, place):
            fitted[place] = path, _filled(message)
            _warn(notices, "EMPTY_MESSAGE_FILLED", path, f"an empty answer was sent as {NO_ANSWER}; many refuse such")
        else:
            del fitted[place]
            _warn(notices, "EMPTY_MESSAGE_DROPPED", path, "an empty answer was left out; many providers refuse such")
    return fitted


def _is_empty(message: models_pb2.ChatMessage, state_owner: str) -> bool:
    if message.role != "assistant":
        return False
    if not message.parts:
        return not message.tool_calls and not message.content.strip()
    return not any(_has_content(part, state_owner) for part in message.parts)


def _has_content(part: models_pb2.ContentPart, state_owner: str) -> bool:
    kind = part.WhichOneof("kind")
    if kind in ("text", "refusal"):
        return bool((part.text or part.refusal).strip())
    if kind in ("tool_call", "media"):
        return True
    # Opaque state that is a block or an item is content; members of a message are not.
    return is_made_by(state_owner, part) and not is_wrapped(part) and container_in(part) is None


def _is_needed(messages: Sequence[PlacedMessage], place: int) -> bool:
    """Whether the messages before and after it are both of other speakers than the assistant."""
    if place == len(messages) - 1:
        return False
    before = messages[place - 1][1].role if place else ""
    return "assistant" not in (before, messages[place + 1][1].role)


def _filled(message: models_pb2.ChatMessage) -> models_pb2.ChatMessage:
    filled = models_pb2.ChatMessage()
    filled.CopyFrom(message)
    filled.content = NO_ANSWER
    if filled.parts:
        kept = [part for part in filled.parts if part.WhichOneof("kind") not in ("text", "refusal")]
        del filled.parts[:]
        filled.parts.extend([*kept, models_pb2.ContentPart(text=NO_ANSWER)])
    return filled


def _warn(notices: Notices, code: str, path: str, text: str) -> None:
    notices.append(notice(code, path, text))
