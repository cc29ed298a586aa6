"""The boundary between HTTP and the service, as `services.shared.rpc` is the one between gRPC and it: calls are
admitted, their callers are asked who they are, errors are answered in the client's dialect, and each call has one line
in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from services.models.http_port.exchange import HttpExchange
from services.shared.admission import Admission
from services.shared.call import Call
from services.shared.call_metrics import serve_method
from services.shared.errors import DeadlineExceeded, PlatformError
from services.shared.identity import Callers
from services.shared.intake import Intake
from services.shared.logs import Log
from services.shared.rpc import CALL_ERRORS, forget_frames, record_call, record_failure
from services.shared.running_calls import RunningCalls
from services.shared.tracing import PROCESS_TRACING


class Boundary:
    """Admits the calls of the port."""

    def __init__(
        self,
        log: Log,
        callers: Callers,
        intake: Intake,
        generation: Admission,
        others: Admission,
        running: RunningCalls,
        deadline: float,
    ) -> None:
        self.intake = intake
        self._log = log
        self._callers = callers
        self._generation = generation
        self._others = others
        self._running = running
        self._deadline = deadline

    def open_call(self, exchange: HttpExchange, operation: str) -> Call:
        """The call of a request."""
        call = Call(exchange, exchange.peer())
        call.method = method_name(operation)
        call.span = PROCESS_TRACING.start_call(call.method, call.metadata, call.request_id)
        return call

    async def generate(self, call: Call, scope: str, work: Callable[[], Awaitable[None]]) -> None:
        """Lets a call do work that may ask a provider. Raises what refuses it, and DeadlineExceeded at its end."""
        call.default_timeout = timeout = asyncio.timeout(self._deadline)
        with self._generation.call(call.caller), self._running.call(call):
            try:
                async with timeout:
                    await call.identify(self._callers, scope, None)
                    await work()
            except TimeoutError:
                if not timeout.expired():
                    raise
                raise DeadlineExceeded(
                    f"no answer within {self._deadline:g} s, the service's limit; ask for less"
                ) from None

    @contextlib.asynccontextmanager
    async def looking_up(self, call: Call, scope: str) -> AsyncIterator[None]:
        """A block in which a call is answered from memory. Raises what refuses it."""
        with self._others.call(call.caller):
            await call.identify(self._callers, scope, None)
            yield

    async def run(
        self,
        exchange: HttpExchange,
        call: Call,
        work: Awaitable[None],
        fail: Callable[[PlatformError], Awaitable[None]],
    ) -> None:
        """Runs the work of a call to its end, which is logged; `fail` answers with an error. Raises CancelledError when
        the client has left or the server stops."""
        try:
            await work
        except CALL_ERRORS as error:
            try:
                await fail(record_failure(self._log, call.method, error, call))
            finally:
                forget_frames(error)
        else:
            record_call(self._log, call.method, call, "OK")
        finally:
            await exchange.settle()
            exchange.close()


def method_name(operation: str) -> str:
    """The name of an operation as a method, in the log and in metrics."""
    return f"http/{operation}"


def serve_operations(operations: Iterable[str]) -> None:
    """Gives operations series of their own in the metrics of calls."""
    for operation in operations:
        serve_method(method_name(operation), method_name(operation))
