"""Arguments of earlier calls as an object, for servers that parse them.

An answer that was cut off leaves half an object, and a tool of another provider may take any text. vLLM, llama.cpp and
others parse the arguments in the history, and would refuse every later request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from proto import models_pb2
from services.models.providers.history.tool_turns import PlacedMessage
from services.models.providers.notices import Notices, notice
from services.models.providers.state.member_state import is_wrapped
from services.models.providers.state.opaque_state import is_made_by
from services.shared import json_text


def fit_arguments(
    messages: Sequence[PlacedMessage], state_owner: str | None, notices: Notices
) -> Sequence[PlacedMessage]:
    """The messages with objects as arguments; the same sequence if nothing had to change. Calls with the state of
    `state_owner` go back as they are."""
    fitted: list[PlacedMessage] = []
    has_changed = False
    for path, message in messages:
        odd = dict(_odd_calls(path, message, state_owner)) if message.role == "assistant" else {}
        if odd:
            has_changed = True
            message = _with_objects(message, odd.values())
            for place in odd:
                text = 'tool arguments must be an object here; they were sent as {"arguments": "…"}'
                notices.append(notice("TOOL_ARGUMENTS_WRAPPED", place, text))
        fitted.append((path, message))
    return fitted if has_changed else messages


def _odd_calls(path: str, message: models_pb2.ChatMessage, state_owner: str | None) -> Iterator[tuple[str, str]]:
    """The paths and ids of the calls whose arguments are not an object. Blank arguments count as none."""
    for index, part in enumerate(message.parts):
        if _is_odd(part.tool_call.arguments_json) and not _goes_back_as_it_is(part, state_owner):
            yield f"{path}.parts[{index}]", part.tool_call.id
    if not message.parts:
        for index, call in enumerate(message.tool_calls):
            if _is_odd(call.arguments_json):
                yield f"{path}.tool_calls[{index}]", call.id


def _goes_back_as_it_is(part: models_pb2.ContentPart, state_owner: str | None) -> bool:
    return state_owner is not None and is_made_by(state_owner, part) and not is_wrapped(part)


def _is_odd(arguments: str) -> bool:
    return bool(arguments) and not json_text.is_object(arguments)


def _with_objects(message: models_pb2.ChatMessage, call_ids: Iterable[str]) -> models_pb2.ChatMessage:
    changed = models_pb2.ChatMessage()
    changed.CopyFrom(message)
    wanted = set(call_ids)
    for call in (*changed.tool_calls, *(part.tool_call for part in changed.parts if part.HasField("tool_call"))):
        if call.id in wanted:
            call.arguments_json = _object(call.arguments_json)
    return changed


def _object(arguments: str) -> str:
    if not arguments.strip():
        return "{}"
    return json_text.encode({"arguments": arguments}).decode()
