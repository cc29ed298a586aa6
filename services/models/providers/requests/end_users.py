"""Ids of end users as a provider takes them."""

from __future__ import annotations

import hashlib

from proto import models_pb2
from services.models.providers.notices import Notices, changed


def fit_end_user(request: models_pb2.ChatRequest, max_length: int | None, provider: str, notices: Notices) -> str:
    """The id, or a hash of it where it has more characters than the provider takes: the same one in every request."""
    given = request.end_user_id
    if max_length is None or len(given) <= max_length or request.parameter_policy == _PASSTHROUGH:
        return given
    message = f"{provider} takes at most {max_length} characters; a hash of the id was sent"
    notices.append(changed("end_user_id", message))
    return hashlib.sha256(given.encode()).hexdigest()[:max_length]


_PASSTHROUGH = models_pb2.PARAMETER_POLICY_PASSTHROUGH
