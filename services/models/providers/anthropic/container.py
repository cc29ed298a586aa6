"""The container in which the provider ran code for an answer; the next turn must contain its id.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/code-execution-tool. If that code has called tools, a
conversation without the id is refused. The container is a member of the message and not a block, so it is kept as
opaque state in an object of its own, which differs from blocks: those have a type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers.answers.answer import Answer
from services.models.providers.state.container_state import wrap_container
from services.shared import json_text

BEHIND_ALL = 2**30 + 1
"""The key of the container: after all other parts of an answer, the explanation of a refusal included."""


class _Holder(msgspec.Struct):
    container: msgspec.Raw


class _Start(msgspec.Struct):
    message: _Holder


class _Delta(msgspec.Struct):
    delta: _Holder


def container_in_body(message: dict[str, Any], body: bytes) -> bytes:
    """The container of a message, in the provider's exact JSON if that can be embedded; empty without a container."""
    return _written(message, body, lambda data: json_text.decode_exactly(data, _Holder))


def container_in_start(message: dict[str, Any], data: bytes) -> bytes:
    """The container in the message of the event that starts a stream."""
    return _written(message, data, lambda data: json_text.decode_exactly(data, _Start).message)


def container_in_delta(delta: dict[str, Any], data: bytes) -> bytes:
    """The container in the delta of an event of a stream."""
    return _written(delta, data, lambda data: json_text.decode_exactly(data, _Delta).delta)


def _written(holder: dict[str, Any], data: bytes, decode_holder: Callable[[bytes], _Holder]) -> bytes:
    container = holder.get("container")
    if not isinstance(container, dict):
        return b""
    try:
        return bytes(decode_holder(data).container)
    except json_text.Malformed:
        return json_text.encode_any(container)


def keep_container(answer: Answer, container_json: bytes) -> None:
    """Adds it to the answer as a part of its own, if there is one."""
    if container_json:
        state = models_pb2.ProviderState(model=answer.model, data=wrap_container(container_json))
        answer.attach_state(BEHIND_ALL, state)


def as_member(container_id: str, *options_json: str) -> str | dict[str, str]:
    """The member of the body that names a container: in an object where one of the options is one, to be merged."""
    members = [json_text.raw_members(options).get("container") for options in options_json if options]
    if any(isinstance(json_text.decode(bytes(member)), dict) for member in members if member is not None):
        return {"id": container_id}
    return container_id
