"""Variables of the environment that are probably settings with a slip of the pen."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping

from services.shared.logs import Log
from services.shared.settings import FILE_SUFFIX, ServiceSettings, is_secret


def tell_misspelt(settings_type: type[ServiceSettings], log: Log) -> None:
    """Warns of the variables whose names differ from a setting's by one character or by two that are swapped.

    Names are told only, because the values may be secrets. Further differences are not: `GENAI_API_KEY` of the SDK is
    that close to `OPENAI_API_KEY`.
    """
    found = dict(find_misspelt(os.environ, variables_of(settings_type)))
    if found:
        log.warning("environment variables look like settings, and are none", did_you_mean=found)


def variables_of(settings_type: type[ServiceSettings]) -> set[str]:
    """The variables of a service, those that name the files of secrets included."""
    fields = settings_type.model_fields.values()
    named = {field.validation_alias: field for field in fields if isinstance(field.validation_alias, str)}
    return {*named} | {name + FILE_SUFFIX for name, field in named.items() if is_secret(field)}


def find_misspelt(given: Mapping[str, str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """The variables that are set and not known, each with the setting that it resembles."""
    for name in sorted(given.keys() - set(known)):
        meant = next((setting for setting in sorted(known) if _differ_by_one_slip(name, setting)), None)
        if meant:
            yield name, meant


def _differ_by_one_slip(name: str, setting: str) -> bool:
    if abs(len(name) - len(setting)) > 1:
        return False
    start = _common(name, setting)
    left, right = name[start:], setting[start:]
    end = _common(left[::-1], right[::-1])
    left, right = left[: len(left) - end], right[: len(right) - end]
    return max(len(left), len(right)) <= 1 or (len(left) == 2 and left == right[::-1])


def _common(one: str, other: str) -> int:
    """The number of characters with which both begin."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))
