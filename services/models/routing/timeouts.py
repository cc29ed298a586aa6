"""Timeouts of the operator: MODELS_TIMEOUTS="openai.first_output=60,my-llama.silence=900"."""

from __future__ import annotations

from collections.abc import Mapping

from services.models.providers.timeouts import NO_TIMEOUTS, Timeouts
from services.models.validation.request import MAX_TIMEOUT_SECONDS, check_model_name
from services.shared.errors import StartupError

SETTING = "MODELS_TIMEOUTS"


def read_timeout_settings(text: str) -> Mapping[str, Timeouts]:
    """The timeouts of each provider or model that is named. Raises StartupError.

    The models need not be there at the start: they may be registered later.
    """
    found: dict[str, Timeouts] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        key, _, value = entry.partition("=")
        name, _, clock = key.strip().rpartition(".")
        if any(check_model_name(SETTING, name)) or clock not in Timeouts._fields:
            raise StartupError(
                f"{SETTING}: each entry must be name.clock=seconds, with commas between them; the name is a provider's"
                f" or a model's, the clock one of {', '.join(Timeouts._fields)}"
            )
        found[name] = found.get(name, NO_TIMEOUTS)._replace(**{clock: _seconds(key, value)})
    return found


def _seconds(key: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:
        raise StartupError(f"{SETTING}: {key.strip()} must be a number of seconds above 0, at most a day")
    return seconds
