"""Previews: the upstream request of a chat, without sending it."""

from __future__ import annotations

from collections.abc import Iterator

from proto import models_pb2
from services.models.chat.system_prompt import Prompted
from services.models.providers.base import Target
from services.models.providers.encoding import prepare
from services.shared.errors import LimitExceeded

MAX_BODY_BYTES = 30 * 1024 * 1024
"""Limit that leaves space for the rest of a response of 32 MiB. Only bodies with media are so large."""


def preview(prompted: Prompted, target: Target, *, stream: bool) -> models_pb2.PreviewChatResponse:
    """The upstream request of `chat` or `chat_stream`, without its headers.

    Raises as `prepare` does, and LimitExceeded for a body that does not fit into a response.
    """
    conversation = prompted.conversation
    target, encoded = prepare(conversation, target, stream=stream)
    request = encoded.request
    if len(request.body) > MAX_BODY_BYTES:
        raise LimitExceeded(
            f"the body has more than {MAX_BODY_BYTES >> 20} MiB, which does not fit into a preview; name media by url",
            reason="PREVIEW_TOO_LARGE",
        )
    return models_pb2.PreviewChatResponse(
        method=request.method,
        path=request.path,
        body_json=request.body.decode(),
        warnings=[*target.warnings, *encoded.notices, *prompted.warnings, *_session_notices(conversation.request)],
        provider=target.provider,
        model=target.model,
        source=target.source,
        registered_model=target.registered_model,
    )


def _session_notices(request: models_pb2.ChatRequest) -> Iterator[models_pb2.Notice]:
    if request.session_id:
        yield models_pb2.Notice(
            code="SESSION_NOT_PREVIEWED",
            field="session_id",
            message="a preview reads no session; a chat sends the session's history before these messages",
        )
