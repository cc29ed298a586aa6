"""Identifiers of the end user and of the prompt cache, as both of OpenAI's dialects send them."""

from __future__ import annotations

from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.end_users import fit_end_user


def encode_identifiers(translation: OpenAITranslation) -> dict[str, str]:
    """The members of the body. The cache key is sent only to servers that find cached prompts by it."""
    request, traits = translation.request, translation.traits
    identifiers: dict[str, str] = {}
    if request.end_user_id:
        max_length = traits.max_end_user_length if translation.adapts else None
        end_user = fit_end_user(request.end_user_id, max_length, traits.title, translation.notices)
        identifiers[traits.end_user_member] = end_user
    if request.prompt_cache_key and traits.takes_cache_key:
        identifiers["prompt_cache_key"] = request.prompt_cache_key
    return identifiers
