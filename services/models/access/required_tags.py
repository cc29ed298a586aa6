"""The tags that a request must have: those that its caller's key or project requires."""

from __future__ import annotations

from collections.abc import Mapping

from services.shared.call import Call
from services.shared.errors import FieldViolation, InvalidRequest


def check_required_tags(tags: Mapping[str, str], call: Call) -> None:
    """Raises InvalidRequest TAG_REQUIRED, with a violation for each required tag that has no value.

    White space alone is no value. A tag that the key adds by itself need not be sent.
    """
    identity = call.identity
    if identity is None or not identity.required_tags:
        return
    missing = [
        name for name in identity.required_tags if not (_has_value(tags, name) or _has_value(identity.tags, name))
    ]
    if not missing:
        return
    names = ", ".join(missing)
    raise InvalidRequest(
        f"tags: the key or its project requires {names}; send a value for each",
        reason="TAG_REQUIRED",
        violations=[FieldViolation(f"tags[{name}]", "is required by the key or its project") for name in missing],
        metadata={"tags": names},
    )


def _has_value(tags: Mapping[str, str], name: str) -> bool:
    return bool(tags.get(name, "").strip())
