"""Forged opaque state: state in a request that no provider has made."""

from __future__ import annotations

from services.models.providers.base import HISTORY_FIELD
from services.models.providers.requests.translation import Translation

NOT_OWN = "is not what the provider gave, or of no kind that goes back to it; leave this part out"


def refuse_forged_state(path: str, translation: Translation) -> bool:
    """Refuses the state of the part at `path`, and returns True. In a session's history, which the caller cannot
    change, returns False: the state is only left out."""
    if path.startswith(HISTORY_FIELD):
        return False
    translation.refuse(f"{path}.provider_state.data", NOT_OWN)
    return True
