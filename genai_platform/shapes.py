"""Other shapes in which some messages can be given: short ones, and those of OpenAI's interface.

Each function takes the value's path and the value, and returns the message's fields, or the value if it has no other
shape. Values of fields are not checked here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message

from genai_platform.schemas import describe_format
from genai_platform.type_schemas import describe_function, is_type
from genai_platform.wrong_values import wrong_type

MODES = ("auto", "none", "required")


def _tool(path: str, value: Any) -> Any:
    """A function of Python; or a dict as OpenAI writes it, or with Anthropic's name of the schema."""
    if callable(value):
        return describe_function(path, value)
    if not isinstance(value, Mapping):
        return value
    kind = value.get("type", "function")
    if kind != "function":
        raise TypeError(f'{path}.type: a tool that the provider runs is written {{"provider_tool": {{"type": …}}}}')
    fields = {**_inner(path, "function", value), **_without(value, "type", "function")}
    if "input_schema" in fields:
        fields["parameters"] = fields.pop("input_schema")
    return fields


def _tool_call(path: str, value: Any) -> Any:
    """A call as OpenAI writes it, with its name and arguments in `function`."""
    if not isinstance(value, Mapping) or "function" not in value:
        return value
    return {**_inner(path, "function", value), **_without(value, "type", "function")}


def _tool_choice(path: str, value: Any) -> Any:
    """A mode by its name or number, or OpenAI's form for one function."""
    if isinstance(value, str):
        if value.lower() in MODES or value.lower().startswith("tool_choice_mode_"):
            return {"mode": value}
        raise ValueError(
            f'{path}: must be auto, none or required, not {value[:40]!r}; one tool is named by {{"tool_name": …}}'
        )
    if isinstance(value, int):
        return {"mode": value}
    if isinstance(value, Mapping) and value.get("type") == "function":
        return {"tool_name": {**value, **_inner(path, "function", value)}.get("name")}
    return value


def _response_format(path: str, value: Any) -> Any:
    """A type by itself, a class whose schema is meant, or OpenAI's form."""
    if isinstance(value, str):
        return {"type": value}
    if is_type(value):
        try:
            return describe_format(value)
        except TypeError as error:
            raise TypeError(f"{path}: {error}") from None
    if not isinstance(value, Mapping):
        return value
    fields = {**_inner(path, "json_schema", value), **_without(value, "json_schema")}
    if "schema" in fields or "schema_json" in fields:
        fields.setdefault("type", "json_schema")
    return fields


def _reasoning(_: str, value: Any) -> Any:
    return {"effort": value} if isinstance(value, str) else value


def _prompt(_: str, value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _answer_cache(_: str, value: Any) -> Any:
    is_duration = isinstance(value, int | float | timedelta) and not isinstance(value, bool)
    return {"max_age": value} if is_duration else value


def _message(path: str, value: Any) -> Any:
    """A message whose `content` is a list of parts."""
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), list | tuple):
        return value
    if value.get("parts"):
        raise TypeError(f"{path}: has its parts twice, as content and as parts")
    parts = [_content_part(f"{path}.content[{place}]", part) for place, part in enumerate(value["content"])]
    return {**_without(value, "content"), "parts": parts}


def _content_part(path: str, value: Any) -> Any:
    """A part: a text, media by itself, or OpenAI's form."""
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, Message) and value.DESCRIPTOR.name == "Media":
        return {"media": value}
    if not isinstance(value, Mapping) or "type" not in value:
        return value
    kind = value["type"]
    if kind not in _PARTS:
        raise ValueError(
            f'{path}.type: {str(kind)[:40]!r} is no kind of part; write {{"text": …}} or {{"media": {{"url": …}}}}'
        )
    return {**_PARTS[kind](path, value), **_without(value, "type", kind)}


def _text_part(_: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"text": value.get("text")}


def _image_part(path: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    image = value.get("image_url")
    given = {"url": image} if isinstance(image, str) else _inner(path, "image_url", value)
    return {"media": {**_without(given, "url"), **_from_url(f"{path}.image_url.url", given.get("url"))}}


def _audio_part(path: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    given = _inner(path, "input_audio", value)
    data = _from_base64(f"{path}.input_audio.data", given.get("data"))
    return {"media": {"data": data, "mime_type": f"audio/{given.get('format', 'wav')}"}}


def _file_part(path: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    given = _inner(path, "file", value)
    media = _without(given, "file_data")
    if given.get("file_data") is not None:
        media |= _from_url(f"{path}.file.file_data", given["file_data"])
    return {"media": media}


def _from_url(path: str, url: Any) -> dict[str, Any]:
    """The source of media by its URL; a `data:` URL is decoded."""
    if not isinstance(url, str):
        raise wrong_type(path, "a text", url)
    if not url.startswith("data:"):
        return {"url": url}
    header, _, data = url.removeprefix("data:").partition(",")
    mime_type, _, encoding = header.partition(";")
    if encoding != "base64":
        raise ValueError(f"{path}: a data: URL must say ;base64 before its comma")
    return {"data": _from_base64(path, data), "mime_type": mime_type}


def _from_base64(path: str, text: Any) -> bytes:
    if not isinstance(text, str):
        raise wrong_type(path, "a text", text)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(f"{path}: is no base64") from None


def _media(path: str, value: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(value.get("data"), str):
        raise TypeError(f"{path}.data: must be bytes, not a str; Media.from_file reads a file")
    return value


def _inner(path: str, name: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object within a member; empty if there is no such member."""
    inner = value.get(name, {})
    if not isinstance(inner, Mapping):
        raise wrong_type(f"{path}.{name}", "a dict", inner)
    return inner


def _without(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in names}


_PARTS: dict[str, Callable[[str, Mapping[str, Any]], Mapping[str, Any]]] = {
    "text": _text_part,
    "image_url": _image_part,
    "input_audio": _audio_part,
    "file": _file_part,
}

SHAPES: dict[str, Callable[[str, Any], Any]] = {
    "AnswerCache": _answer_cache,
    "ChatMessage": _message,
    "ContentPart": _content_part,
    "Media": _media,
    "PromptRef": _prompt,
    "ReasoningConfig": _reasoning,
    "ResponseFormat": _response_format,
    "ToolCall": _tool_call,
    "ToolChoice": _tool_choice,
    "ToolDefinition": _tool,
}
"""The functions by the name of the message."""
