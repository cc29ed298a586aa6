"""Sound as an answer, which no answer of the platform has a place for: refused before it is paid for.

https://developers.openai.com/api/docs/guides/audio
"""

from __future__ import annotations

from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.validation.extra_body import reserved_in
from services.shared import json_text

MODALITIES, SETTINGS = frozenset({"modalities"}), frozenset({"audio"})


def refuse_sound(translation: OpenAITranslation) -> None:
    """Refuses options of the caller's that ask for sound."""
    name = translation.traits.name
    options = translation.request.provider_options_json.get(name)
    if not options:
        return
    members = json_text.raw_members(options)
    if not reserved_in(members, SETTINGS | MODALITIES):
        return
    for member, value in members.items():
        asks = reserved_in([member], SETTINGS) and bytes(value) != b"null"
        if asks or (reserved_in([member], MODALITIES) and b"audio" in bytes(value).lower()):
            problem = f"{member} asks for sound, which no answer passes on; leave it out"
            translation.refuse(f"provider_options_json[{name}]", problem)
