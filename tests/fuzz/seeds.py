"""Valid requests of every RPC, which the fuzzers begin with: realistic ones, and ones with every field set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from docs.feature_requests import CALL, FIND, FOUND, IMAGE, PDF, SYSTEM, USER, features
from proto import models_pb2, sessions_pb2, turns_pb2
from services.models.catalog import vendors

ADAPTER_TYPES = tuple(vendors.ADAPTER_TYPES)


def registered_name(adapter_type: str) -> str:
    """The name under which a model of an adapter type is registered."""
    return f"fuzz-{adapter_type.removeprefix('openai-')}"


MODELS = (
    "gpt-4o",
    "gpt-5.1",
    "gpt-5.6",
    "o3",
    "claude-opus-5",
    "claude-haiku-4-5",
    "claude-3-5-haiku-20241022",
    "openai/gpt-new",
    "anthropic/claude-new",
    *map(registered_name, ADAPTER_TYPES),
)
SESSIONS = ("s-1", "s-2", "s-3", "s-4")
USERS = ("ada", "bob")
PROMPTS = ("greeting", "support/tone", "a.b-c_d", "with-tools")
LABELS = ("production", "staging")
KEYS = ("likes", "a", "b/c")

MAX_FILLED_DEPTH = 6


class Rpc(NamedTuple):
    """One RPC, and the processes that serve it."""

    method: MethodDescriptor
    homes: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def name(self) -> str:
        return f"{self.method.containing_service.name}/{self.method.name}"

    @property
    def is_ours(self) -> bool:
        """Whether it is part of the platform's contract, and not of gRPC's own services."""
        return bool(self.method.containing_service.full_name.startswith("genai_platform."))


EVERYWHERE = ("sessions", "models", "gateway")
_HOMES = {"ModelService": ("models",), "SessionService": ("sessions",), "TurnService": ("sessions",)}


def rpcs() -> list[Rpc]:
    """Every RPC that any of the processes serves."""
    files = (models_pb2, sessions_pb2, turns_pb2, health_pb2, reflection_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    return [Rpc(method, _HOMES.get(service.name, EVERYWHERE)) for service in services for method in service.methods]


def seeds(rpc: Rpc, upstream_url: str) -> list[Message]:
    """Requests of one RPC, none of which is malformed. `upstream_url` is where models may be registered."""
    kind = message_factory.GetMessageClass(rpc.method.input_type)
    realistic = [message for message in _realistic(upstream_url) if isinstance(message, kind)]
    return [kind(), *filled(rpc.method.input_type), *realistic]


def filled(descriptor: Descriptor) -> list[Message]:
    """Messages with every field set, one for each choice of its `oneof`s."""
    widest = max([len(oneof.fields) for oneof in descriptor.oneofs], default=1)
    return [_fill(descriptor, choice, 0) for choice in range(max(widest, 3))]


def _fill(descriptor: Descriptor, choice: int, depth: int) -> Message:
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof and len(oneof.fields) > 1 and oneof.fields[choice % len(oneof.fields)].number != field.number:
            continue
        if field.message_type and depth == MAX_FILLED_DEPTH:
            continue
        _set(message, field, choice, depth)
    return message


def _set(message: Message, field: FieldDescriptor, choice: int, depth: int) -> None:
    if field.message_type and field.message_type.GetOptions().map_entry:
        getattr(message, field.name)["key"] = "value"
    elif field.message_type:
        value = _fill(field.message_type, choice, depth + 1)
        target = getattr(message, field.name)
        if field.is_repeated:
            target.add().CopyFrom(value)
        else:
            target.CopyFrom(value)
    elif field.is_repeated:
        getattr(message, field.name).append(_value(field, choice))
    else:
        setattr(message, field.name, _value(field, choice))


_WORDS: dict[str, tuple[str, ...]] = {
    "role": ("user", "assistant", "tool", "system"),
    "model": MODELS,
    "session_id": SESSIONS,
    "user_id": USERS,
    "provider": ("openai", "anthropic"),
    "adapter_type": ADAPTER_TYPES,
    "mime_type": ("image/png", "application/pdf", "text/csv"),
    "url": ("https://a.example/a.png",),
    "detail": ("low", "high"),
    "effort": ("low", "high"),
    "label": LABELS,
    "type": ("json_schema", "json_object", "text"),
    "page_token": ("",),
    "health_check": ("/health",),
    "endpoint": ("http://127.0.0.1:1/v1",),
}
_JSON = ('{"a":1}', '{"type":"object","properties":{"n":{"type":"integer"}}}', "[1]")


def _value(field: FieldDescriptor, choice: int) -> object:
    if field.type == FieldDescriptor.TYPE_STRING:
        words = _JSON if field.name.endswith("_json") else _WORDS.get(field.name, ("name", "greeting", "likes"))
        return words[choice % len(words)]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b'{"type":"thinking","thinking":"Hm.","signature":"c2ln"}'
    if field.type == FieldDescriptor.TYPE_BOOL:
        return choice % 2 == 0
    if field.type == FieldDescriptor.TYPE_ENUM:
        return field.enum_type.values[choice % len(field.enum_type.values)].number
    return 1


def _realistic(upstream_url: str) -> Iterator[Message]:
    yield from _chats()
    yield from _registrations(upstream_url)
    yield from _prompts()
    yield from _sessions()
    for model in MODELS:
        yield models_pb2.GetCapabilitiesRequest(model=model)
        yield models_pb2.GetModelStatusRequest(name=model)
    yield models_pb2.DeregisterModelRequest(name="fuzz-vllm")
    yield models_pb2.ListModelsRequest(page_size=7)
    yield models_pb2.ListRegisteredModelsRequest(page_size=2)
    for service in ("", "genai_platform.v1.ModelService", "genai_platform.v1.SessionService", "nobody"):
        yield health_pb2.HealthCheckRequest(service=service)
    asked = reflection_pb2.ServerReflectionRequest
    yield asked(list_services="")
    yield asked(file_containing_symbol="genai_platform.v1.ModelService")
    yield asked(file_by_filename="genai_platform/v1/models.proto")
    extension = reflection_pb2.ExtensionRequest(containing_type="a.B", extension_number=1)
    yield asked(file_containing_extension=extension)
    yield asked(all_extension_numbers_of_type="google.protobuf.MessageOptions")


def _chats() -> Iterator[Message]:
    asked = [feature.request for feature in features()]
    for number, feature in enumerate(asked):
        request = models_pb2.ChatRequest()
        request.CopyFrom(feature)
        request.model = MODELS[number % len(MODELS)]
        if not request.messages:
            request.messages.add().CopyFrom(USER)
        yield request
    conversation = models_pb2.ChatRequest(
        model="gpt-4o",
        messages=[SYSTEM, USER, models_pb2.ChatMessage(role="assistant", tool_calls=[CALL]), FOUND, USER],
        tools=[FIND],
        tags={"team": "a"},
        provider_options_json={"openai": '{"service_tier":"flex"}', "anthropic": '{"service_tier":"auto"}'},
        end_user_id="u-1",
        parameter_policy=models_pb2.PARAMETER_POLICY_STRICT,
    )
    looked = models_pb2.ChatRequest(
        model="claude-opus-5", messages=[models_pb2.ChatMessage(role="user", parts=[IMAGE, PDF])]
    )
    prompted = models_pb2.ChatRequest(
        model="gpt-4o",
        messages=[USER],
        prompt=models_pb2.PromptRef(name="greeting", variables={"who": "Ada"}, label="production"),
    )
    yield from (conversation, looked, prompted)
    yield models_pb2.ChatRequest(model="gpt-4o", messages=[USER], system_prompt_name="support/tone")
    yield models_pb2.RenderPromptRequest(prompt=prompted.prompt)
    for session_id in SESSIONS:
        yield models_pb2.ChatRequest(
            model="gpt-4o",
            messages=[USER],
            session_id=session_id,
            session=models_pb2.SessionOptions(window=models_pb2.WindowPolicy(max_messages=4)),
        )
    for request in (conversation, looked, prompted, *asked[:20]):
        preview = models_pb2.PreviewChatRequest(request=request)
        preview.request.model = preview.request.model or "gpt-4o"
        if not preview.request.messages:
            preview.request.messages.add().CopyFrom(USER)
        yield preview


def _registrations(url: str) -> Iterator[models_pb2.RegisterModelRequest]:
    for adapter_type in ADAPTER_TYPES:
        yield models_pb2.RegisterModelRequest(
            name=registered_name(adapter_type),
            endpoint=f"{url}/v1",
            adapter_type=adapter_type,
            provider="fuzz",
            upstream_model="fuzz",
            aliases=[f"alias-{adapter_type}"],
            capabilities=models_pb2.ModelCapabilities(context_window=8192, supports_tools=True),
            default_options_json='{"min_p":0.05}',
        )
    yield models_pb2.RegisterModelRequest(
        name="fuzz-checked", endpoint=f"{url}/v1", adapter_type="vllm", health_check="/health", validate_only=True
    )


def _prompts() -> Iterator[Message]:
    for name in PROMPTS:
        yield models_pb2.RegisterPromptRequest(
            name=name,
            content="Greet {{who}} in {{language}}.",
            labels=["production"],
            commit_message="First.",
            metadata=models_pb2.PromptMetadata(author="ada", tags=["a", "b"]),
            defaults=models_pb2.PromptDefaults(model="gpt-4o", tools=[FIND]),
        )
        yield models_pb2.GetPromptRequest(name=name)
        yield models_pb2.GetPromptRequest(name=name, label="production")
        yield models_pb2.ListPromptVersionsRequest(name=name, page_size=3)
        yield models_pb2.ListPromptEventsRequest(name=name, page_size=3)
        yield models_pb2.SetPromptLabelRequest(name=name, label="staging", version=1, reason="a", actor="b")
        yield models_pb2.ArchivePromptRequest(name=name, version=1, unarchive=True)
    yield models_pb2.ListPromptsRequest(page_size=2, query="e", tags=["a"])


def _sessions() -> Iterator[Message]:
    message = models_pb2.ChatMessage(role="assistant", tool_calls=[CALL])
    for session_id in SESSIONS:
        yield sessions_pb2.CreateSessionRequest(
            session_id=session_id, title="A talk", metadata={"a": "b"}, ttl=Duration(seconds=3600)
        )
        yield sessions_pb2.GetSessionRequest(session_id=session_id)
        yield sessions_pb2.AppendMessagesRequest(session_id=session_id, messages=[USER, message, FOUND])
        yield sessions_pb2.ListMessagesRequest(session_id=session_id, page_size=2)
        yield sessions_pb2.GetContextRequest(
            session_id=session_id, window=models_pb2.WindowPolicy(max_messages=3, max_tokens=500)
        )
        yield sessions_pb2.TruncateMessagesRequest(session_id=session_id, from_sequence=2)
        yield turns_pb2.BeginTurnRequest(session_id=session_id, turn_id="turn-1")
        yield turns_pb2.ExtendTurnRequest(session_id=session_id, turn_id="turn-1")
        yield turns_pb2.EndTurnRequest(session_id=session_id, turn_id="turn-1")
    yield sessions_pb2.DeleteSessionRequest(session_id="s-4")
    yield sessions_pb2.ListSessionsRequest(page_size=2, user_id="ada")
    for user in USERS:
        yield sessions_pb2.CreateSessionRequest(user_id=user)
        yield sessions_pb2.PutMemoryRequest(user_id=user, key="likes", value_json='{"tea":true}')
        yield sessions_pb2.ListMemoriesRequest(user_id=user, page_size=2, key_prefix="l")
        yield sessions_pb2.DeleteMemoryRequest(user_id=user, key="likes")
    yield sessions_pb2.DeleteUserDataRequest(user_id="bob")
