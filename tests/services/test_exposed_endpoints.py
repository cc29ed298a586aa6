"""What strangers may have the Model Service connect to, and what they learn of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from tests.scripted_upstream import ScriptedUpstream, answer, no_answer
from tests.services.gateway.gateways import refusing_address
from tests.services.model_service import (
    STRANGER,
    ModelService,
    answered,
    chat_request,
    model_service,
    registration,
)
from tests.support.errors import Failure, failure_of, stream_failure

NOT_ALLOWED = (grpc.StatusCode.FAILED_PRECONDITION, "ENDPOINT_NOT_ALLOWED")


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered) as server:
        yield server


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Knows this machine and the name of a metadata service, and asks nobody."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **options: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return real("169.254.169.254" if host.endswith(".internal") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def status_of(service: ModelService, name: str = "mine") -> Any:
    return service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name=name))


PRIVATE = [
    "http://127.0.0.1:{port}/v1",
    "http://127.0.0.2:{port}/v1",
    "http://localhost:{port}/v1",
    "http://LOCALHOST.:{port}/v1",
    "http://[::1]:{port}/v1",
    "http://[::ffff:127.0.0.1]:{port}/v1",
    "http://[::ffff:7f00:1]:{port}/v1",
    "http://[64:ff9b::127.0.0.1]:{port}/v1",
    "http://10.0.0.1/v1",
    "http://192.168.1.1/v1",
    "http://169.254.169.254/latest",
    "http://metadata.google.internal/v1",
    "http://0.0.0.0:{port}/v1",
    "http://no-such-host.invalid/v1",
]


@pytest.mark.usefixtures("resolver")
@pytest.mark.parametrize("validate_only", [True, False])
async def test_private_addresses_are_refused_to_strangers_in_the_same_words_as_names_that_lead_nowhere(
    tmp_path: Path, upstream: ScriptedUpstream, validate_only: bool
) -> None:
    """The servers to which the operator has redirected the vendors are no exception: `upstream` is one."""
    told: set[str] = set()
    async with model_service(tmp_path, upstream) as service:
        for url in PRIVATE:
            endpoint = url.format(port=upstream.port)
            request = registration(upstream, endpoint=endpoint, validate_only=validate_only)
            failure = await failure_of(service.stub.RegisterModel(request, metadata=STRANGER))
            assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ENDPOINT_NOT_ALLOWED"), url
            assert list(failure.fields) == ["endpoint"]
            told.add(failure.message)
    assert len(told) == 1
    assert "MODELS_ALLOWED_ENDPOINTS" in told.pop()
    assert not upstream.requests


@pytest.mark.parametrize("exposed", [{"GENAI_EXPOSED": "yes"}, {"GENAI_HOST": "0.0.0.0"}])
async def test_exposed_service_takes_every_caller_for_a_stranger(
    tmp_path: Path, upstream: ScriptedUpstream, exposed: dict[str, Any]
) -> None:
    async with model_service(tmp_path, upstream, **exposed) as service:
        failure = await failure_of(service.stub.RegisterModel(registration(upstream)))
    assert failure.reason == "ENDPOINT_NOT_ALLOWED"


async def test_what_the_operator_lists_is_open_to_strangers(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream, MODELS_ALLOWED_ENDPOINTS="10.0.0.0/8,127.0.0.1") as service:
        registered = await service.stub.RegisterModel(registration(upstream), metadata=STRANGER)
        assert (registered.model.status, registered.model.untrusted) == ("healthy", True)
        response = await service.stub.Chat(chat_request("mine"), metadata=STRANGER)
        assert (response.text, response.registered_model) == ("Hi.", "mine")


async def test_what_the_operator_registers_on_this_machine_serves_strangers_too(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async with model_service(tmp_path, upstream) as service:
        registered = await service.stub.RegisterModel(registration(upstream))
        assert (registered.model.status, registered.model.untrusted) == ("healthy", False)
        assert (await service.stub.Chat(chat_request("mine"), metadata=STRANGER)).text == "Hi."


async def test_strangers_registration_is_held_to_the_rules_at_every_use_whoever_calls(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Over no connection either that the operator's own registration has left open."""
    async with model_service(tmp_path, upstream, MODELS_ALLOWED_ENDPOINTS="private") as service:
        await service.stub.RegisterModel(registration(upstream, "theirs", aliases=["also-theirs"]), metadata=STRANGER)
    async with model_service(tmp_path, upstream) as service:
        await service.stub.RegisterModel(registration(upstream, "ours"))
        await service.stub.Chat(chat_request("ours"))
        before = len(upstream.requests)
        for name in ("theirs", "also-theirs"):
            for metadata in ((), STRANGER):
                failure = await failure_of(service.stub.Chat(chat_request(name), metadata=metadata))
                assert (failure.code, failure.reason) == NOT_ALLOWED
                _, failure = await stream_failure(service.stub.ChatStream(chat_request(name), metadata=metadata))
                assert (failure.code, failure.reason) == NOT_ALLOWED
            assert ((await status_of(service, name)).reason) == "ENDPOINT_NOT_ALLOWED"
        assert len(upstream.requests) == before
        await service.stub.Chat(chat_request("ours"))
        listed = (await service.stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest())).models
    assert [(model.name, model.untrusted) for model in listed] == [("ours", False), ("theirs", True)]


async def test_operator_who_repeats_a_strangers_registration_makes_it_the_operators(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async with model_service(tmp_path, upstream, MODELS_ALLOWED_ENDPOINTS="private") as service:
        request = registration(upstream)
        assert (await service.stub.RegisterModel(request, metadata=STRANGER)).created
        assert not (await service.stub.RegisterModel(request, metadata=STRANGER)).created
        adopted = await service.stub.RegisterModel(request)
        assert (adopted.created, adopted.model.untrusted) == (True, False)
        repeated = await service.stub.RegisterModel(request, metadata=STRANGER)
        assert (repeated.created, repeated.model.untrusted) == (False, False)
    async with model_service(tmp_path, upstream) as service:
        assert (await service.stub.Chat(chat_request("mine"))).text == "Hi."


# ------------------------------------------------------------------------------------------- what strangers learn


@contextlib.asynccontextmanager
async def speaking_first(said: bytes) -> AsyncIterator[str]:
    """The host and port of a server that says this to whoever connects, and leaves."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        await reader.read(65536)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_strangers_are_not_told_why_nothing_answers(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """By what they are told nobody finds out which ports of a network are open."""
    upstream.default = no_answer()
    async with (
        model_service(tmp_path, MODELS_ALLOWED_ENDPOINTS="private") as service,
        speaking_first(b"220 mail.internal ESMTP\r\n") as mail,
    ):

        async def told(endpoint: str, caller: Any) -> tuple[str, str, str]:
            request = registration(upstream, endpoint=endpoint, validate_only=True)
            response = await service.stub.RegisterModel(request, metadata=caller)
            notice = response.warnings[0]
            return response.model.status, notice.code, notice.message

        with refusing_address() as closed:
            endpoints = [f"http://{closed}", f"http://{mail}", f"https://{mail}", upstream.url]
            questions = (told(endpoint, caller) for caller in ((), STRANGER) for endpoint in endpoints)
            answers = await asyncio.gather(*questions)
    operators, strangers = answers[: len(endpoints)], answers[len(endpoints) :]
    assert [code for _, code, _ in operators] == ["CONNECT_FAILED", "BAD_RESPONSE", "TLS_FAILED", "TIMEOUT"]
    assert len(set(strangers)) == 1
    assert strangers[0][:2] == ("unhealthy", "CONNECT_FAILED")


async def test_server_that_answers_strangers_is_told_of_as_ever(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream, MODELS_ALLOWED_ENDPOINTS="private") as service:
        for script, code in ((answer(b"", status=401), "AUTH_FAILED"), (answer(b"", status=500), "HTTP_STATUS")):
            upstream.play(script)
            response = await service.stub.RegisterModel(registration(upstream, validate_only=True), metadata=STRANGER)
            assert [notice.code for notice in response.warnings] == [code]


async def test_chats_tell_strangers_no_more_than_that_there_is_no_connection(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    failures: list[Failure] = []
    async with (
        model_service(tmp_path, MODELS_ALLOWED_ENDPOINTS="private") as service,
        speaking_first(b"220 mail.internal ESMTP\r\n") as mail,
    ):
        with refusing_address() as closed:
            for name, endpoint in (("closed", f"http://{closed}"), ("open", f"https://{mail}")):
                request = registration(upstream, name, endpoint=endpoint)
                await service.stub.RegisterModel(request, metadata=STRANGER)
                failures.append(await failure_of(service.stub.Chat(chat_request(name))))
    assert {failure.reason for failure in failures} == {"UPSTREAM_UNREACHABLE"}
    assert failures[0].message == failures[1].message
