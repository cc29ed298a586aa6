"""The history of a session within a conversation: how much of it is asked for, and where it goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from proto import models_pb2, sessions_pb2
from services.models.providers.base import HISTORY_FIELD, Conversation
from services.models.providers.estimates import estimate_prompt_tokens
from services.models.validation.request import check_history
from services.models.validation.work import Contents, message_work
from services.shared.errors import InvalidRequest
from services.shared.offload import LARGE_BYTES

MARGIN = 0.1
"""Of a context window: what estimates of tokens may be wrong by."""


def default_window(
    conversation: Conversation, capabilities: models_pb2.ModelCapabilities
) -> models_pb2.WindowPolicy | None:
    """What the model's context window has room for beside the request and its longest answer, less a tenth.

    None, which means everything, where that window is not known. The answer is never left more than half of it.
    """
    if not capabilities.HasField("context_window"):
        return None
    whole = capabilities.context_window
    answer = conversation.request.config.max_tokens or capabilities.max_output_tokens
    room = whole * (1 - MARGIN) - min(answer, whole // 2) - estimate_prompt_tokens(conversation)
    return models_pb2.WindowPolicy(max_tokens=max(int(room), 0))


def history_work(context: sessions_pb2.GetContextResponse, size: int) -> int:
    """About how much there is to check in a history of `size` bytes, in bytes of plain text."""
    return size if size >= LARGE_BYTES else message_work([entry.message for entry in context.messages], size)


def with_history(conversation: Conversation, context: sessions_pb2.GetContextResponse) -> Conversation:
    """The conversation with the history before the request's messages, and behind the prompt's.

    Raises PreconditionFailed SESSION_HISTORY_INVALID for a history that cannot be sent, and InvalidRequest for the
    result of a tool call that is nowhere: providers refuse it, in words of their own.
    """
    own, earlier = conversation.contents, check_history(context.messages)
    contents = Contents(own.parts + earlier.parts, own.are_plain and earlier.are_plain)
    history = [entry.message for entry in context.messages]
    _check_results(conversation.request, history)
    added = conversation.added
    messages = [*conversation.messages[: len(added)], *history, *conversation.request.messages]
    return Conversation(conversation.request, messages, (*added, *[HISTORY_FIELD] * len(history)), contents)


def history_notices(notices: Iterable[models_pb2.Notice]) -> Iterator[models_pb2.Notice]:
    """The notices of an answer, of which what was left out of several earlier messages is told once."""
    told: dict[str, models_pb2.Notice] = {}
    for notice in notices:
        if notice.field.startswith(HISTORY_FIELD):
            message = f"in the history of the session: {notice.message}"
            told.setdefault(notice.code, models_pb2.Notice(code=notice.code, field=HISTORY_FIELD, message=message))
        else:
            yield notice
    yield from told.values()


def cut_notice(context: sessions_pb2.GetContextResponse, model: str) -> models_pb2.Notice:
    """Says that the default window is not the whole history."""
    return models_pb2.Notice(
        code="SESSION_HISTORY_CUT",
        field="session.window",
        message=(
            f"{context.dropped_messages} older messages of the session do not fit into the context window of {model}"
            " and were not sent; set session.window to choose by yourself"
        ),
    )


def _check_results(request: models_pb2.ChatRequest, history: Sequence[models_pb2.ChatMessage]) -> None:
    made = {call_id for message in history for call_id in _made_calls(message)}
    for index, message in enumerate(request.messages):
        for call_id in _answered_calls(message):
            if call_id not in made:
                raise InvalidRequest.field(
                    f"messages[{index}]",
                    "answers a tool call that is neither in the session, as far as its window reaches, nor in the"
                    " request; answer the calls of the session's last message, or set a larger session.window",
                    reason="TOOL_CALL_NOT_IN_CONTEXT",
                )
        made.update(_made_calls(message))


def _made_calls(message: models_pb2.ChatMessage) -> Iterator[str]:
    yield from (call.id for call in message.tool_calls)
    yield from (part.tool_call.id for part in message.parts if part.HasField("tool_call"))


def _answered_calls(message: models_pb2.ChatMessage) -> Iterator[str]:
    if message.tool_call_id:
        yield message.tool_call_id
    yield from (part.tool_result.tool_call_id for part in message.parts if part.HasField("tool_result"))
