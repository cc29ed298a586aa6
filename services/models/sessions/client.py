"""The client of the Session Service, which raises its failures as PlatformErrors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from proto import models_pb2, sessions_pb2, turns_pb2, turns_pb2_grpc
from services.shared import errors
from services.shared.admission import CALLER
from services.shared.call_ends import has_not_begun
from services.shared.error_details import DETAILS_KEY
from services.shared.identity import IDENTITY, PROCESS_CALLERS
from services.shared.logs import Log
from services.shared.metadata import CALLER_KEY, REQUEST_ID_KEY
from services.shared.offload import run_in_thread_if_large
from services.shared.replicas import Replica, Replicas
from services.shared.rpc import STATUS_CODES
from services.shared.serialized_messages import SerializedMessage, field_header
from services.shared.time_slices import TimeSlices
from services.shared.tls import TlsFiles
from services.shared.tracing import SERVER_SPAN, trace_fields

CALL_SECONDS = 5.0
"""Deadline of calls to the Session Service; the caller's own deadline may be sooner."""

SERVICE = sessions_pb2.DESCRIPTOR.services_by_name["SessionService"].full_name

RETRY_SECONDS = 1.0
"""Retry delay for callers; the channel reconnects to a Session Service that is back within this time."""

MESSAGES_FIELD = sessions_pb2.AppendMessagesRequest.DESCRIPTOR.fields_by_name["messages"].number

Response = TypeVar("Response", bound=Message)

_ERRORS = {code: error for error, code in STATUS_CODES.items()}


class HistoryResponse(NamedTuple, Generic[Response]):
    """A response that contains a history, with its size in bytes."""

    response: Response
    size: int


async def build_append(
    request: sessions_pb2.AppendMessagesRequest, messages: Sequence[models_pb2.ChatMessage]
) -> SerializedMessage:
    """`request` with these messages, serialized one by one, without a copy of them in the request."""
    pieces = [request.SerializeToString()]
    slices = TimeSlices()
    for message in messages:
        content = message.SerializeToString()
        pieces += (field_header(MESSAGES_FIELD, len(content)), content)
        await slices.yield_if_over()
    return SerializedMessage(pieces)


class _Methods:
    """The methods that chats need, at one replica."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        turns = turns_pb2_grpc.TurnServiceStub(channel)
        self.extend_turn = turns.ExtendTurn
        self.end_turn = turns.EndTurn
        # Histories are parsed here and not in grpc: large ones in a thread.
        self.get_context = channel.unary_unary(
            "/genai_platform.v1.SessionService/GetContext", sessions_pb2.GetContextRequest.SerializeToString
        )
        self.begin_turn = channel.unary_unary(
            "/genai_platform.v1.TurnService/BeginTurn", turns_pb2.BeginTurnRequest.SerializeToString
        )
        self.append_messages = channel.unary_unary(
            "/genai_platform.v1.SessionService/AppendMessages",
            SerializedMessage.SerializeToString,
            sessions_pb2.AppendMessagesResponse.FromString,
        )


class SessionClient:
    """The client for chats in sessions. It connects at the first call, and so never for chats without a session.

    Every method raises the error of the Session Service, or Unavailable SESSIONS_UNAVAILABLE, at once, when no replica
    of it can be reached. `request_id` is the id under which both services log the call.
    """

    def __init__(self, addresses: str, log: Log, tls: TlsFiles | None = None) -> None:
        """`tls` is needed for https:// addresses."""
        self._replicas = Replicas("sessions", SERVICE, addresses, log, tls)

    async def close(self) -> None:
        await self._replicas.close()

    async def get_context(
        self, request: sessions_pb2.GetContextRequest, request_id: str
    ) -> HistoryResponse[sessions_pb2.GetContextResponse]:
        data = await self._call("get_context", request, request_id)
        return await _parse(sessions_pb2.GetContextResponse, data)

    async def begin_turn(
        self, request: turns_pb2.BeginTurnRequest, request_id: str
    ) -> HistoryResponse[turns_pb2.BeginTurnResponse]:
        data = await self._call("begin_turn", request, request_id)
        return await _parse(turns_pb2.BeginTurnResponse, data)

    async def append_messages(self, append: SerializedMessage, request_id: str) -> sessions_pb2.AppendMessagesResponse:
        """Sends an append, which `build_append` has built."""
        response: sessions_pb2.AppendMessagesResponse = await self._call("append_messages", append, request_id)
        return response

    async def extend_turn(self, request: turns_pb2.ExtendTurnRequest, request_id: str) -> None:
        await self._call("extend_turn", request, request_id)

    async def end_turn(self, request: turns_pb2.EndTurnRequest, request_id: str, seconds: float) -> None:
        await self._call("end_turn", request, request_id, seconds)

    async def _call(self, method: str, request: Any, request_id: str, seconds: float = CALL_SECONDS) -> Any:
        """Calls a replica, and another one if that has not begun the call."""
        # All chats come from one address; to be fair to their callers, the Session Service must know these.
        onward = PROCESS_CALLERS.onward(IDENTITY.get())
        traced = trace_fields(SERVER_SPAN.get())
        metadata = ((REQUEST_ID_KEY, request_id), (CALLER_KEY, CALLER.get()), *onward, *traced)
        await self._replicas.start()
        replica = self._replicas.pick()
        if replica is None:
            raise self._unreachable(self._replicas.addresses)
        tried: list[str] = []
        while True:
            replica.running_calls += 1
            try:
                return await getattr(_methods(replica), method)(request, timeout=seconds, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                tried.append(replica.address)
                other = self._replicas.pick_other(tried) if has_not_begun(error) else None
                if other is None:
                    self._raise_error(error, replica.address)
            finally:
                replica.running_calls -= 1
            replica = other

    def _raise_error(self, error: grpc.aio.AioRpcError, address: str) -> NoReturn:
        details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
        if details and not has_not_begun(error):
            raise _read_error(error.code(), status_pb2.Status.FromString(details)) from None
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise errors.LimitExceeded("the turn is too large for one message", reason="MESSAGE_TOO_LARGE") from None
        # Without details, the status was made by grpc.
        raise self._unreachable(address) from None

    def _unreachable(self, address: str) -> errors.Unavailable:
        return errors.Unavailable(
            "the Session Service cannot be reached; is it running?",
            reason="SESSIONS_UNAVAILABLE",
            retry_after=RETRY_SECONDS,
            metadata={"backend": "sessions"},
            logged={"backend_address": address},
        )


def _methods(replica: Replica) -> _Methods:
    methods: _Methods | None = replica.methods.get(SERVICE)
    if methods is None:
        methods = replica.methods[SERVICE] = _Methods(replica.channel)
    return methods


async def _parse(kind: type[Response], data: bytes) -> HistoryResponse[Response]:
    return HistoryResponse(await run_in_thread_if_large(len(data), kind.FromString, data), len(data))


def _read_error(code: grpc.StatusCode, status: status_pb2.Status) -> errors.PlatformError:
    """The error that the Session Service raised, from its status."""
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
