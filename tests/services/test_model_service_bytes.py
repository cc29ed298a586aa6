"""Bytes that are no request are refused by the field where they go wrong; no bytes make the service fail or hang."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proto import models_pb2
from services.models.main import SERVICE
from tests.scripted_upstream import ScriptedUpstream
from tests.services.model_service import ModelService, chat_request, refusal_of
from tests.support.errors import explain

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = f"/{SERVICE.full_name}/Chat"
CHAT_STREAM = f"/{SERVICE.full_name}/ChatStream"

Message = models_pb2.ChatMessage
Part = models_pb2.ContentPart
Tool = models_pb2.ToolDefinition
Config = models_pb2.ChatConfig
State = models_pb2.ProviderState
Format = models_pb2.ResponseFormat
Choice = models_pb2.ToolChoice
Call = models_pb2.ToolCall
Result = models_pb2.ToolResult


VALID = chat_request().SerializeToString()


def nested(levels: int) -> bytes:
    """A message whose part holds a tool result that holds a part, and so on."""
    data = b""
    for level in reversed(range(levels)):
        data = delimited(2 if level % 2 else 4, data)
    return delimited(2, delimited(5, data))


def delimited(number: int, data: bytes) -> bytes:
    length, rest = b"", len(data)
    while rest > 0x7F:
        length += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + data


BROKEN = {
    "garbage": (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "request"),
    "text": (b"POST / HTTP/1.1\r\n", "session_id"),
    "cut in the middle": (VALID[:-3], "messages[0]"),
    "cut in the first field": (VALID[:4], "model"),
    "model that is no UTF-8": (delimited(1, b"gpt\xff"), "model"),
    "content that is no UTF-8": (VALID + delimited(2, delimited(2, b"\xc3(")), "messages[1].content"),
    "tag that is no UTF-8": (VALID + b"\x82\x01\x05\x12\x03\xed\xa0\x80", "tags[0].value"),
    "field number 0": (VALID + b"\x02\x00", "request"),
    "endless number": (VALID + b"\x70" + b"\xff" * 11, "parameter_policy"),
    "group that does not end": (VALID + b"\xf3\x01", "request"),
}


@pytest.mark.parametrize(("data", "path"), BROKEN.values(), ids=BROKEN.keys())
async def test_bytes_that_are_no_request_are_refused_by_their_first_wrong_field(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, data: bytes, path: str
) -> None:
    failure = await refusal_of(shared_service, data)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert list(failure.fields) == [path]
    assert not shared_upstream.requests


@pytest.mark.parametrize("levels", [150, 10_000])
async def test_message_that_is_nested_too_deeply_is_refused(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, levels: int
) -> None:
    failure = await refusal_of(shared_service, nested(levels))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    [(field, description)] = failure.fields.items()
    assert field.startswith("messages[0].parts[0].tool_result.content[0].tool_result")
    assert description == "is nested more than 100 levels deep"
    assert not shared_upstream.requests


async def test_field_of_a_newer_contract_is_read_over(
    shared_service: ModelService, shared_upstream: ScriptedUpstream
) -> None:
    data = VALID + b"\xfa\x3e\x03new"
    response = await shared_service.channel.unary_unary(CHAT)(data)
    assert models_pb2.ChatResponse.FromString(response).text == "Hi."
    assert len(shared_upstream.requests) == 1


# ------------------------------------------------------------------------------------------------ whatever comes

RICH = models_pb2.ChatRequest(
    model="gpt-4o",
    messages=[
        Message(role="system", content="Be brief."),
        Message(role="user", parts=[Part(text="Weather?")], name="ann"),
        Message(role="assistant", tool_calls=[Call(id="c", name="weather", arguments_json='{"city": "Ulm"}')]),
        Message(role="tool", parts=[Part(tool_result=Result(tool_call_id="c", content=[Part(text="rain")]))]),
    ],
    config=Config(temperature=0.5, max_tokens=10, stop_sequences=["END"], seed=1, parallel_tool_calls=True),
    tools=[Tool(name="weather", description="d", parameters_json='{"type": "object"}', strict=True)],
    response_format=Format(type="json_schema", schema_json='{"type": "object"}', name="answer"),
    tool_choice=Choice(tool_name="weather"),
    parameter_policy=models_pb2.PARAMETER_POLICY_ADAPT,
    provider_options_json={"openai": '{"store": true}'},
    tags={"team": "a"},
    end_user_id="u",
)
STATEFUL = models_pb2.ChatRequest(
    model="claude-sonnet-4-6",
    messages=[
        Message(role="user", content="Weather?"),
        Message(
            role="assistant",
            parts=[Part(provider_state=State(provider="anthropic", model="m", data=b'{"type": "thinking"}'))],
        ),
        Message(role="user", content="And?"),
    ],
    config=Config(top_p=0.5),
)
SEEDS = [RICH.SerializeToString(), STATEFUL.SerializeToString(), VALID]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid request with a few of its bytes changed, left out, put in or said twice."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        end = min(start + draw(st.integers(0, 8)), len(data))
        change = draw(st.sampled_from(["replace", "insert", "remove", "repeat", "cut"]))
        if change == "cut":
            del data[start:]
        elif change == "remove":
            del data[start:end]
        elif change == "repeat":
            data[end:end] = data[start:end]
        else:
            piece_of_noise = draw(st.binary(min_size=1, max_size=8))
            data[start : end if change == "replace" else start] = piece_of_noise
    return bytes(data)


EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}


@given(data=st.one_of(mutated(), mutated(), mutated(), st.binary(max_size=200)), stream=st.booleans())
@settings(
    max_examples=100,
    deadline=5000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_any_bytes_get_an_answer_or_an_error_that_says_why(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, data: bytes, stream: bool
) -> None:
    shared_upstream.requests.clear()
    call = (shared_service.channel.unary_stream(CHAT_STREAM) if stream else shared_service.channel.unary_unary(CHAT))(
        data, timeout=5
    )
    error = await _error_of(call, stream)
    if error:
        assert explain(error).code in EXPECTED
        assert not shared_upstream.requests
    else:
        assert json.loads(shared_upstream.requests[0].body)["messages"]


async def _error_of(call: Any, stream: bool) -> grpc.aio.AioRpcError | None:
    try:
        if stream:
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error
    return None


OTHER_METHODS = [method.name for method in SERVICE.methods if method.name not in ("Chat", "ChatStream")]


@given(method=st.sampled_from(OTHER_METHODS), data=st.binary(max_size=100))
@settings(
    max_examples=100,
    deadline=5000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_any_bytes_get_an_answer_from_every_method(
    shared_service: ModelService, method: str, data: bytes
) -> None:
    call = shared_service.channel.unary_unary(f"/{SERVICE.full_name}/{method}")(data, timeout=5)
    error = await _error_of(call, stream=False)
    if error:
        assert explain(error).code in EXPECTED
