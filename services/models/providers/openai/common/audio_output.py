"""Audio output, which has no field in the contract's answers: refused before it costs anything.

https://developers.openai.com/api/docs/guides/audio
"""

from __future__ import annotations

from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.validation.extra_body import reserved_in
from services.shared import json_text

MODALITIES, SETTINGS = frozenset({"modalities"}), frozenset({"audio"})


def refuse_audio(translation: OpenAITranslation) -> None:
    """Refuses options of the caller's that ask for audio."""
    if not translation.options_json:
        return
    members = json_text.raw_members(translation.options_json)
    if not reserved_in(members, SETTINGS | MODALITIES):
        return
    for member, value in members.items():
        asks = reserved_in([member], SETTINGS) and bytes(value) != b"null"
        if asks or (reserved_in([member], MODALITIES) and b"audio" in bytes(value).lower()):
            problem = f"{member} asks for audio, which no answer passes on; leave it out"
            translation.refuse(translation.options_field, problem)
