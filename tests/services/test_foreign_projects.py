"""An adversary's walk: a project tries all that another one has, by every method there is.

It walks through two platforms, of which only one has the other project. Whatever it does, both must answer the same: so
nothing of the other project is seen, not even that it exists. Afterwards the other project is as it was before.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from proto import models_pb2 as mp
from proto import models_pb2_grpc, turns_pb2
from proto import sessions_pb2 as sp
from proto.identity_pb2 import CallerIdentity
from services.shared.identity import PROCESS_CALLERS
from tests.rows import row
from tests.scripted_upstream import Received, Script, ScriptedUpstream, answer, json_answer
from tests.services.model_service import (
    chat_request,
    completion,
    model_service,
    piece,
    registration,
    streamed_completion,
)
from tests.services.session_service import Service, said, served
from tests.support.callers import SCOPES, all_asked, caller, signed
from tests.support.errors import explain

CANARY = "canary"
"""A word in all that the other project has said and stored."""

ADMIN = caller("operator", scopes=(*SCOPES, "admin"))
OWNER = caller("theirs")
ADVERSARY = caller("ours", scopes=[scope for scope in SCOPES if scope != "models.write"])
"""Registered models are those of all projects, and so is the scope to change them an administrator's."""

METHODS: dict[str, MethodDescriptor] = {
    method.name: method
    for file in (mp, sp, turns_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

RANDOM = {"createTime", "updateTime", "createdAt", "archivedAt", "time", "responseId", "timing", "attempts", "latency"}
RANDOM |= {"registeredAt", "lastChecked", "lastSuccess", "since", "nextPageToken"}
"""Fields of which the values differ from call to call. That of a page token holds a time."""


Tokens = dict[str, list[str]]
"""Page tokens of the other project, by the names of their requests: the adversary knows all its ids, too."""


def echo(request: Received) -> Script:
    """What a provider answers: all that it was told."""
    if request.method == "GET":
        return answer(b"{}")
    body = request.json()
    text = " ".join(str(message["content"]) for message in body["messages"])
    return streamed_completion(piece(text)) if body.get("stream") else json_answer(completion(text))


class Platform:
    """Both services, called by whoever is named."""

    def __init__(self, models: grpc.aio.Channel, sessions: Service) -> None:
        self._models = models_pb2_grpc.ModelServiceStub(models)
        self._sessions = sessions

    async def call(self, who: CallerIdentity, request: Message, name: str = "") -> list[Any]:
        """The responses of the method that takes this request, or of the one that is named."""
        name = name or next(name for name, method in METHODS.items() if method.input_type is request.DESCRIPTOR)
        owner = METHODS[name].containing_service.name
        stub: Any = {"ModelService": self._models, "SessionService": self._sessions.stub}.get(owner)
        method = getattr(stub or self._sessions.turns, name)
        if METHODS[name].server_streaming:
            return [chunk async for chunk in method(request, metadata=signed(who), timeout=20)]
        return [await method(request, metadata=signed(who), timeout=20)]

    async def one(self, who: CallerIdentity, request: Message) -> Any:
        [response] = await self.call(who, request)
        return response

    async def outcome(self, who: CallerIdentity, request: Message, name: str) -> Any:
        """All that a caller sees of a call's end, without what is never the same twice."""
        try:
            return [visible(response) for response in await self.call(who, request, name)]
        except grpc.aio.AioRpcError as error:
            failure = explain(error)
            return failure.code, failure.message, failure.reason, failure.metadata, failure.fields


def visible(value: Any) -> Any:
    if isinstance(value, Message):
        return visible(MessageToDict(value))
    if isinstance(value, dict):
        return {key: bool(field) if key in RANDOM else visible(field) for key, field in value.items()}
    return [visible(entry) for entry in value] if isinstance(value, list) else value


@contextlib.asynccontextmanager
async def platform(directory: Path, upstream: ScriptedUpstream) -> AsyncIterator[Platform]:
    url = f"sqlite:///{directory}/sessions.db"
    async with (
        served(url, callers=PROCESS_CALLERS) as sessions,
        model_service(directory, upstream, SESSIONS_ADDRESS=sessions.address, MODELS_MAX_ATTEMPTS="1") as models,
    ):
        here = Platform(models.channel, sessions)
        for name in ("mine", "mine-too"):
            await here.one(ADMIN, registration(upstream, name))
        yield here


# ------------------------------------------------------------------------------------------------ what both have


def chat(**fields: Any) -> mp.ChatRequest:
    return chat_request("gpt-4o", "Tell me.", **fields)


def belongings(word: str) -> list[Message]:
    """The requests by which a project gets what it has: names and ids are the same for each, contents are not."""
    return [
        sp.CreateSessionRequest(session_id="s", user_id="ann", title=word, metadata={"a": word}),
        sp.CreateSessionRequest(session_id="t", user_id="ann", title=word),
        sp.CreateSessionRequest(session_id="u", title=word),
        *(
            sp.AppendMessagesRequest(session_id=session, messages=[said("user", word)] * 3, request_id="append")
            for session in ("s", "t", "u")
        ),
        *(sp.PutMemoryRequest(user_id="ann", key=key, value_json=f'"{word}"') for key in ("a", "b")),
        mp.RegisterPromptRequest(name="p", content=f"first {word}", labels=["old"]),
        mp.RegisterPromptRequest(name="p", content=f"second {word} {{{{x}}}}", labels=["production"]),
        mp.RegisterPromptRequest(name="p", content=f"third {word}"),
        mp.RegisterPromptRequest(name="q", content=f"other {word}"),
        mp.RegisterPromptRequest(name="guessed", content="guessed"),
        sp.AppendMessagesRequest(session_id="u", messages=[said("user", "guessed")], request_id="guessed"),
        chat(request_id="r", system_prompt_name="q"),
        chat(cache={"max_age": {"seconds": 3600}}),
        turns_pb2.BeginTurnRequest(session_id="s", user_id="ann", turn_id="turn"),
    ]


async def settle(platform: Platform, who: CallerIdentity, word: str) -> None:
    """Gives a project what it has not yet."""
    for request in belongings(word):
        with contextlib.suppress(grpc.aio.AioRpcError):
            await platform.call(who, request, "Chat" if isinstance(request, mp.ChatRequest) else "")


LISTS: tuple[Message, ...] = (
    sp.ListSessionsRequest(),
    sp.ListSessionsRequest(user_id="ann"),
    sp.ListMessagesRequest(session_id="s", user_id="ann"),
    sp.ListMessagesRequest(session_id="u", descending=True),
    sp.ListMemoriesRequest(user_id="ann"),
    mp.ListPromptsRequest(include_archived=True),
    mp.ListPromptVersionsRequest(name="p", include_archived=True),
    mp.ListPromptEventsRequest(name="p"),
    mp.ListModelsRequest(),
    mp.ListRegisteredModelsRequest(),
)


async def everything(platform: Platform, who: CallerIdentity) -> list[Any]:
    """All that a project has, with its times, and what only its repetitions and turns show."""
    repeated = await platform.call(who, chat(request_id="r", system_prompt_name="q"), "Chat")
    in_session = await platform.call(who, chat(session_id="t", session={"skip_append": True}), "Chat")
    assert CANARY in in_session[0].text
    await platform.one(who, turns_pb2.ExtendTurnRequest(session_id="s", turn_id="turn"))
    lists = [await platform.one(who, request) for request in LISTS if "Models" not in request.DESCRIPTOR.name]
    return [visible(repeated[0]), visible(in_session[0]), *map(MessageToDict, lists)]


async def tokens(platform: Platform, who: CallerIdentity) -> Tokens:
    """Page tokens of all lists, by the names of their requests."""
    found: Tokens = {}
    for request in LISTS:
        first = type(request)()
        first.CopyFrom(request)
        first.page_size = 1
        page = await platform.one(who, first)
        found.setdefault(request.DESCRIPTOR.name, []).append(page.next_page_token)
    return found


# ------------------------------------------------------------------------------------------------- what is tried

READS = ("Get", "List", "Preview", "Render")
"""The beginnings of the names of methods that change nothing."""

Try = Callable[[Tokens], Sequence[Message]]
"""The requests that are tried with what is known of the other project."""

PLACES = [{"session_id": name, "user_id": user} for name in ("s", "u") for user in ("", "ann")]


def in_places(kind: Callable[..., Message], **fields: Any) -> list[Message]:
    return [kind(**place, **fields) for place in PLACES]


def chats(_: Tokens) -> list[Message]:
    return [
        chat(request_id="r", system_prompt_name="q"),
        chat(request_id="r"),
        chat(cache={"max_age": {"seconds": 3600}}),
        chat(system_prompt_name="p"),
        chat(system_prompt_name="q"),
        *(chat(prompt={"name": "p", **which}) for which in ({"version": 1}, {"label": "old"}, {"version": 9})),
        chat(prompt={"name": "p", "label": "production", "variables": {"x": "y"}}),
        *(chat(session_id=session, session={"user_id": user}) for session in "su" for user in ("", "ann")),
        *(chat(session_id=session, session={"skip_append": True}) for session in "stu"),
        chat(session_id="t", request_id="in-session"),
    ]


def paged(*requests: Message) -> Try:
    """A list from its start, and after each of the other project's tokens."""

    def tried(tokens: Tokens) -> list[Message]:
        found: list[Message] = []
        for request in requests:
            for token in ("", *tokens[request.DESCRIPTOR.name]):
                asked = type(request)()
                asked.CopyFrom(request)
                asked.page_token = token
                found.append(asked)
        return found

    return tried


def lists_of(kind: type[Message]) -> Try:
    return paged(*(request for request in LISTS if isinstance(request, kind)))


def tries(*requests: Message) -> Try:
    return lambda _: requests


TRIED: dict[str, Try] = {
    # Of the Model Service.
    "Chat": chats,
    "ChatStream": chats,
    "PreviewChat": lambda loot: [mp.PreviewChatRequest(request=request) for request in chats(loot)],
    "ListModels": lists_of(mp.ListModelsRequest),
    "GetModelCapabilities": tries(mp.GetCapabilitiesRequest(model="mine")),
    "GetPrompt": tries(
        mp.GetPromptRequest(name="p"),
        mp.GetPromptRequest(name="q"),
        *(mp.GetPromptRequest(name="p", version=version) for version in (1, 2, 3, 4)),
        *(mp.GetPromptRequest(name="p", label=label) for label in ("old", "production", "none")),
        mp.GetPromptRequest(name="pp"),
    ),
    "ListPrompts": lists_of(mp.ListPromptsRequest),
    "RegisterModel": tries(mp.RegisterModelRequest(name="mine", endpoint="https://example.com/v1")),
    "ListRegisteredModels": lists_of(mp.ListRegisteredModelsRequest),
    "GetModelStatus": tries(mp.GetModelStatusRequest(name="mine")),
    "DeregisterModel": tries(mp.DeregisterModelRequest(name="mine")),
    "ListPromptVersions": lists_of(mp.ListPromptVersionsRequest),
    "SetPromptLabel": tries(
        mp.SetPromptLabelRequest(name="p", label="production", version=1),
        mp.SetPromptLabelRequest(name="p", label="production", version=1, expected_version=2),
        mp.SetPromptLabelRequest(name="p", label="old", version=0),
    ),
    "ArchivePrompt": tries(
        mp.ArchivePromptRequest(name="p", version=1),
        mp.ArchivePromptRequest(name="q"),
        mp.ArchivePromptRequest(name="q", unarchive=True),
    ),
    "RenderPrompt": tries(
        mp.RenderPromptRequest(prompt={"name": "q"}),
        mp.RenderPromptRequest(prompt={"name": "p", "version": 1}),
        mp.RenderPromptRequest(prompt={"name": "p", "variables": {"x": "y"}}),
    ),
    "ListPromptEvents": lists_of(mp.ListPromptEventsRequest),
    # Of the Session Service.
    "GetSession": tries(*in_places(sp.GetSessionRequest)),
    "ListSessions": lists_of(sp.ListSessionsRequest),
    "AppendMessages": tries(
        *in_places(sp.AppendMessagesRequest, messages=[said("user", "ours")]),
        *in_places(sp.AppendMessagesRequest, messages=[said("user", "guessed")], request_id="guessed"),
        *in_places(sp.AppendMessagesRequest, messages=[said("user", "ours")], turn_id="turn"),
        *in_places(sp.AppendMessagesRequest, messages=[said("user", "ours")], expected_next_sequence=4),
    ),
    "ListMessages": lists_of(sp.ListMessagesRequest),
    "GetContext": tries(*in_places(sp.GetContextRequest), *in_places(sp.GetContextRequest, window={"max_messages": 1})),
    "TruncateMessages": tries(*in_places(sp.TruncateMessagesRequest, from_sequence=2)),
    "ListMemories": lists_of(sp.ListMemoriesRequest),
    "DeleteMemory": tries(*(sp.DeleteMemoryRequest(user_id="ann", key=key) for key in ("a", "b"))),
    "DeleteSession": tries(*in_places(sp.DeleteSessionRequest)),
    "DeleteUserData": tries(sp.DeleteUserDataRequest(user_id="ann")),
    # Of the TurnService.
    "ExtendTurn": tries(*in_places(turns_pb2.ExtendTurnRequest, turn_id="turn")),
    "EndTurn": tries(*in_places(turns_pb2.EndTurnRequest, turn_id="turn")),
    "BeginTurn": tries(
        *in_places(turns_pb2.BeginTurnRequest, turn_id="turn"),
        *in_places(turns_pb2.BeginTurnRequest, turn_id="another", append_id="append"),
    ),
    # Last: what they make is there for all that follows.
    "RegisterPrompt": tries(
        mp.RegisterPromptRequest(name="guessed", content="guessed", labels=["old"]),
        mp.RegisterPromptRequest(name="q", content="ours"),
    ),
    "CreateSession": tries(*in_places(sp.CreateSessionRequest, title="ours")),
    "PutMemory": tries(sp.PutMemoryRequest(user_id="ann", key="a", value_json='"ours"')),
}


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=echo) as server:
        yield server


def test_every_method_is_tried() -> None:
    assert TRIED.keys() == METHODS.keys()


@pytest.mark.parametrize("has_the_same", [False, True], ids=["of nothing", "of the same names"])
async def test_another_project_is_neither_seen_nor_changed(
    tmp_path: Path, upstream: ScriptedUpstream, patient_storage: None, has_the_same: bool
) -> None:
    with all_asked():
        async with (
            platform(tmp_path / "shared", upstream) as shared,
            platform(tmp_path / "alone", upstream) as alone,
        ):
            await settle(shared, OWNER, CANARY)
            before = await everything(shared, OWNER)
            assert str(before).count(CANARY) > 20
            loot = await tokens(shared, OWNER)
            assert all(token for listed in loot.values() for token in listed)
            is_settled = not has_the_same
            for name, tried in TRIED.items():
                if not is_settled:
                    for each in (shared, alone):
                        await settle(each, ADVERSARY, "ours")
                is_settled = not has_the_same or name.startswith(READS)
                for request in tried(loot):
                    with row(f"{name} {request}"):
                        upstream.requests.clear()
                        seen = await shared.outcome(ADVERSARY, request, name)
                        told = [received.body for received in upstream.requests]
                        assert seen == await alone.outcome(ADVERSARY, request, name)
                        assert CANARY not in str((seen, told))
                assert await everything(shared, OWNER) == before, name
