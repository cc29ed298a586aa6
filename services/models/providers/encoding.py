"""Encoding of a chat: it is checked against the facts of the model, and written in the dialect."""

from __future__ import annotations

import dataclasses

from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.history.rules import fit_conversation
from services.models.providers.lowered_tools import Lowered, lower_tools
from services.models.providers.requests.content import check_content, check_features, check_kind
from services.models.providers.requests.policy import bound_notices, refuse_changes
from services.shared.errors import InvalidRequest


def prepare(conversation: Conversation, target: Target, *, stream: bool) -> tuple[Target, Encoded]:
    """The target in the dialect that carries the conversation, and the request that is sent there: for a stream, or for
    a whole answer. Raises as `encode` does."""
    dialect = target.dialect.select(conversation, target)
    if dialect is not target.dialect:
        target = dataclasses.replace(target, dialect=dialect)
    return target, encode(conversation, target, stream=stream or _is_better_streamed(conversation, target))


def _is_better_streamed(conversation: Conversation, target: Target) -> bool:
    """Whether a whole answer is requested as a stream: from servers that need this, and with logprobs, which may have
    more values than one JSON document may."""
    return target.streams_unary or (conversation.request.config.logprobs and "logprobs" not in target.facts.unsupported)


def encode(conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
    """The request in the dialect of the target.

    Raises InvalidRequest or Unimplemented for content that the model or the dialect does not support.
    """
    check_kind(target, "chat")
    check_features(conversation.request, target)
    check_content(conversation, target)
    lowered = lower_tools(conversation) if _has_odd_tools(conversation, target) else Lowered(conversation)
    try:
        conversation, fitting, tool_names = fit_conversation(lowered.conversation, target)
        encoded = target.dialect.encode(conversation, target, stream=stream and target.can_stream)
    except InvalidRequest as error:
        raise lowered.restored(error) from None
    lowered.restore(fitting)
    notices = [*lowered.notices, *lowered.restore(encoded.notices)]
    refuse_changes(notices, conversation.request.parameter_policy, target.model)
    return Encoded(encoded.request, bound_notices([*fitting, *notices]), encoded.streams, tool_names)


def _has_odd_tools(conversation: Conversation, target: Target) -> bool:
    """Whether a conversation may have tools of kinds that only OpenAI takes."""
    tools = conversation.request.tools
    return bool(tools) and not target.dialect.history.openai_tools
