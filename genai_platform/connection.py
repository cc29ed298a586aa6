"""The connection of a client: one channel, opened by the first call, and the two ways to call over it."""

from __future__ import annotations

import asyncio
import operator
import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from genai_platform.calls import Call, CallRules, Metadata
from genai_platform.channel import MODEL_SERVICE, open_async_channel, open_channel
from genai_platform.errors import Cancelled
from genai_platform.streams import AsyncChatStream, ChatStream, task_is_cancelled
from genai_platform.target import Target, find_target
from proto.models_pb2 import ChatChunk, ChatRequest

Response = TypeVar("Response", bound=Message)
Channel = TypeVar("Channel")

_serialize = operator.methodcaller("SerializeToString")


class _Opened(Generic[Channel]):
    """A channel, and what may use it: one process and, when it is an async one, one event loop."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.channel: Any = channel
        self.loop = loop
        self.process_id = os.getpid()
        self._callables: dict[str, Callable[..., Any]] = {}

    def unary(self, call: Call, response_type: type[Message]) -> Callable[..., Any]:
        if call.path not in self._callables:
            self._callables[call.path] = self.channel.unary_unary(call.path, _serialize, response_type.FromString)
        return self._callables[call.path]

    def stream(self, call: Call, response_type: type[Message]) -> Callable[..., Any]:
        if call.path not in self._callables:
            self._callables[call.path] = self.channel.unary_stream(call.path, _serialize, response_type.FromString)
        return self._callables[call.path]


class _Base(Generic[Channel]):
    """What both connections have: where to, the rules of calls, and being closed for good."""

    def __init__(
        self, target: str | None, timeout: float | None, metadata: Metadata | None, channel: Channel | None
    ) -> None:
        if target is not None and channel is not None:
            raise TypeError("give a target or a channel, not both")
        self.target = find_target(target) if channel is None else Target("the given channel", False)
        self._rules = CallRules(self.target.address, timeout, metadata)
        self._given = channel
        self._opened: _Opened[Channel] | None = None
        self._inherited: list[_Opened[Channel]] = []
        self._closed = False

    def _current(self) -> _Opened[Channel] | None:
        """The open channel of this process. One that came through a fork is kept and never touched again: closing it
        would end the parent's connection, with which it shares the socket."""
        if self._closed:
            raise RuntimeError("this client is closed; make a new one")
        opened = self._opened
        if opened is not None and opened.process_id != os.getpid() and self._given is None:
            self._inherited.append(opened)
            self._opened = opened = None
        return opened

    def _take_to_close(self) -> Channel | None:
        """What `close` must close: nothing the second time, nothing that was given, nothing of another process."""
        self._closed = True
        opened, self._opened = self._opened, None
        if opened is None or self._given is not None:
            return None
        if opened.process_id != os.getpid():
            self._inherited.append(opened)
            return None
        channel: Channel = opened.channel
        return channel


class Connection(_Base[grpc.Channel]):
    """Calls that block. Safe to use from many threads."""

    def __init__(
        self, target: str | None, timeout: float | None, metadata: Metadata | None, channel: grpc.Channel | None
    ) -> None:
        super().__init__(target, timeout, metadata, channel)
        self._opening = threading.Lock()

    def unary(
        self,
        service: ServiceDescriptor,
        name: str,
        request: Message,
        response_type: type[Response],
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> Response:
        call = self._rules.prepare(service, name, request, timeout, metadata)
        invoke = self._open().unary(call, response_type)
        try:
            response: Response = invoke(request, timeout=call.seconds, metadata=call.metadata)
        except grpc.RpcError as error:
            raise call.translate(error) from None
        return response

    def stream_chat(self, request: ChatRequest, timeout: float | None, metadata: Metadata | None) -> ChatStream:
        call = self._rules.prepare(MODEL_SERVICE, "ChatStream", request, timeout, metadata)
        invoke = self._open().stream(call, ChatChunk)
        return ChatStream(invoke(request, timeout=call.seconds, metadata=call.metadata), call)

    def close(self) -> None:
        with self._opening:
            channel = self._take_to_close()
        if channel is not None:
            channel.close()

    def _open(self) -> _Opened[grpc.Channel]:
        opened = self._opened
        if opened is not None and opened.process_id == os.getpid():
            return opened
        with self._opening:
            self._opened = self._current() or _Opened(self._given or open_channel(self.target))
            return self._opened


class AsyncConnection(_Base[grpc.aio.Channel]):
    """Calls that are awaited, all in one event loop."""

    async def unary(
        self,
        service: ServiceDescriptor,
        name: str,
        request: Message,
        response_type: type[Response],
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> Response:
        call = self._rules.prepare(service, name, request, timeout, metadata)
        invoke = self._open().unary(call, response_type)
        try:
            response: Response = await invoke(request, timeout=call.seconds, metadata=call.metadata)
        except grpc.RpcError as error:
            raise call.translate(error) from None
        except asyncio.CancelledError:
            if task_is_cancelled():
                raise
            raise Cancelled("the client was closed during the call", request_id=call.request_id) from None
        return response

    def stream_chat(self, request: ChatRequest, timeout: float | None, metadata: Metadata | None) -> AsyncChatStream:
        call = self._rules.prepare(MODEL_SERVICE, "ChatStream", request, timeout, metadata)
        invoke = self._open().stream(call, ChatChunk)
        return AsyncChatStream(invoke(request, timeout=call.seconds, metadata=call.metadata), call)

    async def close(self) -> None:
        channel = self._take_to_close()
        if channel is not None:
            await channel.close()

    def _open(self) -> _Opened[grpc.aio.Channel]:
        loop = asyncio.get_running_loop()
        opened = self._current()
        if opened is None:
            self._opened = opened = _Opened(self._given or open_async_channel(self.target), loop)
        if opened.loop is not loop:
            raise RuntimeError("this AsyncGenAIPlatform was first used in another event loop; make one for each loop")
        return opened
