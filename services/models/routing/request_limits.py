"""Limits of the operator for requests in flight: MODELS_MAX_REQUESTS="openai=500,my-llama=16"."""

from __future__ import annotations

from collections.abc import Mapping

from services.models.validation.request import check_model_name
from services.shared.errors import StartupError

SETTING = "MODELS_MAX_REQUESTS"

MAX_REQUESTS = 1_000_000


def read_request_limits(text: str) -> Mapping[str, int]:
    """The limit of each provider or model that is named. Raises StartupError.

    The models need not be there at the start: they may be registered later.
    """
    limits: dict[str, int] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, equals, number = (part.strip() for part in entry.partition("="))
        if not equals or any(check_model_name(SETTING, name)):
            raise StartupError(
                f"{SETTING}: each entry must be name=number, with commas between them; the name is a provider's or a "
                "model's"
            )
        if name in limits:
            raise StartupError(f"{SETTING}: {name} is there twice; leave it once")
        if not (number.isascii() and number.isdigit()) or not 0 < int(number) <= MAX_REQUESTS:
            raise StartupError(f"{SETTING}: {name} must be a number from 1 to {MAX_REQUESTS}")
        limits[name] = int(number)
    return limits
