"""A Model Service for a test: the real one, on a free port, in front of a scripted provider.

    async with ScriptedUpstream() as upstream, model_service(tmp_path, upstream) as service:
        upstream.play(json_answer(completion("Hi.")))
        response = await service.stub.Chat(chat_request())

The service is put together as its own process does it, on a real SQLite file in the directory that it is given.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

from proto import models_pb2, models_pb2_grpc, usage_pb2_grpc
from services.models.catalog.vendors import VENDORS
from services.models.main import CONTENT_SERVICE, SERVICE, USAGE_SERVICE, Service, open_service
from services.models.settings import ModelsSettings, Settings
from services.shared.admission import Admission
from services.shared.identity import PROCESS_CALLERS, Callers
from services.shared.logs import Log, open_log
from services.shared.rpc import DEFAULT_DEADLINES, DefaultDeadlines, NoSuchMethod, service_handler
from services.shared.server import Server, running
from tests.scripted_upstream import Received, Script, ScriptedUpstream, Step, answer, event, event_stream, json_answer
from tests.services.log_file import LogFile
from tests.support.databases import provide
from tests.support.errors import Failure, failure_of, stream_failure

TODAY = datetime.date(2026, 11, 22)
OPENAI_KEY, ANTHROPIC_KEY = "sk-test-openai", "sk-test-anthropic"

STRANGER = (("x-genai-exposed", "yes"),)
"""What the gateway says with each call when it is exposed."""

LOG = open_log("models", file=LogFile())
"""Of the tests that do not look into their log."""


@dataclass
class ModelService:
    """A running service."""

    url: str
    """Where it is over HTTP, if it is."""
    address: str
    channel: grpc.aio.Channel
    stub: models_pb2_grpc.ModelServiceStub
    usage: usage_pb2_grpc.UsageServiceStub


@contextlib.asynccontextmanager
async def model_service(
    directory: Path,
    upstream: ScriptedUpstream | None = None,
    *,
    log: Log = LOG,
    today: datetime.date = TODAY,
    deadlines: DefaultDeadlines = DEFAULT_DEADLINES,
    servicer: Callable[[Any], object] = lambda servicer: servicer,
    settings_type: type[ModelsSettings] = Settings,
    callers: Callers = PROCESS_CALLERS,
    http: Mapping[str, Any] | None = None,
    **settings: str | None,
) -> AsyncIterator[ModelService]:
    """A Model Service with its data in `directory` and every vendor configured to be at `upstream`.

    `settings` are environment variables, and None for one that is not set. `servicer` may put another one in front.
    `http` are options of `make_port`, with which it is there over HTTP, too; with `tls` beside them, in TLS.
    """
    url = upstream.url if upstream else "http://127.0.0.1:1"
    variables: dict[str, Any] = {
        **vendor_variables(url),
        "MODELS_DATABASE_URL": None,
        "MODELS_RETIRED_POLICY": "replace",
        # Its questions would come between those that a test has written an answer for.
        "MODELS_DISCOVERY": "off",
        # Nor would a second request go to a failure that it has written once.
        "MODELS_MAX_ATTEMPTS": "1",
        "GENAI_DATA_DIR": directory,
        **settings,
    }
    provide(directory / "models.db", "models")
    provide(directory / "calls.db", "calls")
    provide(directory / "usage.db", "ledger")
    server = Server([], [SERVICE.full_name, USAGE_SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with open_service(settings_type(**variables), log, lambda: today) as service:
        front = servicer(service.servicer)
        server.add(service_handler(front, SERVICE, log, deadlines, callers=callers))
        server.add(service_handler(service.usage, USAGE_SERVICE, log, deadlines, callers=callers))
        server.add(service_handler(service.content, CONTENT_SERVICE, log, deadlines, callers=callers))
        server.add(NoSuchMethod([SERVICE.full_name], log))
        url = "" if http is None else await _attach_http(server, service, log, callers, deadlines, http)
        async with running(server), grpc.aio.insecure_channel(address) as channel:
            stubs = models_pb2_grpc.ModelServiceStub(channel), usage_pb2_grpc.UsageServiceStub(channel)
            yield ModelService(url, address, channel, *stubs)


async def _attach_http(
    server: Server,
    service: Service,
    log: Log,
    callers: Callers,
    deadlines: DefaultDeadlines,
    options: Mapping[str, Any],
) -> str:
    from services.models.http_port.opening import make_port

    defaults: dict[str, Any] = {
        "max_connections": 1000,
        "hosts": (),
        "origins": (),
        "relays": ("127.0.0.1",),
        "exposed": False,
        "deadlines": deadlines,
    }
    defaults |= options
    tls = defaults.pop("tls", None)
    port = make_port(service.chats, service.directory, log, callers, Admission(1000), **defaults)
    server.attach(port)
    bound = await port.bind("127.0.0.1", 0, tls.http_context() if tls else None)
    return f"{'https' if tls else 'http'}://127.0.0.1:{bound}"


NO_KEYS: Mapping[str, None] = dict.fromkeys(vendor.key_variable for vendor in VENDORS.values())
"""The variables of the keys, for settings in which no vendor is configured, whatever the environment has."""


def vendor_variables(url: str) -> Mapping[str, str]:
    """The variables that put every vendor at a server, so that no variable of the environment leads to a real one."""
    variables: dict[str, str] = {}
    for vendor in VENDORS.values():
        variables |= {
            vendor.key_variable: f"sk-test-{vendor.name}",
            vendor.url_variable: url + urlsplit(vendor.base_url).path,
            **dict.fromkeys(vendor.header_variables.values(), ""),
        }
    return variables


# --------------------------------------------------------------------------------------------------- requests


def chat_request(model: str = "gpt-4o", text: str = "Hello!", **fields: Any) -> models_pb2.ChatRequest:
    """A request with one user message."""
    messages = fields.pop("messages", [models_pb2.ChatMessage(role="user", content=text)])
    return models_pb2.ChatRequest(model=model, messages=messages, **fields)


def registration(upstream: ScriptedUpstream, name: str = "mine", **fields: Any) -> models_pb2.RegisterModelRequest:
    """A request to register what `upstream` serves, to be probed at /health."""
    defaults: dict[str, Any] = {
        "endpoint": f"{upstream.url}/v1",
        "adapter_type": "openai-compatible",
        "health_check": "/health",
    }
    return models_pb2.RegisterModelRequest(name=name, **(defaults | fields))


# ---------------------------------------------------------------------------------------- answers of a provider

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def completion(text: str = "Hi.", **message: Any) -> dict[str, Any]:
    """A chat completion as OpenAI answers it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}
        ],
        "usage": USAGE,
    }


def piece(text: str) -> str:
    """An event of a streamed chat completion with a piece of the text."""
    return _completion_chunk([{"index": 0, "delta": {"content": text}, "finish_reason": None}])


END = "".join(
    (
        event(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "gpt-4o-2024-08-06",
                "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            }
        ),
        event({"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "choices": [], "usage": USAGE}),
        event("[DONE]"),
    )
)
"""The events that end a streamed chat completion."""


def streamed_completion(*steps: Step, **options: Any) -> Script:
    """A streamed chat completion of these steps, to its proper end."""
    return event_stream(*steps, END, **options)


def _completion_chunk(choices: list[Any]) -> str:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    return event({**head, "choices": choices})


def anthropic_message(text: str = "Hi.", model: str = "claude-sonnet-4-6") -> dict[str, Any]:
    """A message as Anthropic answers it."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }


def streamed_message(*texts: str, model: str = "claude-sonnet-4-6") -> Script:
    """A message as Anthropic streams it."""
    start = {**anthropic_message(model=model), "content": [], "stop_reason": None}
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}} for t in texts]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    return event_stream(*(event(content, content["type"]) for content in events))


def answered(request: Received) -> Script:
    """What either vendor answers to anything: `Hi.`, from the model that was asked; probes find it healthy."""
    if request.method == "GET":
        return answer(b"{}")
    body = request.json()
    model, streams = body["model"], body.get("stream", False)
    if request.path.endswith("/messages"):
        return streamed_message("Hi.", model=model) if streams else json_answer(anthropic_message(model=model))
    return streamed_completion(piece("Hi.")) if streams else json_answer({**completion(), "model": model})


# ------------------------------------------------------------------------------------------------------ errors


async def refusal_of(service: ModelService, data: bytes) -> Failure:
    """The error that the bytes of a ChatRequest get, sent as they are, by both verbs."""
    chat, chat_stream = (f"/{SERVICE.full_name}/{verb}" for verb in ("Chat", "ChatStream"))
    whole = await failure_of(service.channel.unary_unary(chat)(data, timeout=10))
    _, streamed = await stream_failure(service.channel.unary_stream(chat_stream)(data, timeout=10))
    assert whole._replace(request_id="") == streamed._replace(request_id="")
    return whole
