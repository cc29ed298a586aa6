"""The calls of UsageService: what was used and what it cost, and the calls that run.

`mine`, `list`, `export`, `reprice`, `calls` and `cancel` take Python's own arguments. The other methods are those of
the contract, as in `models`. proto/usage.proto describes their fields.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import date
from typing import TypeVar, Unpack

from google.protobuf.message import Message

from genai_platform._async.pages import WHOLE_PAGE_SIZE, read_list, read_pages
from genai_platform.building import build
from genai_platform.calls import CallOptions, Metadata
from genai_platform.channel import USAGE_SERVICE
from genai_platform.connection import AsyncGatewayConnection
from genai_platform.field_lists import with_field_lists
from genai_platform.request_fields import (
    CancelCallFields,
    ExportUsageFields,
    GetMyUsageFields,
    ListCallsFields,
    ListUsageFields,
    RepriceUsageFields,
)
from genai_platform.requests import read_call
from genai_platform.session_requests import TextWriter, open_target
from genai_platform.usage_requests import UsageFields, build_sums_request
from genai_platform.v1.usage_pb2 import (
    CancelCallRequest,
    CancelCallResponse,
    ExportUsageRequest,
    ExportUsageResponse,
    GetMyUsageRequest,
    GetMyUsageResponse,
    ListCallsRequest,
    ListCallsResponse,
    ListUsageRequest,
    ListUsageResponse,
    RepriceUsageRequest,
    RepriceUsageResponse,
    RunningCall,
    UsageRow,
)

Response = TypeVar("Response", bound=Message)


@with_field_lists
class AsyncUsage:
    """The calls of UsageService."""

    def __init__(self, connection: AsyncGatewayConnection) -> None:
        self._connection = connection

    async def mine(self, **options: Unpack[CallOptions]) -> GetMyUsageResponse:
        """The usage of the client's own key, today and this month, with its limits."""
        return await self.get_my_usage(**options)

    def list(
        self, *, timeout: float | None = None, metadata: Metadata | None = None, **fields: Unpack[UsageFields]
    ) -> AsyncIterator[UsageRow]:
        """The sums of usage over all pages: `platform.usage.list(from_day="2026-11-01", group_by=["day", "model"])`.

        The first day is by default the first of the month, the last one today. Without `group_by` there is one sum.
        """
        request = build_sums_request(ListUsageRequest, **fields)
        request.page_size = WHOLE_PAGE_SIZE
        options = CallOptions(timeout=timeout, metadata=metadata)
        return read_pages(self.list_usage, request, lambda page: page.rows, options)

    async def export(
        self,
        target: str | os.PathLike[str] | TextWriter,
        *,
        format: str = "csv",
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[UsageFields],
    ) -> int:
        """Writes the sums that `list` gives to a path or an open text file, and returns their number.

        `format` is `csv`, with the names of the columns first, or `jsonl`, with an object in each line. A file given by
        its path is replaced when the export is complete, and left unchanged when it fails.
        """
        request = build_sums_request(ExportUsageRequest, **fields)
        request.format = format
        lines = 0
        with open_target(target) as file:
            async for piece in self.export_usage(request, timeout=timeout, metadata=metadata):
                file.write(piece.data.decode())
                lines += piece.data.count(b"\n")
        return lines - (format == "csv")

    async def reprice(
        self,
        from_day: date | str,
        *,
        to_day: date | str | None = None,
        model: str = "",
        apply: bool = False,
        **options: Unpack[CallOptions],
    ) -> RepriceUsageResponse:
        """Prices the calls that have no cost, by today's prices, and says which stay without one and why.

        Without `apply` nothing is changed. `model` is a name, or several by `*`. Needs the scope `admin`.
        """
        days = {"from_day": str(from_day), "to_day": str(to_day or "")}
        request = build(RepriceUsageRequest, **days, model_glob=model, apply=apply)
        return await self.reprice_usage(request, **options)

    def calls(self, **options: Unpack[CallOptions]) -> AsyncIterator[RunningCall]:
        """The chats that run now in all replicas, oldest first. `list_calls` also says how many could not be asked."""
        return read_pages(self.list_calls, ListCallsRequest(), lambda page: page.calls, options)

    async def cancel(self, call_id: str, **options: Unpack[CallOptions]) -> None:
        """Ends a chat, in whichever replica it runs; its caller gets Cancelled CALL_CANCELLED. Raises NotFound
        CALL_NOT_FOUND."""
        await self.cancel_call(build(CancelCallRequest, call_id=call_id), **options)

    async def get_my_usage(
        self, request: GetMyUsageRequest | None = None, **fields: Unpack[GetMyUsageFields]
    ) -> GetMyUsageResponse:
        """The usage of the client's own key."""
        return await self._call("GetMyUsage", GetMyUsageResponse, read_call(GetMyUsageRequest, request, fields))

    async def list_usage(
        self, request: ListUsageRequest | None = None, **fields: Unpack[ListUsageFields]
    ) -> ListUsageResponse:
        """Lists sums of usage."""
        return await self._list("ListUsage", ListUsageResponse, read_call(ListUsageRequest, request, fields))

    def export_usage(
        self, request: ExportUsageRequest | None = None, **fields: Unpack[ExportUsageFields]
    ) -> AsyncIterator[ExportUsageResponse]:
        """Streams sums of usage as text."""
        asked, options = read_call(ExportUsageRequest, request, fields)
        return self._connection.stream(USAGE_SERVICE, "ExportUsage", asked, ExportUsageResponse, **options)

    async def reprice_usage(
        self, request: RepriceUsageRequest | None = None, **fields: Unpack[RepriceUsageFields]
    ) -> RepriceUsageResponse:
        """Prices calls that have no cost."""
        return await self._call("RepriceUsage", RepriceUsageResponse, read_call(RepriceUsageRequest, request, fields))

    async def list_calls(
        self, request: ListCallsRequest | None = None, **fields: Unpack[ListCallsFields]
    ) -> ListCallsResponse:
        """Lists the chats that run."""
        return await self._list("ListCalls", ListCallsResponse, read_call(ListCallsRequest, request, fields))

    async def cancel_call(
        self, request: CancelCallRequest | str | None = None, **fields: Unpack[CancelCallFields]
    ) -> CancelCallResponse:
        """Ends a chat."""
        return await self._call("CancelCall", CancelCallResponse, read_call(CancelCallRequest, request, fields))

    async def _list(self, name: str, response_type: type[Response], call: tuple[Message, CallOptions]) -> Response:
        request, options = call
        return await read_list(lambda page: self._call(name, response_type, (page, options)), request)

    async def _call(self, name: str, response_type: type[Response], call: tuple[Message, CallOptions]) -> Response:
        request, options = call
        return await self._connection.unary(USAGE_SERVICE, name, request, response_type, **options)
