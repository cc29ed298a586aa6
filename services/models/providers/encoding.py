"""A request on its way to a provider: held against what the model takes, and written in the dialect.

What a dialect had to change it says in notices; under PARAMETER_POLICY_STRICT they become refusals, here and once.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from proto import models_pb2
from services.models.providers.base import HISTORY_FIELD, Conversation, Encoded, Target
from services.models.providers.history.rules import fit_conversation
from services.models.providers.notices import Notices, notice
from services.models.providers.requests.content import check_content, check_features
from services.shared.errors import FieldViolation, InvalidRequest

CHANGES = frozenset({"PARAMETER_DROPPED", "PARAMETER_CHANGED", "SCHEMA_CHANGED"})
"""The notices of what STRICT refuses."""

MAX_NOTICES = 100


def prepare(conversation: Conversation, target: Target, *, stream: bool) -> tuple[Target, Encoded]:
    """The target in the dialect that carries the conversation, and the request that is sent there: for a stream, or for
    a whole answer. Raises as `encode` does."""
    dialect = target.dialect.select(conversation, target)
    if dialect is not target.dialect:
        target = dataclasses.replace(target, dialect=dialect)
    return target, encode(conversation, target, stream=stream or _is_better_streamed(conversation, target))


def _is_better_streamed(conversation: Conversation, target: Target) -> bool:
    """Whether a whole answer is asked for as a stream: of servers that need that, and for logprobs, which are more
    values than one piece of JSON may hold."""
    return target.streams_unary or (conversation.request.config.logprobs and "logprobs" not in target.facts.unsupported)


def encode(conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
    """The request in the dialect of the target.

    Raises InvalidRequest or Unimplemented for what the model does not take or the dialect cannot say.
    """
    check_features(conversation.request, target)
    check_content(conversation, target)
    conversation, notices, tool_names = fit_conversation(conversation, target)
    encoded = target.dialect.encode(conversation, target, stream=stream and target.can_stream)
    if conversation.request.parameter_policy == models_pb2.PARAMETER_POLICY_STRICT:
        _refuse_changes(encoded.notices, target.model)
    notices = _bounded([*notices, *encoded.notices])
    return Encoded(encoded.request, notices, encoded.streams, tool_names)


def _bounded(notices: Notices) -> Notices:
    """The notices, of each kind the first `MAX_NOTICES`: a part of a few bytes may cause one."""
    if len(notices) <= MAX_NOTICES:
        return notices
    counts: Counter[str] = Counter()
    listed: Notices = []
    for told in notices:
        counts[told.code] += 1
        if counts[told.code] <= MAX_NOTICES:
            listed.append(told)
    for code, count in counts.items():
        if count > MAX_NOTICES:
            listed.append(
                notice("WARNINGS_NOT_LISTED", "", f"{count - MAX_NOTICES} more warnings {code} are not listed")
            )
    return listed


def _refuse_changes(notices: Notices, model: str) -> None:
    violations = [
        FieldViolation(told.field, told.message)
        for told in notices
        # What was said in a session's earlier turns is no parameter of this one, and nobody can change it.
        if told.code in CHANGES and not told.field.startswith(HISTORY_FIELD)
    ]
    if violations:
        names = ", ".join(violation.field for violation in violations)
        raise InvalidRequest(
            f"{model} does not take {names} as given; change it, or use PARAMETER_POLICY_ADAPT",
            reason="PARAMETER_UNSUPPORTED",
            violations=violations,
        )
