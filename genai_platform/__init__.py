"""The client of the GenAI Platform: one call to any language model.

    from genai_platform import GenAIPlatform

    with GenAIPlatform() as platform:
        print(platform.models.chat("Hello!", model="gpt-4o").text)

Exports the two clients, every message of the contract, the errors that calls raise, and `to_dict`.
"""

from __future__ import annotations

# Before everything else: it makes `proto` importable where another package owns that name.
import genai_platform._stubs  # noqa: F401
from genai_platform import contract
from genai_platform._async.client import AsyncGenAIPlatform
from genai_platform._async.conversations import AsyncConversation
from genai_platform._sync.client import GenAIPlatform
from genai_platform._sync.conversations import Conversation
from genai_platform.batches import ChatResult, ChatResults
from genai_platform.contract import *  # noqa: F403 - every message and enum of the contract
from genai_platform.dicts import to_dict
from genai_platform.errors import (
    AlreadyExists,
    Cancelled,
    Conflict,
    FailedPrecondition,
    FieldViolation,
    GenAIError,
    InvalidRequest,
    NotFound,
    ParseError,
    PermissionDenied,
    RateLimited,
    ServerError,
    Timeout,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from genai_platform.message_methods import add_methods
from genai_platform.parsing import Parsed
from genai_platform.prompt_files import ExportReport
from genai_platform.prompt_import import ImportReport
from genai_platform.streams import AsyncChatStream, ChatStream

__all__ = [
    "AlreadyExists",
    "AsyncChatStream",
    "AsyncConversation",
    "AsyncGenAIPlatform",
    "Cancelled",
    "ChatResult",
    "ChatResults",
    "ChatStream",
    "Conflict",
    "Conversation",
    "ExportReport",
    "FailedPrecondition",
    "FieldViolation",
    "GenAIError",
    "GenAIPlatform",
    "ImportReport",
    "InvalidRequest",
    "NotFound",
    "ParseError",
    "Parsed",
    "PermissionDenied",
    "RateLimited",
    "ServerError",
    "Timeout",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "to_dict",
]
__all__ += contract.__all__

add_methods()
