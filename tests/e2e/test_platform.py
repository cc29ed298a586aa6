"""The three processes as the README starts them, with a scripted provider behind them."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from genai_platform import (
    AppendMessagesRequest,
    ChatMessage,
    ChatRequest,
    Conflict,
    CreateSessionRequest,
    GenAIError,
    GenAIPlatform,
    GetPromptRequest,
    GetSessionRequest,
    ListMessagesRequest,
    RegisterModelRequest,
    RegisterPromptRequest,
    Unavailable,
)
from tests.scripted_upstream import Received, Script, ScriptedUpstream, event, event_stream, json_answer
from tests.support.processes import EXIT_CONFIG, Platform, run, running_platform

SERVING = health_pb2.HealthCheckResponse.SERVING

Result = TypeVar("Result")


class Upstream:
    """A scripted provider on a loop of its own, for tests that block."""

    def __init__(self, default: Callable[[Received], Script] | None = None) -> None:
        """`default` is what it answers, `answer` unless another is given."""
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.server = self.do(ScriptedUpstream(default=default or answer).__aenter__())

    @property
    def url(self) -> str:
        return self.server.url

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs a coroutine on the provider's loop and returns its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def gate(self) -> asyncio.Event:
        return self.do(_new_event())

    def close(self) -> None:
        self.do(self.server.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _new_event() -> asyncio.Event:
    return asyncio.Event()


def answer(request: Received) -> Script:
    """`pong`, whole or streamed, as Chat Completions says it."""
    if request.method == "GET":
        return json_answer({"data": [{"id": "gpt-4o"}]})
    if request.json().get("stream"):
        return event_stream(delta("po"), delta("ng"), *ending())
    message = {"role": "assistant", "content": "pong"}
    return json_answer({"choices": [{"message": message, "finish_reason": "stop"}]})


def delta(text: str) -> str:
    return event({"choices": [{"delta": {"content": text}}]})


def ending() -> tuple[str, str]:
    return event({"choices": [{"delta": {}, "finish_reason": "stop"}]}), event("[DONE]")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def module_platform(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Platform]:
    openai = {"OPENAI_API_KEY": "sk-e2e", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
    with running_platform(tmp_path_factory.mktemp("platform"), **openai) as platform:
        yield platform


@pytest.fixture
def platform(module_platform: Platform) -> Platform:
    """All three services as they run, whatever the test before did to them."""
    for name, service in list(module_platform.services.items()):
        if not service.runs:
            module_platform.start(name)
    wait_for_health(module_platform.address, "")
    with GenAIPlatform(module_platform.address) as client:
        # The Model Service finds the Session Service again in its own time.
        first_success(lambda: client.models.chat(turn(new_session(client))), 5)
    return module_platform


def new_session(client: GenAIPlatform) -> str:
    return client.sessions.create_session(CreateSessionRequest()).session_id


@pytest.fixture
def session_id(platform: Platform) -> str:
    """A session in which nothing has been said."""
    with GenAIPlatform(platform.address, max_retries=0) as client:
        return new_session(client)


def turn(session_id: str, text: str = "ping") -> ChatRequest:
    """A chat in the session."""
    return ChatRequest(model="gpt-4o", messages=[ChatMessage(role="user", content=text)], session_id=session_id)


def wait_for_health(address: str, service: str, wanted: int = SERVING) -> None:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        for health in health_pb2_grpc.HealthStub(channel).Watch(request, timeout=20, wait_for_ready=True):
            if health.status == wanted:
                return
    raise AssertionError(f"{service or 'the whole'} at {address} never was {wanted}")


def first_success(call: Callable[[], object], seconds: float) -> float:
    """Calls until a call succeeds, and returns how long that took. Fails when it takes longer than `seconds`."""
    started = time.monotonic()
    while True:
        try:
            call()
            return time.monotonic() - started
        except GenAIError:
            assert time.monotonic() - started < seconds, f"no call succeeded within {seconds:g} s"


def test_a_chat_goes_through_all_three_processes(platform: Platform) -> None:
    with GenAIPlatform(platform.address, max_retries=0) as client:
        assert client.models.chat("ping", model="gpt-4o").text == "pong"
        assert list(client.models.stream_text("ping", model="gpt-4o"))
    assert "providers: openai" in platform.services["models"].line


def test_one_request_has_one_id_in_every_log(platform: Platform) -> None:
    with GenAIPlatform(platform.address, max_retries=0) as client:
        client.models.chat("ping", model="gpt-4o", metadata=[("x-request-id", "followed-through")])
    for name in ("gateway", "models"):
        platform.services[name].send(signal.SIGTERM)
        platform.services[name].wait()
        assert "followed-through" in platform.services[name].log()


def test_every_answered_write_survives_kill(platform: Platform) -> None:
    with GenAIPlatform(platform.address, max_retries=0) as client:
        client.models.register_prompt(RegisterPromptRequest(name="kept", content="Kept."))
        client.models.register_model(
            RegisterModelRequest(name="kept-model", endpoint="http://127.0.0.1:9/v1", adapter_type="vllm")
        )
        session_id = client.sessions.create_session(CreateSessionRequest(user_id="somebody")).session_id
        said = [ChatMessage(role="user", content="Hello")]
        client.sessions.append_messages(AppendMessagesRequest(session_id=session_id, messages=said))
        for name in ("models", "sessions"):
            platform.services[name].kill()
            platform.start(name)
        wait_for_health(platform.address, "")

        assert client.models.get_prompt(GetPromptRequest(name="kept")).content == "Kept."
        assert [model.name for model in client.models.list_registered_models().models] == ["kept-model"]
        assert client.sessions.get_session(GetSessionRequest(session_id=session_id)).next_sequence == 2
        kept = client.sessions.list_messages(ListMessagesRequest(session_id=session_id)).messages
        assert [entry.message for entry in kept] == said


def test_a_dead_backend_is_named_at_once_and_works_again_within_a_second_of_its_return(platform: Platform) -> None:
    with GenAIPlatform(platform.address, max_retries=0) as client:
        client.models.chat("ping", model="gpt-4o")
        platform.services["models"].kill()
        started = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            client.models.chat("ping", model="gpt-4o")
        assert time.monotonic() - started < 1
        # The call may have been sent before the gateway noticed the death.
        assert raised.value.reason in ("BACKEND_UNAVAILABLE", "BACKEND_LOST")
        assert "Model Service" in str(raised.value)
        client.sessions.list_sessions()

        platform.start("models")
        assert first_success(lambda: client.models.chat("ping", model="gpt-4o"), 5) < 1


def test_killing_the_model_service_in_mid_stream_is_no_clean_end(platform: Platform, upstream: Upstream) -> None:
    upstream.server.play(event_stream(delta("po"), upstream.gate(), delta("ng"), *ending()))
    with (
        GenAIPlatform(platform.address, max_retries=0) as client,
        client.models.chat_stream("ping", model="gpt-4o") as stream,
    ):
        assert next(stream).token == "po"
        platform.services["models"].kill()
        with pytest.raises(Unavailable) as raised:
            list(stream)
        assert raised.value.reason == "BACKEND_LOST"


def test_a_stream_in_flight_is_finished_before_the_services_stop(platform: Platform, upstream: Upstream) -> None:
    gate = upstream.gate()
    upstream.server.play(event_stream(delta("po"), gate, delta("ng"), *ending()))
    with (
        GenAIPlatform(platform.address, max_retries=0) as client,
        client.models.chat_stream("ping", model="gpt-4o") as stream,
    ):
        assert next(stream).token == "po"
        for name in ("models", "gateway"):
            platform.services[name].send(signal.SIGTERM)
        upstream.loop.call_soon_threadsafe(gate.set)
        assert "".join(chunk.token for chunk in stream) == "ng"
        assert stream.response is not None
    for name in ("models", "gateway"):
        assert platform.services[name].wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_services_stop_with_exit_code_0_and_no_traceback(platform: Platform, number: signal.Signals) -> None:
    for service in platform.services.values():
        service.send(number)
    for service in platform.services.values():
        assert service.wait() == 0
        assert "Traceback" not in service.log()


def test_a_port_in_use_is_one_line_and_exit_code_78(platform: Platform, tmp_path: Path) -> None:
    for name, service in platform.services.items():
        second = run(name, tmp_path, **{f"{name.upper()}_PORT": service.port})
        assert (second.code, second.output) == (EXIT_CONFIG, "")
        [line] = second.log.splitlines()
        assert service.port in line


def test_reflection_lists_both_services_through_the_gateway(platform: Platform) -> None:
    with grpc.insecure_channel(platform.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = next(iter(stub.ServerReflectionInfo(iter([request]), timeout=10)))
    names = {service.name for service in answer.list_services_response.service}
    assert {"genai_platform.v1.ModelService", "genai_platform.v1.SessionService", "grpc.health.v1.Health"} <= names


def said_in(client: GenAIPlatform, session_id: str) -> list[str]:
    listed = client.sessions.list_messages(ListMessagesRequest(session_id=session_id))
    return [entry.message.content for entry in listed.messages]


def test_without_the_session_service_chats_go_on_and_conversations_do_when_it_is_back(
    platform: Platform, session_id: str
) -> None:
    with GenAIPlatform(platform.address, max_retries=0) as client:
        client.models.chat(turn(session_id))
        platform.services["sessions"].kill()
        assert client.models.chat("ping", model="gpt-4o").text == "pong"
        started = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            client.models.chat(turn(session_id))
        assert time.monotonic() - started < 1
        assert raised.value.reason == "SESSIONS_UNAVAILABLE"

        platform.start("sessions")
        assert first_success(lambda: client.models.chat(turn(session_id)), 5) < 1.5
        assert said_in(client, session_id) == ["ping", "pong"] * 2


def test_an_answer_whose_session_was_lost_meanwhile_is_given_with_a_warning(
    platform: Platform, upstream: Upstream, session_id: str
) -> None:
    gate = upstream.gate()
    upstream.server.play(event_stream(delta("po"), gate, delta("ng"), *ending()))
    with (
        GenAIPlatform(platform.address, max_retries=0) as client,
        client.models.chat_stream(turn(session_id)) as stream,
    ):
        assert next(stream).token == "po"
        platform.services["sessions"].kill()
        upstream.loop.call_soon_threadsafe(gate.set)
        assert "".join(chunk.token for chunk in stream) == "ng"
        assert stream.response is not None
        assert "SESSION_APPEND_FAILED" in [notice.code for notice in stream.response.warnings]


def test_a_turn_of_a_killed_model_service_leaves_nothing_but_its_lease(
    platform: Platform, upstream: Upstream, session_id: str
) -> None:
    upstream.server.play(event_stream(delta("po"), upstream.gate(), delta("ng"), *ending()))
    with GenAIPlatform(platform.address, max_retries=0) as client:
        with client.models.chat_stream(turn(session_id, "lost")) as stream:
            next(stream)
            platform.services["models"].kill()
            with pytest.raises(Unavailable):
                list(stream)
        platform.start("models")
        first_success(lambda: client.models.chat("ping", model="gpt-4o"), 5)
        with pytest.raises(Conflict) as raised:
            client.models.chat(turn(session_id))
        assert raised.value.reason == "SESSION_BUSY"
        assert said_in(client, session_id) == []
