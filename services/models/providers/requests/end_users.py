"""Ids of end users as a provider takes them."""

from __future__ import annotations

import hashlib

from services.models.providers.notices import Notices, changed


def fit_end_user(given: str, max_length: int | None, provider: str, notices: Notices) -> str:
    """The id, or a hash of it where it has more than `max_length` characters: the same one in every request.

    `provider` is named in the notice of the change. A `max_length` of None leaves every id as it is.
    """
    if max_length is None or len(given) <= max_length:
        return given
    message = f"{provider} takes at most {max_length} characters; a hash of the id was sent"
    notices.append(changed("end_user_id", message))
    return hashlib.sha256(given.encode()).hexdigest()[:max_length]
