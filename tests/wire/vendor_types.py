"""The request types of the vendors' own SDKs, which take seconds to load: by the tests that need them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, TypeAdapter

OF_THE_OLDER_VERSION = {("anthropic", "temperature"), ("anthropic", "top_p"), ("anthropic", "top_k")}
"""What the SDK's types, which are of the newest version of the API, have lost; see `API_VERSION`."""


@functools.cache
def request_type(vendor: str) -> TypeAdapter[Any]:
    """The type of a body that asks for a whole answer."""
    if vendor == "anthropic":
        from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

        return TypeAdapter(MessageCreateParamsNonStreaming)
    if vendor == "openai_responses":
        from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

        return TypeAdapter(ResponseCreateParamsNonStreaming)
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

    return TypeAdapter(CompletionCreateParamsNonStreaming)


def validated(vendor: str, body: Any) -> Any:
    """What the type knows of a body: it drops members that it does not know. Raises ValueError for another body."""
    return plain(request_type(vendor).validate_python(body, strict=True))


def plain(value: Any) -> Any:
    """A validated value as JSON has it, with the iterables drained that pydantic validates only then."""
    if isinstance(value, BaseModel):
        # Blocks of answers can be sent back as the SDK's own objects.
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
