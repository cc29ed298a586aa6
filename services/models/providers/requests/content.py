"""Checks, before anything is sent, that a request has no content that the model is known not to accept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from proto import models_pb2
from services.models.providers.base import Conversation, Target
from services.models.providers.facts import MediaKind, ModelKind
from services.models.providers.notices import Notices, notice
from services.shared.errors import FieldViolation, InvalidRequest

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")

KINDS_OF_TYPES: dict[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video"}


def media_kind(media: models_pb2.Media) -> MediaKind:
    """The kind of a media part: the one rule for every provider.

    The media type decides: `image/…`, `audio/…` and `video/…` are those kinds, every other type (`application/…`,
    `text/…`) is a document. Without one, a URL whose path ends in a known image extension is an image; any other URL,
    and a file id, is a document.
    """
    if media.mime_type:
        main_type = media.mime_type.partition("/")[0].lower()
        return KINDS_OF_TYPES.get(main_type, "document")
    path = media.url.partition("#")[0].partition("?")[0]
    return "image" if path.lower().endswith(IMAGE_EXTENSIONS) else "document"


MEDIA_TYPES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
"""Common misnomers of media types, and the names that providers know."""


def fit_media_type(media: models_pb2.Media, path: str, notices: Notices) -> str:
    """The media type of the media at `path`, by the name that providers know, in lower case."""
    mime_type = media.mime_type.lower()
    known = MEDIA_TYPES.get(mime_type)
    if known is None:
        return mime_type
    message = f"providers know {media.mime_type} as {known}, which was sent"
    notices.append(notice("MEDIA_TYPE_CHANGED", f"{path}.mime_type", message))
    return known


CALLS: Mapping[ModelKind, str] = {"chat": "chats", "embedding": "embeddings"}


def check_kind(target: Target, kind: ModelKind) -> None:
    """Raises InvalidRequest naming the model, if it is made for calls of another kind."""
    made_for = target.facts.kind
    if made_for is None or made_for == kind:
        return
    problem = f"{target.model} is for {CALLS[made_for]}, not for {CALLS[kind]}; name another model"
    raise InvalidRequest(
        f"model: {problem}",
        reason="MODEL_KIND_UNSUPPORTED",
        metadata={"model": target.model, "kind": made_for},
        violations=[FieldViolation("model", problem)],
    )


def check_features(request: models_pb2.ChatRequest, target: Target) -> None:
    """Raises InvalidRequest naming each feature of the request that the model does not have, and the model.

    Under PARAMETER_POLICY_PASSTHROUGH the provider judges.
    """
    facts = target.facts
    if facts.tools is not False and facts.json_schema is not False:
        return
    if request.parameter_policy == models_pb2.PARAMETER_POLICY_PASSTHROUGH:
        return
    violations = []
    if request.tools and facts.tools is False:
        violations.append(FieldViolation("tools", f"{target.model} calls no tools"))
    if request.response_format.type == "json_schema" and facts.json_schema is False:
        violations.append(FieldViolation("response_format", f"{target.model} keeps to no JSON Schema"))
    if violations:
        problems = " and ".join(f"{violation.field}: {violation.description}" for violation in violations)
        raise InvalidRequest(
            f"{problems}; leave it out or name another model",
            reason="FEATURE_UNSUPPORTED",
            metadata={"model": target.model},
            violations=violations,
        )


def check_content(conversation: Conversation, target: Target) -> None:
    """Raises InvalidRequest naming each part that the model does not take, and the model."""
    kinds = target.facts.media
    if kinds is None or conversation.contents.are_plain or not any(message.parts for message in conversation.messages):
        return
    violations = list(_violations(conversation, kinds, target.model))
    if violations:
        taken = f"text and {' and '.join(sorted(kinds))}" if kinds else "text only"
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise InvalidRequest(
            f"{violations[0].field}: {target.model} takes {taken}{more}; leave it out or name another model",
            reason="CONTENT_UNSUPPORTED",
            metadata={"model": target.model},
            violations=violations,
        )


def _violations(conversation: Conversation, kinds: Collection[str], model: str) -> Iterator[FieldViolation]:
    for path, message in conversation.numbered():
        if not message.parts:
            continue
        for place, media in _media(path, message):
            kind = media_kind(media)
            if kind not in kinds:
                yield FieldViolation(place, f"{model} takes no {kind}")


def _media(path: str, message: models_pb2.ChatMessage) -> Iterator[tuple[str, models_pb2.Media]]:
    """Every media part of a message with its path, those within tool results included."""
    for index, part in enumerate(message.parts):
        here = f"{path}.parts[{index}]"
        if part.HasField("media"):
            yield f"{here}.media", part.media
        for position, piece in enumerate(part.tool_result.content):
            if piece.HasField("media"):
                yield f"{here}.tool_result.content[{position}].media", piece.media
