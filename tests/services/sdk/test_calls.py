"""Calls of both clients against a real server: requests, deadlines, metadata and errors."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory

import genai_platform
from genai_platform import (
    AsyncGenAIPlatform,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    CreateSessionRequest,
    FieldViolation,
    GenAIError,
    GenAIPlatform,
    GetModelStatusRequest,
    GetPromptRequest,
    GetSessionRequest,
    PreviewChatRequest,
    PromptRef,
    PutMemoryRequest,
    RegisterModelRequest,
    RenderPromptRequest,
)
from genai_platform.calls import CallRules
from genai_platform.target import find_target
from services.shared import errors
from tests.services.sdk.backend import MODEL_SERVICE, SESSION_SERVICE, Backend, happens, serving

HELLO = ChatRequest(model="m", messages=[ChatMessage(role="user", content="Hello!")])

UNARY = [
    (client, method)
    for client, service in (("models", MODEL_SERVICE), ("sessions", SESSION_SERVICE))
    for method in service.methods
    if not method.server_streaming
]

ERRORS = [
    (errors.InvalidRequest, genai_platform.InvalidRequest),
    (errors.NotFound, genai_platform.NotFound),
    (errors.AlreadyExists, genai_platform.AlreadyExists),
    (errors.Conflict, genai_platform.Conflict),
    (errors.PreconditionFailed, genai_platform.FailedPrecondition),
    (errors.LimitExceeded, genai_platform.RateLimited),
    (errors.DeadlineExceeded, genai_platform.Timeout),
    (errors.Unimplemented, genai_platform.Unimplemented),
    (errors.DataLoss, genai_platform.ServerError),
    (errors.Internal, genai_platform.ServerError),
    (errors.Unavailable, genai_platform.Unavailable),
]


async def call(platform: GenAIPlatform | AsyncGenAIPlatform, client: str, method: str, *args: Any, **kw: Any) -> Any:
    """One call by either client."""
    answer = getattr(getattr(platform, client), method)(*args, **kw)
    return await answer if inspect.isawaitable(answer) else answer


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


async def test_every_unary_rpc_takes_its_request_and_returns_its_response(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    for client, method in UNARY:
        for either in (platform, async_platform):
            backend.received.clear()
            request = message_factory.GetMessageClass(method.input_type)()
            response = await call(either, client, snake_case(method.name), request)
            assert response.DESCRIPTOR.full_name == method.output_type.full_name
            assert backend.names() == [method.name]


def test_request_and_response_pass_untouched(backend: Backend, platform: GenAIPlatform) -> None:
    answer = ChatResponse(text="Hi.", model="m", finish_reason="stop")

    async def chat(request: ChatRequest, _: object) -> ChatResponse:
        return answer

    backend.answers["Chat"] = chat
    assert platform.models.chat(HELLO) == answer
    assert backend.received[0].request == HELLO


async def test_a_chat_is_asked_for_in_words(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    platform.models.chat("Hello!", model="m")
    await async_platform.models.chat([{"role": "user", "content": "Hello!"}], model="m")
    assert [received.request for received in backend.received] == [HELLO, HELLO]


async def test_fields_are_keywords_and_the_first_goes_by_position_too(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    for either in (platform, async_platform):
        backend.received.clear()
        await call(either, "models", "get_model_status", "m", timeout=7, metadata={"a": "b"})
        assert (backend.received[0].seconds, backend.metadata()["a"]) == (pytest.approx(7, abs=2), "b")
        await call(either, "models", "register_model", name="m", endpoint="http://a", adapter_type="vllm")
        await call(either, "models", "render_prompt", "p")
        await call(either, "models", "preview_chat", "Hello!", model="m", stream=True)
        await call(either, "sessions", "put_memory", "u", key="k", value="v")
        await call(either, "sessions", "create_session", user_id="u", metadata={"a": "b"})
        assert [received.request for received in backend.received] == [
            GetModelStatusRequest(name="m"),
            RegisterModelRequest(name="m", endpoint="http://a", adapter_type="vllm"),
            RenderPromptRequest(prompt=PromptRef(name="p")),
            PreviewChatRequest(request=HELLO, stream=True),
            PutMemoryRequest(user_id="u", key="k", value_json='"v"'),
            CreateSessionRequest(user_id="u", metadata={"a": "b"}),
        ]


def test_an_empty_request_may_be_left_out(backend: Backend, platform: GenAIPlatform) -> None:
    platform.models.list_models()
    platform.models.list_prompts()
    platform.models.list_registered_models()
    platform.sessions.list_sessions()
    platform.sessions.create_session()
    assert len(backend.received) == 5


def test_a_request_of_another_type_is_a_type_error(platform: GenAIPlatform) -> None:
    with pytest.raises(TypeError, match=r"must be a GetPromptRequest, or .* not a GetSessionRequest"):
        platform.models.get_prompt(GetSessionRequest())  # type: ignore[arg-type]


def test_every_call_has_a_deadline(backend: Backend, platform: GenAIPlatform) -> None:
    platform.models.chat(HELLO)
    list(platform.models.chat_stream(HELLO))
    platform.models.list_models()
    platform.sessions.list_sessions(timeout=7)
    seconds = [received.seconds for received in backend.received]
    assert seconds == [pytest.approx(expected, abs=2) for expected in (600, 600, 30, 7)]


def test_the_timeout_of_the_client_holds_for_every_call(backend: Backend) -> None:
    with GenAIPlatform(backend.address, timeout=50) as platform:
        platform.models.chat(HELLO)
        platform.models.list_models()
        platform.models.list_models(timeout=9)
    seconds = [received.seconds for received in backend.received]
    assert seconds == [pytest.approx(expected, abs=2) for expected in (50, 50, 9)]


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
async def test_a_timeout_that_means_no_deadline_is_a_value_error(
    timeout: float, backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    with pytest.raises(ValueError, match="seconds above 0"):
        platform.models.chat_stream(HELLO, timeout=timeout)
    with pytest.raises(ValueError, match="seconds above 0"):
        await async_platform.models.list_models(timeout=timeout)
    with pytest.raises(ValueError, match="seconds above 0"):
        GenAIPlatform(timeout=timeout)
    assert not backend.received


async def test_a_call_that_takes_too_long_is_a_timeout_on_both_sides(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    backend.answers["Chat"] = backend.hang
    for either in (platform, async_platform):
        backend.cancelled.clear()
        with pytest.raises(genai_platform.Timeout, match=r"within 0\.3 s, the timeout of this call; allow") as caught:
            await call(either, "models", "chat", HELLO, timeout=0.3)
        assert caught.value.request_id == backend.metadata()["x-request-id"]
        assert await happens(backend.cancelled)


async def test_timeout_says_whose_it_was(backend: Backend) -> None:
    backend.answers["Chat"] = backend.hang
    with (
        GenAIPlatform(backend.address, timeout=0.2) as platform,
        pytest.raises(genai_platform.Timeout, match=r"no answer within 0\.2 s, the timeout of this client; allow"),
    ):
        platform.models.chat(HELLO)
    rules = CallRules(find_target(backend.address), None, None)
    call = rules.prepare(MODEL_SERVICE, "Chat", HELLO, None, None)
    assert call.limit == "600 s, the SDK's limit for calls without a timeout"


def test_metadata_of_the_client_and_of_the_call_arrive(backend: Backend) -> None:
    with GenAIPlatform(backend.address, metadata={"X-Team": "a", "x-both": "client"}) as platform:
        platform.models.list_models(metadata=[("x-both", "call"), ("x-raw-bin", b"\x00\xff")])
    assert {"x-team": "a", "x-both": "call", "x-raw-bin": b"\x00\xff"}.items() <= backend.metadata().items()
    assert [key for key, _ in backend.received[0].metadata].count("x-both") == 1


def test_every_call_has_a_request_id_of_its_own(backend: Backend, platform: GenAIPlatform) -> None:
    platform.models.list_models()
    platform.models.list_models()
    platform.models.list_models(metadata={"x-request-id": "mine"})
    ids = [dict(received.metadata)["x-request-id"] for received in backend.received]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"x team": "a"}, "'x team' may only have"),
        ({"x-team": "ä"}, "'x-team' must be printable ASCII"),
        ({"x-team": "a\nb"}, "'x-team' must be printable ASCII"),
        ({"x-team": b"a"}, "'x-team' must be printable ASCII"),
        ({"x-team-bin": "a"}, "'x-team-bin' must be bytes"),
    ],
)
def test_metadata_that_cannot_be_sent_is_a_value_error(
    metadata: dict[str, str | bytes], text: str, platform: GenAIPlatform
) -> None:
    with pytest.raises(ValueError, match=text):
        platform.models.list_models(metadata=metadata)


def test_a_secret_in_metadata_is_not_repeated(platform: GenAIPlatform) -> None:
    with pytest.raises(ValueError, match="authorization") as caught:
        platform.models.list_models(metadata={"authorization": "Bearer hunter2\n"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("raised", "expected"), ERRORS, ids=lambda value: value.__name__)
async def test_both_clients_raise_the_same_class_for_an_error_of_the_services(
    raised: type[errors.PlatformError],
    expected: type[GenAIError],
    backend: Backend,
    platform: GenAIPlatform,
    async_platform: AsyncGenAIPlatform,
) -> None:
    backend.raises("Chat", raised("do this next", reason="SOME_REASON"))
    for either in (platform, async_platform):
        with pytest.raises(grpc.RpcError) as caught:
            await call(either, "models", "chat", HELLO)
        error = caught.value
        assert type(error) is expected
        assert error.reason == "SOME_REASON"
        assert error.details() == "do this next"
        assert error.request_id == backend.metadata()["x-request-id"]
        assert str(error) == f"do this next [SOME_REASON, request {error.request_id}]"


async def test_an_error_carries_all_that_the_server_said(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    violation = errors.FieldViolation("messages[0].role", "is not a role")
    error = errors.InvalidRequest(
        "wrong", reason="BAD_ROLE", retry_after=1.5, metadata={"provider": "openai"}, violations=[violation]
    )
    backend.raises("Chat", error)
    for either in (platform, async_platform):
        with pytest.raises(genai_platform.InvalidRequest) as caught:
            await call(either, "models", "chat", HELLO, metadata={"x-request-id": "abc"})
        raised = caught.value
        assert raised.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (raised.reason, raised.retry_after, raised.metadata) == ("BAD_ROLE", 1.5, {"provider": "openai"})
        assert raised.violations == (FieldViolation("messages[0].role", "is not a role"),)
        assert raised.request_id == "abc"
        assert "grpc-status-details-bin" in dict(raised.trailing_metadata())
        assert raised.initial_metadata() == ()
        assert isinstance(raised.__context__, grpc.RpcError)
        assert raised.__suppress_context__


def test_an_error_without_our_details_is_told_by_its_code(backend: Backend) -> None:
    """What a proxy on the way answers, or a server of another kind."""
    channel = grpc.insecure_channel(backend.address)
    elsewhere = grpc.intercept_channel(channel, _CallsAnotherMethod())
    with pytest.raises(genai_platform.Unimplemented, match=r"\[UNIMPLEMENTED, request"), channel:
        GenAIPlatform(channel=elsewhere).models.list_models()


class _CallsAnotherMethod(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details._replace(method="/genai_platform.v1.ModelService/Nothing"), request)


def test_a_request_above_the_limit_is_refused_before_it_is_sent(backend: Backend, platform: GenAIPlatform) -> None:
    with pytest.raises(genai_platform.InvalidRequest) as caught:
        platform.models.chat("x" * (33 * 1024 * 1024), model="m")
    assert caught.value.reason == "REQUEST_TOO_LARGE"
    assert not backend.received


def test_messages_of_many_mebibytes_pass_both_ways(backend: Backend, platform: GenAIPlatform) -> None:
    async def chat(request: ChatRequest, _: object) -> ChatResponse:
        return ChatResponse(text=request.messages[0].content)

    backend.answers["Chat"] = chat
    assert len(platform.models.chat("x" * 20_000_000).text) == 20_000_000


async def test_cancelling_the_task_cancels_the_call(backend: Backend, async_platform: AsyncGenAIPlatform) -> None:
    backend.answers["Chat"] = backend.hang
    task = asyncio.create_task(async_platform.models.chat(HELLO))
    assert await happens(backend.started)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await happens(backend.cancelled)


async def test_closing_the_client_during_a_call_is_an_error_and_no_cancellation_of_the_task() -> None:
    async with serving() as backend:
        backend.answers["Chat"] = backend.hang
        platform = AsyncGenAIPlatform(backend.address)
        task = asyncio.create_task(platform.models.chat(HELLO))
        assert await happens(backend.started)
        await platform.close()
        with pytest.raises(genai_platform.Cancelled, match="closed during the call"):
            await task
        assert await happens(backend.cancelled)


def test_unknown_prompt_reads_well_in_a_traceback(backend: Backend, platform: GenAIPlatform) -> None:
    import traceback

    backend.raises("GetPrompt", errors.NotFound("no prompt is called 'x'", reason="PROMPT_NOT_FOUND"))
    with pytest.raises(genai_platform.NotFound) as caught:
        platform.models.get_prompt(GetPromptRequest(name="x"))
    text = "".join(traceback.format_exception(caught.value))
    assert "genai_platform.errors.NotFound: no prompt is called 'x' [PROMPT_NOT_FOUND, request " in text
    assert "_InactiveRpcError" not in text
