"""Chat Completions in tests: requests as clients write them, and OpenAI's own SDK as a reader of our bytes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import httpx2

from proto import models_pb2
from services.models.calls.replay import replay
from services.models.faces.base import About
from services.models.faces.chat_completions.face import CHAT_COMPLETIONS, AskedCompletion

if TYPE_CHECKING:
    import openai

ABOUT = About("c0ffee", 1_790_000_000)
MODEL = "our/model"
QUESTION = {"role": "user", "content": "Hi"}

USAGE = models_pb2.TokenUsage(
    prompt_tokens=9, completion_tokens=4, total_tokens=13, cached_prompt_tokens=5, reasoning_tokens=2
)


def asked(**members: Any) -> AskedCompletion:
    """A request that was read, for one question unless it says something else."""
    return CHAT_COMPLETIONS.read(json.dumps({"model": MODEL, "messages": [QUESTION], **members}).encode())


def answer(
    *parts: models_pb2.ContentPart, text: str = "", finish_reason: str = "stop", **fields: Any
) -> models_pb2.ChatResponse:
    """An answer with these parts, or with a text in the short form."""
    text = text or "".join(part.text for part in parts)
    calls = [part.tool_call for part in parts if part.HasField("tool_call")]
    message = models_pb2.ChatMessage(role="assistant", content=text, parts=parts, tool_calls=calls)
    return models_pb2.ChatResponse(
        text=text, message=message, tool_calls=calls, finish_reason=finish_reason, usage=USAGE, **fields
    )


def events_of(wanted: AskedCompletion, chunks: Sequence[models_pb2.ChatChunk]) -> bytes:
    """The bytes of a stream of these chunks."""
    encoder = wanted.encoder(ABOUT)
    return b"".join(map(encoder.feed, chunks))


def streamed(wanted: AskedCompletion, response: models_pb2.ChatResponse) -> bytes:
    """The bytes of a stream of an answer whose parts come whole."""
    return events_of(wanted, list(replay(response)))


def data_of(events: bytes) -> list[Any]:
    """The data of events, `[DONE]` as it is."""
    blocks = events.decode().split("\n\n")
    assert blocks.pop() == ""
    texts = [block.removeprefix("data: ") for block in blocks if not block.startswith(":")]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


@contextlib.contextmanager
def sdk_that_gets(body: bytes, *, is_stream: bool = False) -> Iterator[openai.OpenAI]:
    """OpenAI's client, which gets this body as the answer to each request."""
    import openai

    def respond(request: httpx2.Request) -> httpx2.Response:
        kind = "text/event-stream" if is_stream else "application/json"
        return httpx2.Response(200, headers={"content-type": kind}, content=body)

    http = httpx2.Client(transport=httpx2.MockTransport(respond))
    with openai.OpenAI(api_key="k", base_url="http://gateway/v1", max_retries=0, http_client=http) as client:
        yield client
