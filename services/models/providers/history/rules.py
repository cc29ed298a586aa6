"""Rules of a history, each in one place for all providers, applied to every conversation before it is encoded.

Changes have notices, and are the same in every request, so that prompt caches still match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from proto import models_pb2
from services.models.providers.base import Conversation, Target
from services.models.providers.history.billing_notes import READER, has_billing_note, leave_out_billing_notes
from services.models.providers.history.call_arguments import fit_arguments
from services.models.providers.history.call_ids import fit_call_ids
from services.models.providers.history.empty_messages import fit_empty_messages
from services.models.providers.history.tool_names import fit_tool_names
from services.models.providers.history.tool_turns import PlacedMessage, fit_results
from services.models.providers.notices import Notices


class Fitted(NamedTuple):
    """A conversation that the target takes."""

    conversation: Conversation
    notices: Notices
    tool_names: Mapping[str, str]
    """The caller's name for each tool that goes by another one."""


def fit_conversation(conversation: Conversation, target: Target) -> Fitted:
    """The conversation as the target takes it; the same object if nothing had to change."""
    notices: Notices = []
    tool_names: Mapping[str, str] = {}
    rules = target.dialect.history
    if target.state_owner != READER and has_billing_note(conversation.messages):
        conversation = _with_messages(conversation, leave_out_billing_notes(list(conversation.numbered()), notices))
    has_calls = not conversation.contents.are_plain and any(map(_may_be_odd, conversation.messages))
    if has_calls:
        conversation = _fit_history(conversation, target, notices)
    names = target.facts.tool_names or rules.tool_names
    if names and (has_calls or conversation.request.tools):
        conversation, tool_names = fit_tool_names(conversation, names, notices)
    return Fitted(conversation, notices, tool_names)


def _may_be_odd(message: models_pb2.ChatMessage) -> bool:
    # Nearly all are text, which needs no other check.
    if message.role == "assistant":
        return bool(message.parts or message.tool_calls or not message.content.strip())
    return bool(message.role == "tool")


def _fit_history(conversation: Conversation, target: Target, notices: Notices) -> Conversation:
    owner, rules = target.state_owner, target.dialect.history
    given = list(conversation.numbered())
    messages = fit_results(given, notices)
    messages = fit_empty_messages(messages, owner, notices)
    if rules.object_arguments:
        messages = fit_arguments(messages, owner if rules.arguments_in_state else None, notices)
    if messages is not given:
        conversation = _with_messages(conversation, messages)
    call_ids = target.facts.call_ids or rules.call_ids
    return fit_call_ids(conversation, call_ids, owner) if call_ids else conversation


def _with_messages(conversation: Conversation, messages: Sequence[PlacedMessage]) -> Conversation:
    paths = [path for path, _ in messages]
    return replace(conversation, messages=[message for _, message in messages], paths=paths)
