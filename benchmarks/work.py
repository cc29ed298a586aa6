"""What one measured call asks for, and what it is answered.

The prompt itself says how many tokens to answer with and how fast, so that a mock upstream and a mock service can both
read it from the bytes of the request, whatever the wire.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from proto import models_pb2

MODEL = "gpt-4o"
ANTHROPIC_MODEL = "claude-sonnet-4-5"
TOKEN = " token"
CHAT = "/genai_platform.v1.ModelService/Chat"
CHAT_STREAM = "/genai_platform.v1.ModelService/ChatStream"

_pattern = re.compile(rb"tokens=(\d+) pace=(\d+)")


class Work(NamedTuple):
    """An answer of so many tokens, with `pace_ms` milliseconds before each (0: as fast as they can be written)."""

    tokens: int
    pace_ms: int

    @property
    def text(self) -> str:
        """The answer."""
        return TOKEN * self.tokens

    def chat_request(self) -> bytes:
        """What the Model Service is sent."""
        message = models_pb2.ChatMessage(role="user", content=self._prompt())
        config = models_pb2.ChatConfig(temperature=0.7, max_tokens=self.tokens)
        return models_pb2.ChatRequest(model=MODEL, messages=[message], config=config).SerializeToString()

    def http_request(self, *, stream: bool, model: str = MODEL) -> bytes:
        """The body that an OpenAI-compatible server is sent."""
        body: dict[str, object] = {
            "model": model,
            "messages": [{"role": "user", "content": self._prompt()}],
            "temperature": 0.7,
            "max_tokens": self.tokens,
        }
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(body).encode()

    def _prompt(self) -> str:
        return f"Answer this question in one paragraph. tokens={self.tokens} pace={self.pace_ms}"


def read_work(request: bytes) -> Work:
    """What the prompt in a request asks for, on either wire."""
    match = _pattern.search(request)
    assert match, "the request has none of our prompts"
    return Work(int(match[1]), int(match[2]))
