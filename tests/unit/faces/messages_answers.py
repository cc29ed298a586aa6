"""What the tests of Messages share: answers as the providers' decoders make them, and Anthropic's own client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import httpx2

from proto.models_pb2 import ChatChunk, ChatMessage, ChatResponse, ContentPart, ProviderState, TokenUsage
from services.models.faces.base import About
from services.models.faces.messages.face import MESSAGES, AskedMessage
from services.models.providers.answers.answer import Answer

if TYPE_CHECKING:
    import anthropic

ABOUT = About("0123456789abcdef", 1_790_000_000)
HELLO = {"model": "claude-gpt", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]}

Grow = Callable[[Answer], Any]
"""A step in the growth of an answer."""


def ask(**members: Any) -> AskedMessage:
    return MESSAGES.read(json.dumps(HELLO | members).encode())


def read_message(message: dict[str, Any]) -> ChatMessage:
    """A message of the history, as it is read."""
    [_, read, *_] = ask(messages=[{"role": "user", "content": "Hello"}, message]).request.messages
    return read


def state(data: bytes, *, model: str = "m") -> ProviderState:
    return ProviderState(model=model, data=data)


def grown(*steps: Grow, owner: str = "openai", finish: tuple[str, str] = ("stop", "stop")) -> Answer:
    """An answer that has grown by these steps, each in chunks of its own, and is complete."""
    answer = Answer()
    answer.state_owner = owner
    answer.model = "m"
    answer.usage = TokenUsage(
        prompt_tokens=20, completion_tokens=7, total_tokens=27, cached_prompt_tokens=5, cache_write_tokens=3
    )
    for step in steps:
        step(answer)
        answer.flush()
    answer.finish(*finish)
    answer.complete()
    return answer


def chunks_of(answer: Answer) -> list[ChatChunk]:
    return [*answer.drain_chunks(), answer.last_chunk()]


def streamed(chunks: Iterable[ChatChunk], asked: AskedMessage | None = None) -> bytes:
    encoder = (asked or ask(stream=True)).encoder(ABOUT)
    return b"".join(map(encoder.feed, chunks))


def whole(response: ChatResponse) -> bytes:
    return ask().whole(response, ABOUT)


def events(written: bytes) -> list[dict[str, Any]]:
    """The events, each of which is named as its data say."""
    found = []
    for event in written.decode().split("\n\n"):
        if not event:
            continue
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert written.endswith(b"\n\n")
    return found


def client(body: bytes, *, content_type: str = "text/event-stream", status: int = 200) -> anthropic.Anthropic:
    """Anthropic's own client, answered with a body."""
    import anthropic

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers={"content-type": content_type})

    return anthropic.Anthropic(
        api_key="k",
        base_url="http://127.0.0.1",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )


def joined(written: bytes) -> anthropic.types.Message:
    """The message that the client's helper makes of a stream."""
    with client(written).messages.stream(**HELLO) as stream:  # type: ignore[arg-type]
        return stream.get_final_message()


def parsed(body: bytes) -> anthropic.types.Message:
    """The message that the client makes of a whole answer."""
    return client(body, content_type="application/json").messages.create(**HELLO)  # type: ignore[call-overload, no-any-return]


def given_back(message: anthropic.types.Message) -> dict[str, Any]:
    """An answer as a client sends it back in its next request."""
    content = [block.to_dict(mode="json") for block in message.content]
    return {"role": "assistant", "content": content}


def text(piece: str, key: int = 1) -> Grow:
    return lambda answer: answer.add(key, "text", piece)


def thought(piece: str, key: int = 0) -> Grow:
    return lambda answer: answer.add(key, "reasoning", piece)


def call(key: int, call_id: str, *pieces: str, name: str = "find") -> Grow:
    def step(answer: Answer) -> None:
        answer.open_tool_call(key, call_id, name)
        for piece in pieces:
            answer.add_arguments(key, piece)
            answer.flush()

    return step


def kept(key: int, data: bytes, *, redacted: bool = False) -> Grow:
    def step(answer: Answer) -> None:
        answer.close(key)
        answer.attach_state(key, state(data), redacted=redacted)

    return step


def same(written: str | bytes) -> str:
    """JSON in the one form that equal values have."""
    return json.dumps(json.loads(written), sort_keys=True)


def parts_of(message: ChatMessage) -> list[ContentPart]:
    """The parts of a message, in its short form or not, without what clients do not keep: the model of their state, and
    the spaces in JSON that they read."""
    parts = [ContentPart.FromString(part.SerializeToString()) for part in message.parts]
    if not parts and message.content:
        parts.append(ContentPart(text=message.content))
    if not message.parts:
        parts += [ContentPart(tool_call=call) for call in message.tool_calls]
    for part in parts:
        if part.HasField("provider_state"):
            part.provider_state.ClearField("model")
            part.provider_state.data = same(part.provider_state.data).encode()
        if part.HasField("tool_call"):
            part.tool_call.arguments_json = same(part.tool_call.arguments_json)
        part.ClearField("citations_json")
    return parts
