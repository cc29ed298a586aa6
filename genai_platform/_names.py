"""The public names of the SDK, which `genai_platform` has as its own."""

from __future__ import annotations

import genai_platform.contract as contract
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
    QuotaViolation,
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
    "QuotaViolation",
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
