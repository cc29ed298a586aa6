"""The calls of UsageService: what was used and what it cost, and the calls that run.

`mine`, `list`, `export`, `calls` and `cancel` take Python's own arguments. The other methods take the protobuf request
and return the protobuf response. proto/usage.proto describes their fields.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import TypeVar, Unpack

from google.protobuf.message import Message

from genai_platform._async.pages import WHOLE_PAGE_SIZE, read_list, read_pages
from genai_platform.building import build
from genai_platform.calls import CallOptions, Metadata
from genai_platform.channel import USAGE_SERVICE
from genai_platform.connection import AsyncGatewayConnection
from genai_platform.session_requests import TextWriter, open_target
from genai_platform.usage_requests import UsageFields, build_sums_request
from proto.usage_pb2 import (
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
    RunningCall,
    UsageRow,
)

Response = TypeVar("Response", bound=Message)


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

    def calls(self, **options: Unpack[CallOptions]) -> AsyncIterator[RunningCall]:
        """The chats that run now in the replica that answers, oldest first."""
        return read_pages(self.list_calls, ListCallsRequest(), lambda page: page.calls, options)

    async def cancel(self, call_id: str, **options: Unpack[CallOptions]) -> None:
        """Ends a chat, whose caller gets Cancelled CALL_CANCELLED. Raises NotFound CALL_NOT_FOUND."""
        await self.cancel_call(build(CancelCallRequest, call_id=call_id), **options)

    async def get_my_usage(
        self, request: GetMyUsageRequest | None = None, **options: Unpack[CallOptions]
    ) -> GetMyUsageResponse:
        """The usage of the client's own key."""
        return await self._call("GetMyUsage", request or GetMyUsageRequest(), GetMyUsageResponse, **options)

    async def list_usage(
        self, request: ListUsageRequest | None = None, **options: Unpack[CallOptions]
    ) -> ListUsageResponse:
        """Lists sums of usage: those of the page that the request asks for, or all."""

        async def page(asked: ListUsageRequest) -> ListUsageResponse:
            return await self._call("ListUsage", asked, ListUsageResponse, **options)

        return await read_list(page, request or ListUsageRequest())

    def export_usage(
        self, request: ExportUsageRequest, **options: Unpack[CallOptions]
    ) -> AsyncIterator[ExportUsageResponse]:
        """Streams sums of usage as text."""
        return self._connection.stream(USAGE_SERVICE, "ExportUsage", request, ExportUsageResponse, **options)

    async def list_calls(
        self, request: ListCallsRequest | None = None, **options: Unpack[CallOptions]
    ) -> ListCallsResponse:
        """Lists the chats that run: those of the page that the request asks for, or all."""

        async def page(asked: ListCallsRequest) -> ListCallsResponse:
            return await self._call("ListCalls", asked, ListCallsResponse, **options)

        return await read_list(page, request or ListCallsRequest())

    async def cancel_call(self, request: CancelCallRequest, **options: Unpack[CallOptions]) -> CancelCallResponse:
        """Ends a chat."""
        return await self._call("CancelCall", request, CancelCallResponse, **options)

    async def _call(
        self, name: str, request: Message, response_type: type[Response], **options: Unpack[CallOptions]
    ) -> Response:
        return await self._connection.unary(USAGE_SERVICE, name, request, response_type, **options)
