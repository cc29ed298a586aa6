"""Reflection: the contract in a form that tools read, for callers that say who they are where that is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection

from services.shared.call_ends import abort_call
from services.shared.error_details import DETAILS_KEY, pack_details
from services.shared.errors import PlatformError
from services.shared.identity import ANY_SCOPE, Callers
from services.shared.rpc import STATUS_CODES


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]  # grpc ships no types
    """The standard reflection service."""

    def __init__(self, service_names: Sequence[str], callers: Callers) -> None:
        super().__init__(service_names)
        self._callers = callers

    async def ServerReflectionInfo(
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        try:
            await self._callers.identify(context.invocation_metadata() or (), ANY_SCOPE, context.peer(), context)
        except PlatformError as error:
            code = STATUS_CODES[type(error)]
            await abort_call(context, code, error.message, ((DETAILS_KEY, pack_details(code.value[0], error)),))
        async for response in super().ServerReflectionInfo(requests, context):
            yield response
