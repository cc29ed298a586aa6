"""Ids of tool calls, fitted to a provider.

A conversation may have been held with several providers and servers, each of which makes ids of its own kind. An id
that this provider would refuse is replaced by one that is derived from it, in the call and in its result, so that the
same history always gives the same body.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from proto import models_pb2
from services.models.providers.base import Conversation
from services.models.providers.names import CallIdRules, make_call_id
from services.models.providers.state.member_state import is_wrapped
from services.shared.tool_calls import answered_ids, calls_of


def fit_call_ids(conversation: Conversation, rules: CallIdRules, state_owner: str) -> Conversation:
    """The conversation with ids that the provider accepts; the same one if nothing had to change.

    A call that is sent back in the provider's own form, by its opaque state, keeps the id in that form.
    """
    call_ids = _made_ids(conversation.messages)
    if all(map(rules.pattern.fullmatch, call_ids)) and not (rules.are_unique and len(set(call_ids)) < len(call_ids)):
        return conversation
    renaming = _Renaming(rules, state_owner)
    messages = [renaming.fit(message) for message in conversation.messages]
    return replace(conversation, messages=messages) if renaming.has_renamed else conversation


class _Renaming:
    """One walk over a conversation."""

    def __init__(self, rules: CallIdRules, state_owner: str) -> None:
        self._rules = rules
        self._state_owner = state_owner
        self._times_seen: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        """The present id of the newest call with each given id."""
        self.has_renamed = False

    def fit(self, message: models_pb2.ChatMessage) -> models_pb2.ChatMessage:
        if not message.parts and not message.tool_calls and not message.tool_call_id:
            return message
        self._see(message)
        if not any(self._names.get(call_id, call_id) != call_id for call_id in _ids_in(message)):
            return message
        self.has_renamed = True
        return self._renamed(message)

    def _see(self, message: models_pb2.ChatMessage) -> None:
        kept = {part.tool_call.id for part in message.parts if self._is_kept(part)}
        for call_id in dict.fromkeys(call.id for call in calls_of(message)):
            self._times_seen[call_id] += 1
            self._names[call_id] = call_id if call_id in kept else self._name(call_id)

    def _is_kept(self, part: models_pb2.ContentPart) -> bool:
        is_own = part.provider_state.provider == self._state_owner and not is_wrapped(part)
        return self._rules.are_in_state and is_own and part.HasField("tool_call")

    def _name(self, call_id: str) -> str:
        times = self._times_seen[call_id]
        if self._rules.pattern.fullmatch(call_id) and (times == 1 or not self._rules.are_unique):
            return call_id
        return make_call_id(call_id if times == 1 or not self._rules.are_unique else f"{times}:{call_id}")

    def _renamed(self, message: models_pb2.ChatMessage) -> models_pb2.ChatMessage:
        renamed = models_pb2.ChatMessage()
        renamed.CopyFrom(message)
        for call in calls_of(renamed):
            call.id = self._names[call.id]
        for part in renamed.parts:
            if part.HasField("tool_result"):
                result = part.tool_result
                result.tool_call_id = self._names.get(result.tool_call_id, result.tool_call_id)
        if renamed.tool_call_id:
            renamed.tool_call_id = self._names.get(renamed.tool_call_id, renamed.tool_call_id)
        return renamed


def _made_ids(messages: Sequence[models_pb2.ChatMessage]) -> list[str]:
    """The ids of all calls. It runs for every conversation, so it reads as few fields as possible."""
    made: list[str] = []
    for message in messages:
        if message.role == "assistant":
            made += [call.id for call in calls_of(message)]
    return made


def _ids_in(message: models_pb2.ChatMessage) -> Sequence[str]:
    return [*(call.id for call in calls_of(message)), *answered_ids(message)]
