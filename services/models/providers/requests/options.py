"""Options of a provider, merged into a request body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers.notices import Notices, dropped
from services.models.providers.requests.translation import Translation
from services.models.validation.extra_body import OPTIONS, options_field, reserved_in
from services.shared.json_text import encode, is_object, raw_members

STREAM_OPTIONS = "stream_options"

QUESTION_MEMBERS = frozenset(
    {
        "model",
        "messages",
        "input",
        "instructions",
        "previous_response_id",
        "conversation",
        "system",
        "stream",
        "background",
        "n",
    }
)
"""The members of OpenAI's and Anthropic's dialects that hold the conversation, or request several or deferred answers.

Many servers translate one of these dialects into another, so each of them reserves all.
"""


def merge_options(body: dict[str, Any], defaults_json: str, options_json: str) -> Notices:
    """Puts a registration's defaults under the body, and the request's options for its provider over it; an empty text
    stands for none.

    Members of the body that are objects themselves are merged too: one that the platform writes in part (such as
    Anthropic's `output_config`, for the response format) keeps its part. Lists that the platform writes (`tools`,
    `include`, stop sequences) are kept as well, and those of the options are joined to them, common entries only once.
    Any other member of the options takes the place of the body's, `null` in place of a list included.

    A default that is `null` takes its member out of every body, for a server that refuses it, and so it does within an
    object that the platform writes in part. Returns the notices of members that were taken out so, except for
    `stream_options`, which only asks for the usage of a stream.
    """
    taken_out: list[str] = []
    if defaults_json:
        for name, value in raw_members(defaults_json).items():
            if bytes(value) == b"null":
                if body.pop(name, None) is not None and name != STREAM_OPTIONS:
                    taken_out.append(name)
            else:
                body[name] = _laid_under(value, body[name]) if name in body else value
    if options_json:
        for name, value in raw_members(options_json).items():
            under = body.get(name)
            # A list that the platform writes is a `list`; one of the defaults is raw JSON, and is replaced.
            body[name] = _joined(under, value) if isinstance(under, list) else _merged(under, value)
    return [_taken_out(name) for name in taken_out if name not in body]


def add_options_of_function(
    encoded: dict[str, Any], tool: models_pb2.ToolDefinition, path: str, own: frozenset[str], translation: Translation
) -> None:
    """Adds to an encoded function the members that the request has for this provider beyond the fields of the tool at
    `path`. Refuses those that the platform writes, which are its `own`."""
    if not tool.provider_options_json:
        return
    dialect = translation.target.dialect.name
    options_json = tool.provider_options_json.get(dialect)
    if not options_json:
        return
    members = raw_members(options_json)
    if reserved := reserved_in(members, own):
        field = options_field(dialect, f"{path}.{OPTIONS}")
        translation.refuse(field, f"must not set {', '.join(reserved)}: the tool itself says them")
        return
    encoded.update(members)


def _taken_out(name: str) -> models_pb2.Notice:
    message = f"the registration of the model leaves {name} out of every request; it was not sent"
    return dropped(name, message)


def _merged(under: Any, over: Any) -> Any:
    """Both, where both are objects; otherwise `over`."""
    under_members = _members(under)
    # Decoded only if needed: most names are new, and there may be thousands.
    over_members = None if under_members is None else _members(over)
    if under_members is None or over_members is None:
        return over
    return {**under_members, **over_members}


def _laid_under(defaults: msgspec.Raw, written: Any) -> Any:
    """The platform's part of a member merged over the defaults, without what they set to null; else `written`."""
    merged = _merged(defaults, written)
    if merged is written:
        return written
    unwanted = {name for name, value in (_members(defaults) or {}).items() if bytes(value) == b"null"}
    return {name: value for name, value in merged.items() if name not in unwanted}


def _joined(written: Sequence[Any], over: msgspec.Raw) -> Any:
    """The entries of both, where `over` is a list too; otherwise `over`."""
    try:
        entries = msgspec.json.decode(over, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        return over
    together = dict.fromkeys([*map(encode, written), *map(bytes, entries)])
    return [msgspec.Raw(entry) for entry in together]


def _members(value: Any) -> dict[str, Any] | None:
    if isinstance(value, dict):
        return value
    if isinstance(value, msgspec.Raw):
        text = bytes(value).decode()
        return dict(raw_members(text)) if is_object(text) else None
    return None
