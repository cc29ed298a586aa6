"""A running call, as servicers see it."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any

import grpc

from services.shared import errors
from services.shared.identity import IDENTITY, Callers, Identity
from services.shared.intake import Reservation
from services.shared.metadata import CALLER_KEY, EXPOSED_KEY, RECEIVED, REQUEST_ID_KEY, Metadata, is_flood
from services.shared.stream_ends import PROCESS_STREAMS
from services.shared.tracing import Span


class Call:
    """A running RPC, as the servicer sees it."""

    __slots__ = (
        "_due",
        "_task",
        "call_id",
        "caller",
        "chunks",
        "default_timeout",
        "first_output",
        "from_exposed_gateway",
        "has_asked",
        "has_ended",
        "identity",
        "interruption",
        "is_stream",
        "log_fields",
        "metadata",
        "method",
        "request_id",
        "reservation",
        "span",
        "started",
        "trailers",
        "waited",
    )

    def __init__(self, context: grpc.aio.ServicerContext, caller: str = "", *, is_stream: bool = False) -> None:
        """`caller` overrides the caller that the metadata name, where metadata are not to be trusted."""
        self.is_stream = is_stream
        self.method = ""
        """The service and the method, as in the log."""
        self.chunks = 0
        """The messages of a stream that were sent."""
        self.has_ended = False
        """Whether its end has been logged and counted."""
        PROCESS_STREAMS.started += is_stream
        self.started = time.perf_counter()
        # Only once: grpc goes by the machine's clock, which may be set while the call runs.
        remaining: float | None = context.time_remaining()
        self._due = None if remaining is None else self.started + remaining
        self.metadata: Metadata = RECEIVED.get() or context.invocation_metadata() or ()
        # Tasks that outlive the call keep its context.
        RECEIVED.set(())
        fields = {} if is_flood(self.metadata) else dict(self.metadata)
        self.request_id = _request_id(fields.get(REQUEST_ID_KEY, ""))
        self.call_id = new_call_id()
        """The platform's own id of the call: callers choose their request ids, and may repeat one."""
        self.caller: str = caller or fields.get(CALLER_KEY) or context.peer()
        """The caller's address: as the gateway reports it, else the peer's."""
        self.from_exposed_gateway = bool(fields.get(EXPOSED_KEY))
        """Whether the call came through an exposed gateway: the caller is then a stranger and not the operator."""
        self.identity: Identity | None = None
        """The authenticated caller; None where nobody is asked."""
        self.log_fields: dict[str, Any] = {}
        """Fields that the servicer adds to the call's log line. Never a prompt, an answer or a key."""
        self.span: Span | None = None
        """Its span, where traces are sent."""
        self.waited = 0.0
        """The seconds in which it has waited for another server."""
        self.has_asked = False
        """Whether the newest server that it has waited for has got a part of its request."""
        self.first_output: float | None = None
        """The seconds until the first output of a stream, after which no waiting is measured."""
        self.trailers: Sequence[tuple[str, str]] = ()
        """Further trailing metadata of the call, however it ends."""
        self.reservation: Reservation | None = None
        """The memory that a large request has reserved; shrink it when fewer copies of the request exist."""
        self.default_timeout: asyncio.Timeout | None = None
        """The platform's own deadline, for a call without one."""
        self.interruption: errors.PlatformError | None = None
        """The error that the call ends with, after `interrupt`."""
        self._task = asyncio.current_task()

    def begin_stream(self) -> None:
        """Makes it a call of a stream, where only its request says so."""
        self.is_stream = True
        PROCESS_STREAMS.started += 1

    def interrupt(self, error: errors.PlatformError) -> None:
        """Ends the call with an error, wherever it is. Call it from another task."""
        assert self._task
        self.interruption = error
        self._task.cancel()

    def forget_task(self) -> None:
        """Drops the task of a call that has ended, whose exception refers to the call: no cycle is left to collect."""
        self._task = None

    @property
    def project_id(self) -> str:
        """The project that the call, and all that it creates, belongs to; empty where nobody is asked who calls."""
        return self.identity.project_id if self.identity else ""

    async def identify(self, callers: Callers, scope: str, context: grpc.aio.ServicerContext | None) -> None:
        """Finds out who calls. Raises as `Callers.identify` does."""
        identity = await callers.identify(self.metadata, scope, self.caller, context)
        if identity:
            self.set_identity(identity)

    def set_identity(self, identity: Identity) -> None:
        """Sets who calls, for the log too."""
        self.identity = identity
        IDENTITY.set(identity)
        self.log_fields |= identity.logged

    def remaining_seconds(self) -> float | None:
        """The seconds until the caller's deadline, or None if it set none."""
        return None if self._due is None else max(0.0, self._due - time.perf_counter())

    def answer_scope(self) -> str:
        """The callers whose equal calls may have the same answer: those with the same key of the same project; where
        nobody is asked who calls, those from the same host. Strangers and the operator never share one: what one may
        know of an answer, the other may not."""
        if self.identity:
            # As JSON, so that no two pairs have the same text.
            return json.dumps((self.identity.project_id, self.identity.key_id))
        host = self.caller.rpartition(":")[0] or self.caller
        return f"{host} (exposed)" if self.from_exposed_gateway else host

    def elapsed_seconds(self) -> float:
        return time.perf_counter() - self.started


def new_request_id() -> str:
    """A random id of 32 hexadecimal digits. It is no secret: with it, the operator finds a call in the log."""
    # secrets.token_hex would take a system call for each.
    return f"{random.getrandbits(128):032x}"


def new_call_id() -> str:
    """An id of 32 hexadecimal digits. Ids sort by their milliseconds, so that databases add them at one place."""
    return f"{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"


def _request_id(received: str | bytes) -> str:
    if isinstance(received, str) and 0 < len(received) <= 128 and received.isascii() and received.isprintable():
        return received
    return new_request_id()
