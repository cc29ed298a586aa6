"""A platform with scripted answers, served by the services' own server: what the SDK is tested against."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from proto import models_pb2, sessions_pb2
from services.shared.call import Call
from services.shared.logs import open_log
from services.shared.rpc import service_handler
from services.shared.server import Server, running

MODEL_SERVICE = models_pb2.DESCRIPTOR.services_by_name["ModelService"]
SESSION_SERVICE = sessions_pb2.DESCRIPTOR.services_by_name["SessionService"]

WAIT_SECONDS = 5.0
LOG = open_log("backend", level="error", file=io.BytesIO())


class Received(NamedTuple):
    """One call as it arrived: its deadline in seconds, and its metadata."""

    method: str
    request: Message
    seconds: float | None
    metadata: list[tuple[str, str | bytes]]


class Backend:
    """What the services answer. Without a script every call answers an empty message, and a stream a whole answer."""

    def __init__(self) -> None:
        self.address = ""
        self.forget()

    def forget(self) -> None:
        """Forgets what was scripted and what has come."""
        self.answers: dict[str, Callable[[Any, Call], Awaitable[Message]]] = {}
        self.stream: Callable[[Any, Call], AsyncGenerator[Message]] = whole_stream
        self.received: list[Received] = []
        self.started = threading.Event()
        self.cancelled = threading.Event()

    def raises(self, method: str, error: Exception) -> None:
        """Scripts a call to fail."""

        async def fail(request: Message, call: Call) -> Message:
            raise error

        self.answers[method] = fail

    async def hang(self, request: Message, call: Call) -> Message:
        """A call that never answers, and tells when it was cancelled."""
        async with self.watched():
            await asyncio.Event().wait()
        raise AssertionError("never")

    async def endless_stream(self, request: Message, call: Call) -> AsyncGenerator[Message]:
        """A stream of two chunks that never ends, and tells when it was cancelled."""
        async with self.watched():
            yield models_pb2.ChatChunk(token="one ")
            yield models_pb2.ChatChunk(token="two ", index=1)
            await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        self.started.set()
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            # The latter when the call was cancelled while a chunk was being written.
            self.cancelled.set()
            raise

    def names(self) -> list[str]:
        return [received.method for received in self.received]

    def metadata(self) -> dict[str, str | bytes]:
        """The metadata of the newest call."""
        return dict(self.received[-1].metadata)

    def server(self, port: int = 0) -> Server:
        services = (MODEL_SERVICE, SESSION_SERVICE)
        handlers = [service_handler(_Servicer(self, service), service, LOG) for service in services]
        server = Server(handlers, [MODEL_SERVICE.full_name, SESSION_SERVICE.full_name])
        self.address = f"127.0.0.1:{server.bind('127.0.0.1', port)}"
        return server


class _Servicer:
    """Answers every method of a service from the script."""

    def __init__(self, backend: Backend, service: ServiceDescriptor) -> None:
        self._backend = backend
        for method in service.methods:
            if not method.server_streaming:
                setattr(
                    self, method.name, self._unary(method.name, message_factory.GetMessageClass(method.output_type))
                )

    def _unary(self, name: str, response_type: type[Message]) -> Callable[[Message, Call], Awaitable[Message]]:
        async def answer(request: Message, call: Call) -> Message:
            self._note(name, request, call)
            script = self._backend.answers.get(name)
            return await script(request, call) if script else response_type()

        return answer

    async def ChatStream(self, request: Message, call: Call) -> AsyncIterator[Message]:
        self._note("ChatStream", request, call)
        async with contextlib.aclosing(self._backend.stream(request, call)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _note(self, name: str, request: Message, call: Call) -> None:
        self._backend.received.append(Received(name, request, call.remaining_seconds(), list(call.metadata)))


async def whole_stream(request: Message, call: Call) -> AsyncGenerator[Message]:
    """A stream as it should be: two tokens and a last chunk."""
    yield models_pb2.ChatChunk(token="Hello")
    yield models_pb2.ChatChunk(token=" you", index=1)
    yield last_chunk("Hello you")


def last_chunk(text: str) -> models_pb2.ChatChunk:
    response = models_pb2.ChatResponse(text=text, finish_reason="stop", model="m")
    return models_pb2.ChatChunk(index=2, finish_reason="stop", response=response)


@contextlib.asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[Backend]:
    """A backend in the running event loop."""
    backend = Backend()
    async with running(backend.server(port)):
        yield backend


async def happens(event: threading.Event) -> bool:
    """Waits for something that the backend does, without holding up the event loop."""
    return await asyncio.to_thread(event.wait, WAIT_SECONDS)
