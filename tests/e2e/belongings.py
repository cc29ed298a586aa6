"""The belongings of the project `theirs` in an adversary's walk, and requests for them, built from the descriptors."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from proto import content_pb2, usage_pb2
from proto import models_pb2 as mp
from proto import sessions_pb2 as sp
from tests.e2e.adversary import World

CANARY = "canary-of-theirs"
"""A word in all that the project has said and stored."""

ANN = "canary-of-ann"
"""A word in all of it that belongs to its user `ann`."""

GIVEN: Mapping[str, Any] = {
    "model": "gpt-4o",
    "role": "user",
    "content": "ours",
    "value_json": '"ours"',
    "from_sequence": 1,
    "group_by": ["key"],
}
"""Values without which requests would be refused before anything is looked up."""

MAX_DEPTH = 2
"""Messages within messages up to which fields are filled in."""


class Belongings(NamedTuple):
    """The ids of what the project has, by the names of the fields that take them, and its page tokens."""

    ids: Mapping[str, Any]
    tokens: Mapping[str, str]
    """By the names of their requests."""


def settle(world: World) -> Belongings:
    """Gives the project one of everything."""
    ask = functools.partial(world.call, key=world.theirs)
    for session in ("s", "t"):
        ask(sp.CreateSessionRequest(session_id=session, user_id="ann", title=f"{CANARY} {ANN}", metadata={"a": CANARY}))
        ask(sp.AppendMessagesRequest(session_id=session, messages=[_said(f"{CANARY} {ANN}")] * 2, request_id="append"))
    for key in ("a", "b"):
        ask(sp.PutMemoryRequest(user_id="ann", key=key, value_json=f'"{CANARY} {ANN}"'))
    for name in ("p", "q"):
        ask(mp.RegisterPromptRequest(name=name, content=f"first {CANARY}", labels=["production"]))
        ask(mp.RegisterPromptRequest(name=name, content=f"second {CANARY}"))
    chat = mp.ChatRequest(model="gpt-4o", messages=[_said(CANARY)], request_id="r", tags={"a": CANARY})
    answered = ask(chat, method="Chat")
    ids = {
        "session_id": "s",
        "user_id": "ann",
        "key": "a",
        "name": "p",
        "system_prompt_name": "p",
        "label": "production",
        "version": 1,
        "request_id": "r",
        "project_id": "theirs",
        "team_id": "team",
        "key_id": world.theirs[3:15],
        # The end of the id of an answer is that of its call.
        "call_id": answered.response_id[-32:],
    }
    return Belongings(ids, {request.DESCRIPTOR.name: ask(request).next_page_token for request in _pages()})


def everything(world: World, belongings: Belongings) -> Sequence[Any]:
    """All that the project has, with its times."""
    ask = functools.partial(world.call, key=world.theirs)
    repeated = ask(
        mp.ChatRequest(model="gpt-4o", messages=[_said(CANARY)], request_id="r", tags={"a": CANARY}), method="Chat"
    )
    assert CANARY in repeated.text
    assert "ANSWER_REPEATED" in [notice.code for notice in repeated.warnings]
    requests: Sequence[Message] = (
        *(sp.GetSessionRequest(session_id=session) for session in ("s", "t")),
        *(sp.ListMessagesRequest(session_id=session) for session in ("s", "t")),
        sp.ListSessionsRequest(),
        sp.ListMemoriesRequest(user_id="ann"),
        mp.ListPromptsRequest(include_archived=True),
        mp.ListPromptVersionsRequest(name="p", include_archived=True),
        mp.ListPromptEventsRequest(name="p"),
        content_pb2.GetContentRequest(call_id=belongings.ids["call_id"]),
        usage_pb2.ListCallsRequest(),
    )
    return [_without_ages(MessageToDict(ask(request))) for request in requests]


def _pages() -> Sequence[Message]:
    return (
        sp.ListSessionsRequest(page_size=1),
        sp.ListMessagesRequest(session_id="s", page_size=1),
        sp.ListMemoriesRequest(user_id="ann", page_size=1),
        mp.ListPromptsRequest(page_size=1),
        mp.ListPromptVersionsRequest(name="p", page_size=1),
        mp.ListPromptEventsRequest(name="p", page_size=1),
        mp.ListModelsRequest(page_size=1),
    )


def _without_ages(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ages(entry) for key, entry in value.items() if key not in ("age", "nextPageToken")}
    return [_without_ages(entry) for entry in value] if isinstance(value, list) else value


def _said(text: str) -> mp.ChatMessage:
    return mp.ChatMessage(role="user", content=text)


def tries(method: MethodDescriptor, belongings: Belongings) -> Iterator[bytes]:
    """Requests of a method for what the project has: with all of its ids, with each, and with each two of them."""
    known = {**belongings.ids, "page_token": belongings.tokens.get(method.input_type.name, "none")}
    named = sorted(name for name in known if name in _names(method.input_type))
    for chosen in (*([name] for name in named), *itertools.combinations(named, 2), named):
        values = {**GIVEN, **{name: known[name] for name in chosen}}
        yield _filled(method.input_type, values).SerializeToString()


def _names(descriptor: Descriptor, depth: int = 0) -> set[str]:
    """The names of the fields of a message, and of those within it."""
    found = {field.name for field in descriptor.fields}
    if depth < MAX_DEPTH:
        for field in descriptor.fields:
            if _is_within(field):
                found |= _names(field.message_type, depth + 1)
    return found


def _filled(descriptor: Descriptor, values: Mapping[str, Any], depth: int = 0) -> Message:
    """A message of which the fields with these names have these values, in the messages within it, too."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if _is_within(field) and depth < MAX_DEPTH:
            inner = _filled(field.message_type, values, depth + 1)
            if inner.ByteSize() and field.is_repeated:
                getattr(message, field.name).append(inner)
            elif inner.ByteSize():
                getattr(message, field.name).CopyFrom(inner)
        elif field.message_type is None and field.name in values and field.is_repeated:
            getattr(message, field.name).extend(values[field.name])
        elif field.message_type is None and field.name in values:
            setattr(message, field.name, values[field.name])
    return message


def _is_within(field: FieldDescriptor) -> bool:
    """Whether a field has a message of the contract. Those of what models produce are left out, as are maps."""
    kind = field.message_type
    if kind is None or kind.GetOptions().map_entry or not kind.full_name.startswith("genai_platform."):
        return False
    return kind.name in ("ChatRequest", "ChatMessage", "PromptRef", "SessionOptions", "UsageFilter")
