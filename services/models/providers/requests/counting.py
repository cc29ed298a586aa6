"""Requests that count the tokens of a prompt, made of what would be sent to have it answered."""

from __future__ import annotations

from collections.abc import Collection

from services.models.providers.http_request import HttpRequest
from services.shared import json_text


def counting_request(path: str, body: bytes, members: Collection[str]) -> HttpRequest:
    """The request to count what the body of a chat would send: its `members`, the others of which a server refuses."""
    chat = json_text.raw_members(body.decode())
    return HttpRequest(path, json_text.encode({name: chat[name] for name in members if name in chat}))
