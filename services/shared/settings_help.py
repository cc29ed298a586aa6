"""The documentation of settings, from their own fields: for `--help`, `.env.example` and the README."""

from __future__ import annotations

import textwrap
from itertools import pairwise
from typing import NamedTuple

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from services.shared.settings import ServiceSettings

WIDTH = 120
COLUMN = 28


class Setting(NamedTuple):
    """A setting in the documentation. In its texts, backticks mark code."""

    variable: str
    description: str
    default: str
    example: str = ""
    """An example, if the default is not a value that can be set."""


def documented(settings_type: type[ServiceSettings]) -> list[Setting]:
    """All settings of a service, its own before those of every service."""
    found: dict[str, Setting] = {}
    for derived, base in pairwise(kind for kind in settings_type.__mro__ if issubclass(kind, BaseSettings)):
        added = (field for name, field in derived.model_fields.items() if name not in base.model_fields)
        found |= {setting.variable: setting for setting in map(_setting, added)}
    return list(found.values())


def describe_environment(settings_type: type[ServiceSettings]) -> str:
    """The part of a service's `--help` that lists its environment variables."""
    entries = [_entry(setting) for setting in documented(settings_type)]
    return "\n".join(
        [
            "environment variables (also read from .env; an exported one wins);",
            "a secret, which is a key or the URL of a database or proxy, may also be in a file that NAME_FILE names:",
            *entries,
        ]
    )


def _setting(field: FieldInfo) -> Setting:
    assert isinstance(field.validation_alias, str)
    assert field.description, f"{field.validation_alias} has no description"
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = str(extra.get("default") or _shown(field.default))
    return Setting(field.validation_alias, field.description, default, str(extra.get("example", "")))


def _shown(default: object) -> str:
    if default is None or default == "":
        return "none"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _entry(setting: Setting) -> str:
    text = plain(f"{setting.description} (default {setting.default})")
    first = f"  {setting.variable:<{COLUMN - 3}} "
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * COLUMN,
        break_long_words=False,
        break_on_hyphens=False,
    )


def plain(text: str) -> str:
    """A text without its backticks."""
    return text.replace("`", "")
