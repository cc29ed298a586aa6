"""The Session Service as the Model Service calls it, its failures told in the platform's own errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from proto import models_pb2, sessions_pb2, turns_pb2, turns_pb2_grpc
from services.shared import errors
from services.shared.admission import CALLER
from services.shared.channels import open_channel
from services.shared.error_details import DETAILS_KEY
from services.shared.metadata import CALLER_KEY, REQUEST_ID_KEY
from services.shared.offload import run_in_thread_if_large
from services.shared.rpc import STATUS_CODES
from services.shared.serialized_messages import SerializedMessage, field_header
from services.shared.time_slices import TimeSlices

CALL_SECONDS = 5.0
"""How long the Session Service may take to answer; the caller's own deadline may be sooner."""

RETRY_SECONDS = 1.0
"""When to try again: a Session Service that has come back is connected to within this time."""

MESSAGES_FIELD = sessions_pb2.AppendMessagesRequest.DESCRIPTOR.fields_by_name["messages"].number

Answer = TypeVar("Answer", bound=Message)

_ERRORS = {code: error for error, code in STATUS_CODES.items()}


class Read(NamedTuple, Generic[Answer]):
    """An answer that holds a history, and how many bytes it has."""

    answer: Answer
    size: int


async def build_append(
    request: sessions_pb2.AppendMessagesRequest, messages: Sequence[models_pb2.ChatMessage]
) -> SerializedMessage:
    """`request` with these messages, serialised one by one: they are large together, and copied nowhere else."""
    pieces = [request.SerializeToString()]
    slices = TimeSlices()
    for message in messages:
        content = message.SerializeToString()
        pieces += (field_header(MESSAGES_FIELD, len(content)), content)
        await slices.yield_if_over()
    return SerializedMessage(pieces)


class SessionClient:
    """The calls that a chat in a session makes. Connects at the first one, never for chats without a session.

    Every method raises the error that the Session Service answered with, and Unavailable SESSIONS_UNAVAILABLE, at once,
    when it cannot be reached. `request_id` is the id under which both services log the call.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = open_channel(address)
        self._turns = turns_pb2_grpc.TurnServiceStub(self._channel)
        # Histories are parsed here and not in grpc: beside the event loop when they are large.
        self._get_context = self._channel.unary_unary(
            "/genai_platform.v1.SessionService/GetContext", sessions_pb2.GetContextRequest.SerializeToString
        )
        self._begin_turn = self._channel.unary_unary(
            "/genai_platform.v1.TurnService/BeginTurn", turns_pb2.BeginTurnRequest.SerializeToString
        )
        self._append_messages = self._channel.unary_unary(
            "/genai_platform.v1.SessionService/AppendMessages",
            SerializedMessage.SerializeToString,
            sessions_pb2.AppendMessagesResponse.FromString,
        )

    async def close(self) -> None:
        await self._channel.close()

    async def get_context(
        self, request: sessions_pb2.GetContextRequest, request_id: str
    ) -> Read[sessions_pb2.GetContextResponse]:
        data = await self._call(self._get_context, request, request_id)
        return await _parse(sessions_pb2.GetContextResponse, data)

    async def begin_turn(
        self, request: turns_pb2.BeginTurnRequest, request_id: str
    ) -> Read[turns_pb2.BeginTurnResponse]:
        data = await self._call(self._begin_turn, request, request_id)
        return await _parse(turns_pb2.BeginTurnResponse, data)

    async def append_messages(self, append: SerializedMessage, request_id: str) -> sessions_pb2.AppendMessagesResponse:
        """`append` comes from `build_append`."""
        response: sessions_pb2.AppendMessagesResponse = await self._call(self._append_messages, append, request_id)
        return response

    async def extend_turn(self, request: turns_pb2.ExtendTurnRequest, request_id: str) -> None:
        await self._call(self._turns.ExtendTurn, request, request_id)

    async def end_turn(self, request: turns_pb2.EndTurnRequest, request_id: str, seconds: float) -> None:
        await self._call(self._turns.EndTurn, request, request_id, seconds)

    async def _call(self, method: Any, request: Any, request_id: str, seconds: float = CALL_SECONDS) -> Any:
        # To the Session Service all chats come from one address; it must know whose they are, to be fair to all.
        metadata = ((REQUEST_ID_KEY, request_id), (CALLER_KEY, CALLER.get()))
        try:
            return await method(request, timeout=seconds, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            self._raise(error)

    def _raise(self, error: grpc.aio.AioRpcError) -> NoReturn:
        details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
        if details:
            raise _read_error(error.code(), status_pb2.Status.FromString(details)) from None
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise errors.LimitExceeded("the turn is too large for one message", reason="MESSAGE_TOO_LARGE") from None
        # Without details it was grpc that spoke.
        raise errors.Unavailable(
            "the Session Service cannot be reached; is it running?",
            reason="SESSIONS_UNAVAILABLE",
            retry_after=RETRY_SECONDS,
            metadata={"backend": "sessions"},
            logged={"backend_address": self._address},
        ) from None


async def _parse(kind: type[Answer], data: bytes) -> Read[Answer]:
    return Read(await run_in_thread_if_large(len(data), kind.FromString, data), len(data))


def _read_error(code: grpc.StatusCode, status: status_pb2.Status) -> errors.PlatformError:
    """The error of which the Session Service made this status."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after = None
    for detail in status.details:
        detail.Unpack(info)
        if detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return _ERRORS.get(code, errors.Internal)(
        status.message,
        reason=info.reason,
        retry_after=retry_after,
        metadata={"backend": "sessions", **info.metadata},
    )
