"""Who asks, and which requests begin alike, as both of OpenAI's dialects say it."""

from __future__ import annotations

from services.models.providers.openai.translation import Translation


def encode_identifiers(translation: Translation) -> dict[str, str]:
    """The members of the body. Where no server looks for requests that begin alike their key means nothing."""
    request, traits = translation.request, translation.traits
    identifiers: dict[str, str] = {}
    if request.end_user_id:
        limit = traits.max_end_user_length
        if limit and len(request.end_user_id) > limit:
            translation.refuse("end_user_id", f"{traits.title} takes at most {limit} characters")
        identifiers[traits.end_user_member] = request.end_user_id
    if request.prompt_cache_key and traits.takes_cache_key:
        identifiers["prompt_cache_key"] = request.prompt_cache_key
    return identifiers
