"""Who asks, and which requests begin alike, as both of OpenAI's dialects say it."""

from __future__ import annotations

from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.end_users import fit_end_user


def encode_identifiers(translation: OpenAITranslation) -> dict[str, str]:
    """The members of the body. Where no server looks for requests that begin alike their key means nothing."""
    request, traits = translation.request, translation.traits
    identifiers: dict[str, str] = {}
    if request.end_user_id:
        identifiers[traits.end_user_member] = fit_end_user(
            request, traits.max_end_user_length, traits.title, translation.notices
        )
    if request.prompt_cache_key and traits.takes_cache_key:
        identifiers["prompt_cache_key"] = request.prompt_cache_key
    return identifiers
