"""Connections to the gateway: one channel for each client, opened by its first call.

Written by hand for both clients: threads and forks concern the blocking one, event loops and cancellation the other.
"""

from __future__ import annotations

import asyncio
import functools
import operator
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from genai_platform.api_key import check_source, check_transport, find_api_key
from genai_platform.calls import CallOptions, CallRules, Metadata, PreparedCall
from genai_platform.channel import MODEL_SERVICE, open_async_channel, open_channel
from genai_platform.errors import Cancelled
from genai_platform.retries import MAX_RETRIES
from genai_platform.streams import AsyncChatStream, ChatStream, task_is_cancelled
from genai_platform.target import GatewayTarget, find_target
from genai_platform.tls import FollowedCredentials, TlsFiles
from genai_platform.v1.models_pb2 import ChatChunk, ChatRequest, ChatResponse

Response = TypeVar("Response", bound=Message)
Channel = TypeVar("Channel")

RETIRED_SECONDS = 24 * 3600.0
"""Time for which the calls of a channel may run that was replaced because the files of TLS have changed."""

_serialize = operator.methodcaller("SerializeToString")


class _OpenChannel(Generic[Channel]):
    """An open channel, with the process and, for the asynchronous client, the event loop that it belongs to."""

    def __init__(
        self,
        channel: Channel,
        credentials: grpc.ChannelCredentials | None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.channel: Any = channel
        self.credentials = credentials
        self.loop = loop
        self.calls: list[None] = []
        """An entry for each call of the blocking client that runs; lists are changed by threads at once."""
        self.process_id = os.getpid()
        self._callables: dict[str, Callable[..., Any]] = {}

    def unary(self, call: PreparedCall, response_type: type[Message]) -> Any:
        if call.path not in self._callables:
            self._callables[call.path] = self.channel.unary_unary(call.path, _serialize, response_type.FromString)
        return self._callables[call.path]

    def stream(self, call: PreparedCall, response_type: type[Message]) -> Callable[..., Any]:
        if call.path not in self._callables:
            self._callables[call.path] = self.channel.unary_stream(call.path, _serialize, response_type.FromString)
        return self._callables[call.path]


class _ConnectionBase(Generic[Channel]):
    """The common part of both connections: target, rules of calls, and the channel's life."""

    def __init__(
        self,
        target: str | None,
        timeout: float | None,
        metadata: Metadata | None,
        channel: Channel | None,
        files: TlsFiles,
        api_key: str | None = None,
        max_retries: int = MAX_RETRIES,
        wait_for_ready: bool = False,
    ) -> None:
        if channel is not None and (target is not None or files.given()):
            raise TypeError(f"give a {files.given()[0] if target is None else 'target'} or a channel, not both")
        self.target = find_target(target) if channel is None else GatewayTarget("the given channel", False)
        key = find_api_key(api_key)
        if channel is None:
            check_transport(key, self.target)
        if channel is None and target is None:
            check_source(api_key, key, self.target)
        self._rules = CallRules(self.target, timeout, metadata, key, max_retries)
        self._wait_for_ready = wait_for_ready
        self._tls = FollowedCredentials(files) if self.target.secure else None
        if files.given() and not self.target.secure:
            raise ValueError(f"{files.given()[0]} needs a target in TLS: write https:// before {self.target.address}")
        self._given = channel
        self._opened: _OpenChannel[Channel] | None = None
        self._inherited: list[_OpenChannel[Channel]] = []
        self._closed = False

    def _current(self) -> _OpenChannel[Channel] | None:
        """The open channel of this process.

        A channel inherited through a fork is kept and never used or closed: it shares its socket with the parent's
        connection, which closing it would end.
        """
        if self._closed:
            raise RuntimeError("this client is closed; make a new one")
        opened = self._opened
        if opened is not None and opened.process_id != os.getpid() and self._given is None:
            self._inherited.append(opened)
            self._opened = opened = None
        return opened

    def _credentials(self) -> grpc.ChannelCredentials | None:
        return self._tls.refresh() if self._tls else None

    def _options(self, call: PreparedCall) -> dict[str, Any]:
        """The options of one attempt."""
        return {
            "timeout": call.attempts.remaining_seconds(),
            "metadata": call.metadata,
            "wait_for_ready": self._wait_for_ready,
        }

    def _take_channel(self) -> Channel | None:
        """The channel to close; None if there is none, if it was given, or if it belongs to the parent process."""
        self._closed = True
        opened, self._opened = self._opened, None
        if opened is None or self._given is not None:
            return None
        if opened.process_id != os.getpid():
            self._inherited.append(opened)
            return None
        channel: Channel = opened.channel
        return channel


class GatewayConnection(_ConnectionBase[grpc.Channel]):
    """The connection of the blocking client. Safe to use from many threads."""

    def __init__(
        self,
        target: str | None,
        timeout: float | None,
        metadata: Metadata | None,
        channel: grpc.Channel | None,
        files: TlsFiles,
        api_key: str | None = None,
        max_retries: int = MAX_RETRIES,
        wait_for_ready: bool = False,
    ) -> None:
        super().__init__(target, timeout, metadata, channel, files, api_key, max_retries, wait_for_ready)
        self._opening = threading.Lock()
        self._retired: list[_OpenChannel[grpc.Channel]] = []
        """Channels with outdated credentials, whose calls go on."""

    def unary(
        self,
        service: ServiceDescriptor,
        name: str,
        request: Message,
        response_type: type[Response],
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        max_retries: int | None = None,
    ) -> Response:
        call = self._rules.prepare(service, name, request, timeout, metadata, max_retries)
        while True:
            opened = self._begin()
            try:
                response: Response = opened.unary(call, response_type)(request, **self._options(call))
            except grpc.RpcError as error:
                pause = call.pause_or_raise(error)
            else:
                call.attempts.succeeded()
                return response
            finally:
                self._end(opened)
            time.sleep(pause)

    def stream(
        self,
        service: ServiceDescriptor,
        name: str,
        request: Message,
        response_type: type[Response],
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> Iterator[Response]:
        call = self._rules.prepare(service, name, request, timeout, metadata)
        stream = self._start(lambda opened: opened.stream(call, response_type)(request, **self._options(call)))
        try:
            yield from stream
        except grpc.RpcError as error:
            raise call.translate(error) from None
        finally:
            stream.cancel()

    def begin_chat(self, request: ChatRequest, options: CallOptions) -> tuple[PreparedCall, grpc.Future]:
        """Begins a chat that is not tried again, without waiting for its answer."""
        timeout, metadata = options.get("timeout"), options.get("metadata")
        call = self._rules.prepare(MODEL_SERVICE, "Chat", request, timeout, metadata, max_retries=0)
        return call, self._start(lambda opened: opened.unary(call, ChatResponse).future(request, **self._options(call)))

    def stream_chat(self, request: ChatRequest, timeout: float | None, metadata: Metadata | None) -> ChatStream:
        call = self._rules.prepare(MODEL_SERVICE, "ChatStream", request, timeout, metadata)

        def start() -> grpc.Call:
            return self._start(lambda opened: opened.stream(call, ChatChunk)(request, **self._options(call)))

        return ChatStream(start(), start, call)

    def close(self) -> None:
        with self._opening:
            channel, retired = self._take_channel(), self._take_retired()
        for each in retired:
            each.channel.close()
        if channel is not None:
            channel.close()

    def _start(self, begin: Callable[[_OpenChannel[grpc.Channel]], Any]) -> Any:
        """Begins a call that goes on by itself."""
        opened = self._begin()
        try:
            call = begin(opened)
        except BaseException:
            self._end(opened)
            raise
        if not call.add_callback(functools.partial(self._end, opened)):
            self._end(opened)
        return call

    def _begin(self) -> _OpenChannel[grpc.Channel]:
        """The open channel, for one call, which `_end` ends."""
        while True:
            opened = self._opened
            if opened is None or opened.process_id != os.getpid() or opened.credentials is not self._credentials():
                opened = self._open()
            # Without the lock, which a fork in another thread could leave locked: who replaces a channel looks for its
            # calls afterwards, and here it is the other way round.
            opened.calls.append(None)
            if opened is self._opened:
                return opened
            self._end(opened)

    def _end(self, opened: _OpenChannel[grpc.Channel]) -> None:
        opened.calls.pop()

    def _open(self) -> _OpenChannel[grpc.Channel]:
        with self._opening:
            opened, credentials = self._current(), self._credentials()
            if opened is not None and opened.credentials is credentials:
                return opened
            channel = self._given or open_channel(self.target, credentials)
            self._opened = renewed = _OpenChannel(channel, credentials)
            unused = self._retire(opened) if opened is not None else ()
        for each in unused:
            each.channel.close()
        return renewed

    def _retire(self, opened: _OpenChannel[grpc.Channel]) -> Sequence[_OpenChannel[grpc.Channel]]:
        """Retires a channel, and takes those that have no calls any more."""
        retired = [*self._take_retired(), opened]
        self._retired = [each for each in retired if each.calls]
        return [each for each in retired if not each.calls]

    def _take_retired(self) -> Sequence[_OpenChannel[grpc.Channel]]:
        """Takes the retired channels of this process."""
        taken, self._retired = self._retired, []
        self._inherited += [each for each in taken if each.process_id != os.getpid()]
        return [each for each in taken if each.process_id == os.getpid()]


class AsyncGatewayConnection(_ConnectionBase[grpc.aio.Channel]):
    """The connection of the asynchronous client. For one event loop at a time: another one once the first is closed."""

    def __init__(
        self,
        target: str | None,
        timeout: float | None,
        metadata: Metadata | None,
        channel: grpc.aio.Channel | None,
        files: TlsFiles,
        api_key: str | None = None,
        max_retries: int = MAX_RETRIES,
        wait_for_ready: bool = False,
    ) -> None:
        super().__init__(target, timeout, metadata, channel, files, api_key, max_retries, wait_for_ready)
        self._retiring: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        """The channels with outdated credentials, by the tasks that close them when their calls have ended."""

    async def unary(
        self,
        service: ServiceDescriptor,
        name: str,
        request: Message,
        response_type: type[Response],
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        max_retries: int | None = None,
    ) -> Response:
        call = self._rules.prepare(service, name, request, timeout, metadata, max_retries)
        while True:
            invoke = self._open().unary(call, response_type)
            try:
                response: Response = await invoke(request, **self._options(call))
            except grpc.RpcError as error:
                pause = call.pause_or_raise(error)
            except asyncio.CancelledError:
                if task_is_cancelled():
                    raise
                raise Cancelled("the client was closed during the call", request_id=call.request_id) from None
            else:
                call.attempts.succeeded()
                return response
            await asyncio.sleep(pause)

    async def stream(
        self,
        service: ServiceDescriptor,
        name: str,
        request: Message,
        response_type: type[Response],
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> AsyncIterator[Response]:
        call = self._rules.prepare(service, name, request, timeout, metadata)
        stream = self._open().stream(call, response_type)(request, **self._options(call))
        try:
            async for message in stream:
                yield message
        except grpc.RpcError as error:
            raise call.translate(error) from None
        except asyncio.CancelledError:
            if task_is_cancelled():
                raise
            raise Cancelled("the client was closed during the call", request_id=call.request_id) from None
        finally:
            stream.cancel()

    def stream_chat(self, request: ChatRequest, timeout: float | None, metadata: Metadata | None) -> AsyncChatStream:
        call = self._rules.prepare(MODEL_SERVICE, "ChatStream", request, timeout, metadata)

        def start() -> grpc.aio.UnaryStreamCall:
            return self._open().stream(call, ChatChunk)(request, **self._options(call))

        return AsyncChatStream(start(), start, call)

    async def close(self) -> None:
        channel = self._take_channel()
        retired, self._retiring = self._retiring, {}
        loop = asyncio.get_running_loop()
        for closing, each in retired.items():
            if closing.get_loop() is loop:
                closing.cancel()
                await each.close()
        if channel is not None:
            await channel.close()

    def _open(self) -> _OpenChannel[grpc.aio.Channel]:
        loop = asyncio.get_running_loop()
        opened = self._current()
        if opened is not None and opened.loop is not loop and self._given is None and _is_closed(opened.loop):
            # Its connection has ended with its event loop; it can be neither used nor closed any more.
            opened = None
        if opened is not None and opened.loop is not loop:
            raise RuntimeError("this AsyncGenAIPlatform belongs to another event loop; make one for each")
        credentials = self._credentials()
        if opened is not None and opened.credentials is not credentials:
            self._retire(opened, loop)
            opened = None
        if opened is None:
            channel = self._given or open_async_channel(self.target, credentials)
            self._opened = opened = _OpenChannel(channel, credentials, loop)
        return opened

    def _retire(self, opened: _OpenChannel[grpc.aio.Channel], loop: asyncio.AbstractEventLoop) -> None:
        """Closes a channel when its calls have ended."""
        closing = loop.create_task(opened.channel.close(RETIRED_SECONDS))
        self._retiring[closing] = opened.channel
        closing.add_done_callback(lambda _: self._retiring.pop(closing, None))


def _is_closed(loop: asyncio.AbstractEventLoop | None) -> bool:
    return loop is not None and loop.is_closed()
