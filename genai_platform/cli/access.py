"""Calls of the Access Service from the command line, and the exit codes of what goes wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from genai_platform.cli.ending import EXIT_NOT_SIGNED_IN, fail
from genai_platform.connection import GatewayConnection
from genai_platform.errors import GenAIError, Unauthenticated
from genai_platform.tls import TlsFiles
from genai_platform.v1 import access_pb2

SERVICE = access_pb2.DESCRIPTOR.services_by_name["AccessService"]

PAGE_SIZE = 500

Answer = TypeVar("Answer", bound=Message)


def call(request: Message, answer_type: type[Answer]) -> Answer:
    """Calls the method that takes the request. Ends the program where it fails."""
    with _connected() as connection:
        return _call(connection, request, answer_type)


def read_all(request: Any, answer_type: type[Message], field: str, limit: int | None = None) -> Iterator[Any]:
    """The records of all pages of a list, or the first of them."""
    request.page_size = min(limit or PAGE_SIZE, PAGE_SIZE)
    left = limit
    with _connected() as connection:
        while True:
            page: Any = _call(connection, request, answer_type)
            records = list(getattr(page, field))[:left]
            yield from records
            left = None if left is None else left - len(records)
            request.page_token = page.next_page_token
            if not request.page_token or left == 0:
                return


@contextlib.contextmanager
def _connected() -> Iterator[GatewayConnection]:
    try:
        connection = GatewayConnection(None, None, None, None, TlsFiles())
    except ValueError as error:
        fail(str(error))
    try:
        yield connection
    finally:
        connection.close()


def _call(connection: GatewayConnection, request: Message, answer_type: type[Answer]) -> Answer:
    name = request.DESCRIPTOR.name.removesuffix("Request")
    try:
        return connection.unary(SERVICE, name, request, answer_type)
    except Unauthenticated as error:
        fail(str(error), EXIT_NOT_SIGNED_IN)
    except GenAIError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            fail("the gateway asks nobody for keys, and manages none; start it with AUTH_MODE=required")
        fail(str(error))
