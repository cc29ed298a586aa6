"""The history of a session in a chat: its default window, and its place in the conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from proto import models_pb2, sessions_pb2
from services.models.providers.base import HISTORY_FIELD, Conversation
from services.models.providers.usage import estimate_prompt_tokens
from services.models.validation.request import check_history
from services.models.validation.work import Contents, message_work
from services.shared.errors import InvalidRequest
from services.shared.offload import LARGE_BYTES
from services.shared.tool_calls import answered_ids, calls_of

MARGIN = 0.1
"""Share of a context window that is left free, because tokens are estimated."""


def default_window(
    conversation: Conversation, capabilities: models_pb2.ModelCapabilities
) -> models_pb2.WindowPolicy | None:
    """The tokens of the model's context window that the request and its longest answer leave free, less a margin.

    None, which means the whole history, if the context window is unknown. At most half of it is reserved for the
    answer.
    """
    if not capabilities.HasField("context_window"):
        return None
    whole = capabilities.context_window
    answer = conversation.request.config.max_tokens or capabilities.max_output_tokens
    free = whole * (1 - MARGIN) - min(answer, whole // 2) - estimate_prompt_tokens(conversation)
    return models_pb2.WindowPolicy(max_tokens=max(int(free), 0))


def history_work(context: sessions_pb2.GetContextResponse, size: int) -> int:
    """The estimated work to check a history of `size` bytes, in bytes of plain text."""
    return size if size >= LARGE_BYTES else message_work([entry.message for entry in context.messages], size)


def with_history(conversation: Conversation, context: sessions_pb2.GetContextResponse) -> Conversation:
    """The conversation with the history between the prompt's and the request's messages.

    Raises PreconditionFailed SESSION_HISTORY_INVALID for a history that cannot be sent, and InvalidRequest for the
    result of a tool call that is not in the conversation: providers would refuse it.
    """
    own, earlier = conversation.contents, check_history(context.messages)
    contents = Contents(own.parts + earlier.parts, own.are_plain and earlier.are_plain)
    history = [entry.message for entry in context.messages]
    _check_results(conversation.request, history)
    added = conversation.added
    messages = [*conversation.messages[: len(added)], *history, *conversation.request.messages]
    return Conversation(conversation.request, messages, (*added, *[HISTORY_FIELD] * len(history)), contents)


def history_notices(notices: Iterable[models_pb2.Notice]) -> Iterator[models_pb2.Notice]:
    """The notices of an answer, with those about the history reduced to one for each code."""
    merged: dict[str, models_pb2.Notice] = {}
    for notice in notices:
        if notice.field.startswith(HISTORY_FIELD):
            message = f"in the history of the session: {notice.message}"
            merged.setdefault(notice.code, models_pb2.Notice(code=notice.code, field=HISTORY_FIELD, message=message))
        else:
            yield notice
    yield from merged.values()


def truncation_notice(context: sessions_pb2.GetContextResponse, model: str) -> models_pb2.Notice:
    """The notice that the default window leaves out a part of the history."""
    return models_pb2.Notice(
        code="SESSION_HISTORY_CUT",
        field="session.window",
        message=(
            f"{context.dropped_messages} older messages of the session do not fit into the context window of {model}"
            " and were not sent; set session.window to choose by yourself"
        ),
    )


def _check_results(request: models_pb2.ChatRequest, history: Sequence[models_pb2.ChatMessage]) -> None:
    made = {call.id for message in history for call in calls_of(message)}
    for index, message in enumerate(request.messages):
        for call_id in answered_ids(message):
            if call_id not in made:
                raise InvalidRequest.field(
                    f"messages[{index}]",
                    "answers a tool call that is neither in the session, as far as its window reaches, nor in the"
                    " request; answer the calls of the session's last message, or set a larger session.window",
                    reason="TOOL_CALL_NOT_IN_CONTEXT",
                )
        made.update(call.id for call in calls_of(message))
