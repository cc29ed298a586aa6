"""Counts of the tokens of a prompt, by servers that count without generating, for free."""

from __future__ import annotations

import msgspec

from services.models.providers.base import Target
from services.models.providers.client import Exchange
from services.models.providers.errors.faults import Fault
from services.models.providers.http_request import HttpRequest
from services.models.transport.base import Transport


class _Counted(msgspec.Struct):
    input_tokens: int


async def count_tokens(transport: Transport, target: Target, request: HttpRequest) -> int:
    """The tokens that the server counts. Raises as `chat.chat` does."""
    async with Exchange(transport, target) as exchange:
        response = await exchange.post(request)
        return await exchange.read(response, response.body, _read)


def _read(body: bytes) -> int:
    try:
        return msgspec.json.decode(body, type=_Counted).input_tokens
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Fault("UPSTREAM_PROTOCOL_ERROR") from None
