"""Parameter policy of a request: whether the changes of its translation are warnings or refusals, for every verb."""

from __future__ import annotations

from collections import Counter

from proto import models_pb2
from services.models.providers.base import HISTORY_FIELD
from services.models.providers.notices import Notices, notice
from services.shared.errors import FieldViolation, InvalidRequest

CHANGES = frozenset({"PARAMETER_DROPPED", "PARAMETER_CHANGED", "SCHEMA_CHANGED"})
"""The codes of notices that STRICT turns into refusals."""

MAX_NOTICES = 100


def refuse_changes(notices: Notices, policy: models_pb2.ParameterPolicy, model: str) -> None:
    """Under STRICT, raises InvalidRequest naming every parameter that was not sent as given."""
    if policy != models_pb2.PARAMETER_POLICY_STRICT:
        return
    violations = [
        FieldViolation(entry.field, entry.message)
        for entry in notices
        # Earlier turns of a session are not parameters of this request, and its caller cannot change them.
        if entry.code in CHANGES and not entry.field.startswith(HISTORY_FIELD)
    ]
    if violations:
        names = ", ".join(violation.field for violation in violations)
        raise InvalidRequest(
            f"{model} does not take {names} as given; change it, or use PARAMETER_POLICY_ADAPT",
            reason="PARAMETER_UNSUPPORTED",
            violations=violations,
        )


def bound_notices(notices: Notices) -> Notices:
    """The first `MAX_NOTICES` notices of each kind: a part of a few bytes may cause one."""
    if len(notices) <= MAX_NOTICES:
        return notices
    counts: Counter[str] = Counter()
    listed: Notices = []
    for entry in notices:
        counts[entry.code] += 1
        if counts[entry.code] <= MAX_NOTICES:
            listed.append(entry)
    for code, count in counts.items():
        if count > MAX_NOTICES:
            listed.append(
                notice("WARNINGS_NOT_LISTED", "", f"{count - MAX_NOTICES} more warnings {code} are not listed")
            )
    return listed
