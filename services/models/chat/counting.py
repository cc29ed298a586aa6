"""The count of a prompt's tokens before it is sent: the server's own, where it counts without generating, else an
estimate, which is rather too high: agents shorten their history by it, and too late is worse than too early."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from proto import models_pb2
from services.models.chat.chat import ChatService
from services.models.providers.base import Conversation, Forwarded, Target
from services.models.providers.forwarding import counting_request
from services.models.providers.token_counts import count_tokens
from services.models.providers.usage import estimate_prompt_tokens
from services.shared.call import Call
from services.shared.errors import PlatformError
from services.shared.offload import run_in_thread_if_large

COUNTING_SECONDS = 10.0
"""Time in which a server must have counted. One agent asks for a dozen counts at once, and waits for all of them."""

SURPLUS = 1.1


class Count(NamedTuple):
    """A count of tokens."""

    tokens: int
    is_estimated: bool


class TokenCounter:
    """Counts the tokens of prompts."""

    def __init__(self, chats: ChatService) -> None:
        self._chats = chats

    async def count(self, request: models_pb2.ChatRequest, call: Call, forwarded: Forwarded | None = None) -> Count:
        """The tokens of the prompt of a request, which `forwarded` has as its client wrote it. Raises what refuses the
        request."""
        prompted = await self._chats.prepare(request, call)
        conversation = prompted.conversation
        target = self._chats.first_target(conversation.request, call)
        # A prompt of the platform's is no part of what the client has written.
        given = None if prompted.prompt else forwarded
        try:
            async with asyncio.timeout(COUNTING_SECONDS):
                return await self._ask(conversation, target, given)
        except (PlatformError, TimeoutError):
            return _estimate(conversation)

    async def _ask(self, conversation: Conversation, target: Target, forwarded: Forwarded | None) -> Count:
        request = None
        if forwarded:
            request = counting_request(Conversation(conversation.request, (), forwarded=forwarded), target)
        if request is None:
            write = target.dialect.counting_request
            request = await run_in_thread_if_large(conversation.work(), write, conversation, target)
        if request is None:
            return _estimate(conversation)
        return Count(await count_tokens(self._chats.transport_to(target), target, request), is_estimated=False)


def _estimate(conversation: Conversation) -> Count:
    return Count(max(1, round(SURPLUS * estimate_prompt_tokens(conversation))), is_estimated=True)
