"""Parsing of requests for the handlers of generated code: grpc would answer a malformed request with UNKNOWN."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from services.shared.lanes import MethodHandlers

Parse = Callable[[bytes], Message]


class ParsingHandlers(MethodHandlers):
    """A stand-in for the server in generated `add_…_to_server` functions, and a handler of all methods that they add.

    Answers a request that cannot be parsed with INVALID_ARGUMENT.
    """

    def __init__(self) -> None:
        super().__init__({})

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Does nothing: the same handlers are also added by method."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        self.handlers |= {f"/{service}/{method}": _parsing(handler) for method, handler in handlers.items()}


def _parsing(handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
    parse: Parse = handler.request_deserializer
    serialize = handler.response_serializer
    if handler.stream_stream:
        return grpc.stream_stream_rpc_method_handler(_exchange(handler.stream_stream, parse), None, serialize)
    if handler.unary_stream:
        return grpc.unary_stream_rpc_method_handler(_stream(handler.unary_stream, parse), None, serialize)
    return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary, parse), None, serialize)


def _unary(behaviour: Any, parse: Parse) -> Any:
    async def answer(data: bytes, context: grpc.aio.ServicerContext) -> Any:
        return await behaviour(await _read(data, parse, context), context)

    return answer


def _stream(behaviour: Any, parse: Parse) -> Any:
    async def answer(data: bytes, context: grpc.aio.ServicerContext) -> None:
        await behaviour(await _read(data, parse, context), context)

    return answer


def _exchange(behaviour: Any, parse: Parse) -> Any:
    async def answer(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async def parsed() -> AsyncIterator[Message]:
            async for data in requests:
                yield await _read(data, parse, context)

        async for response in behaviour(parsed(), context):
            yield response

    return answer


async def _read(data: bytes, parse: Parse, context: grpc.aio.ServicerContext) -> Message:
    try:
        return parse(data)
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be parsed")
        raise AssertionError("abort raises") from None
