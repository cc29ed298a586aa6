"""JSON Schemas as the server takes them, embedded byte for byte where nothing had to change."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from proto import models_pb2
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.schemas.fitting import fit_schema
from services.models.providers.schemas.limits import first_limit
from services.models.providers.schemas.nodes import members_of, text_in, words_in
from services.models.providers.schemas.repairs import repair_schema
from services.models.providers.schemas.roots import type_root
from services.models.providers.schemas.tool_schemas import fit_root
from services.shared import json_text


class Embedded(NamedTuple):
    """A schema for a body, and whether the server is asked to enforce it."""

    schema: msgspec.Raw
    strict: bool


def embed_schema(
    schema_json: str, path: str, translation: OpenAITranslation, *, strict: bool, is_of_tool: bool = False
) -> Embedded:
    """The schema as the server takes it. A strict schema is fitted to the server's rules, if it has any. If those rules
    would empty it, it is sent unchanged, without enforcement.

    https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas
    """
    rules = translation.traits.strict_schemas
    if not strict or not rules or not translation.adapts:
        return Embedded(json_text.raw(schema_json), strict)
    limit = first_limit(schema_json, typed=rules.typed, is_of_tool=is_of_tool)
    if limit:
        title = translation.traits.title
        text = f"{title} cannot enforce this schema: {limit}; it was sent whole, without strict"
        translation.warn("SCHEMA_CHANGED", path, text)
        return Embedded(json_text.raw(schema_json), strict=False)
    schema_json, notices = fit_schema(schema_json, rules, path, translation.traits.title)
    translation.notices.extend(notices)
    return Embedded(json_text.raw(schema_json), strict)


def embed_parameters(parameters_json: str, path: str, translation: OpenAITranslation, *, strict: bool) -> Embedded:
    """The schema of a tool's arguments as the server takes it: one of an object."""
    if translation.adapts:
        title, plain_root = translation.traits.title, translation.traits.strict_schemas is not None
        fitted = fit_root(parameters_json, path, title, with_properties=True, plain_root=plain_root)
        translation.notices.extend(fitted.notices)
        if fitted.problem:
            translation.refuse(path, fitted.problem)
        parameters_json = fitted.text
    return embed_schema(parameters_json, path, translation, strict=strict, is_of_tool=True)


def name_schema(wanted: models_pb2.ResponseFormat, translation: OpenAITranslation) -> dict[str, Any]:
    """The members that describe the schema of an answer."""
    path = "response_format.schema_json"
    named: dict[str, Any] = {"name": wanted.name or "response"}
    is_checked = translation.traits.strict_schemas is not None and translation.adapts
    schema_json = wanted.schema_json
    if is_checked:
        schema_json = type_root(repair_schema(schema_json, with_items=True))
    embedded = embed_schema(schema_json, path, translation, strict=wanted.strict)
    if is_checked:
        _refuse_root(embedded, path, translation)
    named["schema"] = embedded.schema
    if wanted.HasField("strict"):
        named["strict"] = embedded.strict
    return named


def _refuse_root(embedded: Embedded, path: str, translation: OpenAITranslation) -> None:
    """Refuses a root that is not an object: "schema must be a JSON Schema of 'type: "object"'"; one that is enforced
    must not be made of alternatives either."""
    root = members_of(embedded.schema) or {}
    is_object = text_in(root.get("type")) == "object"
    if is_object and not (embedded.strict and "anyOf" in root):
        return
    found = "anyOf" if "anyOf" in root else ", ".join(words_in(root.get("type")))[:64] or "no type"
    title = translation.traits.title
    problem = f"{title} takes a schema only if its root is an object, not {found}; make it a property of one"
    translation.refuse(path, problem)
