"""JSON Schemas as the server takes them, embedded byte for byte where nothing had to change."""

from __future__ import annotations

from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers import json_text
from services.models.providers.openai.translation import Translation
from services.models.providers.schemas import fit_schema
from services.shared.errors import Unimplemented


def embed_schema(schema_json: str, path: str, translation: Translation, *, strict: bool) -> msgspec.Raw:
    """The schema to put into a body. One that must be kept exactly is fitted to the server's rules, if it has any.

    https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas
    """
    rules = translation.traits.strict_schemas
    if strict and rules and translation.adapts:
        schema_json, notices = fit_schema(schema_json, rules, path, translation.traits.title)
        translation.notices.extend(notices)
    return json_text.raw(schema_json)


def name_schema(wanted: models_pb2.ResponseFormat, translation: Translation) -> dict[str, Any]:
    """The members that describe the schema of an answer. Raises Unimplemented for a format of another kind."""
    if wanted.type != "json_schema":
        raise Unimplemented.feature(f"response_format.type {wanted.type}")
    path = "response_format.schema_json"
    named: dict[str, Any] = {"name": wanted.name or "response"}
    named["schema"] = embed_schema(wanted.schema_json, path, translation, strict=wanted.strict)
    if wanted.HasField("strict"):
        named["strict"] = wanted.strict
    return named
