"""Rules of providers for the JSON Schemas that they enforce.

Sources: https://platform.claude.com/docs/en/build-with-claude/structured-outputs ("JSON Schema limitations"),
https://developers.openai.com/api/docs/guides/structured-outputs ("Supported schemas"), and what the vendors' SDKs do
to schemas before they send them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

COMMON_KEYWORDS = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "title"}
    | {"description", "$ref", "$defs", "definitions", "format", "pattern", "minItems"}
)
COMMON_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"},
)

LOOKAROUND = re.compile(r"\(\?(?:[=!]|<[=!])")
LOOKAROUND_OR_REFERENCE = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9bB]")


@dataclass(frozen=True, slots=True)
class SchemaRules:
    """What a provider takes of JSON Schema."""

    closed_objects: bool = True
    """Every object must say `additionalProperties: false`."""
    all_required: bool = False
    """Every property must be required; one that was optional may then be null, unless it has a default."""
    keywords: frozenset[str] = COMMON_KEYWORDS
    """What is enforced. Everything else is taken out."""
    formats: frozenset[str] = COMMON_FORMATS
    """The formats of strings that are enforced."""
    max_min_items: int | None = None
    """The largest `minItems`."""
    refused_patterns: re.Pattern[str] = LOOKAROUND
    """What a `pattern` must not contain."""
    typed: bool = False
    """Every schema must say its type."""


ANTHROPIC_OUTPUT = SchemaRules(
    keywords=COMMON_KEYWORDS | {"default", "allOf"},
    formats=COMMON_FORMATS | {"uri"},
    max_min_items=1,
    refused_patterns=LOOKAROUND_OR_REFERENCE,
)
OPENAI_STRICT = SchemaRules(
    all_required=True,
    typed=True,
    keywords=COMMON_KEYWORDS
    | {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf", "maxItems", "prefixItems"},
)
