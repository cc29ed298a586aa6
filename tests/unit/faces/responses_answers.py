"""Answers as providers give them, asked and written by the face of Responses, and read by OpenAI's own client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import httpx2

from proto.models_pb2 import ChatChunk, ChatResponse, Logprobs, ProviderState, TokenLogprob, TokenUsage
from services.models.faces.base import About
from services.models.faces.responses.face import RESPONSES, AskedResponse
from services.models.providers.answers.answer import Answer

if TYPE_CHECKING:
    import openai

ABOUT = About("0a1b", 1_800_000_000)
USAGE = TokenUsage(
    prompt_tokens=11,
    completion_tokens=7,
    total_tokens=18,
    cached_prompt_tokens=3,
    cache_write_tokens=2,
    reasoning_tokens=5,
)

FIND = {"type": "function", "name": "find", "parameters": {"type": "object"}}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edits files."}
FILES = {
    "type": "namespace",
    "name": "files",
    "description": "Files.",
    "tools": [
        {"type": "function", "name": "read", "parameters": {"type": "object"}},
        {"type": "custom", "name": "edit"},
    ],
}
TOOLS = [FIND, PATCH, FILES, {"type": "web_search"}]


def asked(**members: Any) -> AskedResponse:
    """A request that was read."""
    body = {"model": "gpt", "input": "Hello", "tools": TOOLS, **members}
    return RESPONSES.read(json.dumps(body).encode())


class Scripted(Answer):
    """An answer whose chunks are taken as it grows."""

    def __init__(self, owner: str = "openai") -> None:
        super().__init__()
        self.model, self.state_owner, self.usage = "m", owner, USAGE
        self.chunks: list[ChatChunk] = []

    def say(self, key: int, kind: Any, *pieces: str) -> Scripted:
        for piece in pieces:
            self.add(key, kind, piece)
            self.take()
        return self

    def call(self, key: int, call_id: str, name: str, *pieces: str) -> Scripted:
        self.open_tool_call(key, call_id, name)
        self.take()
        for piece in pieces:
            self.add_arguments(key, piece)
            self.take()
        return self

    def keep(self, key: int, state: bytes, *, redacted: bool = False) -> Scripted:
        self.attach_state(key, ProviderState(model="m", data=state), redacted=redacted)
        self.take()
        return self

    def source(self, key: int, citations: str) -> Scripted:
        self.cite(key, citations)
        return self

    def rate(self, key: int, token: str) -> Scripted:
        """Says a token with its logprob."""
        self.add(key, "text", token)
        self.add_logprobs(key, Logprobs(content=[TokenLogprob(token=token, logprob=-0.5, token_bytes=token.encode())]))
        self.take()
        return self

    def take(self) -> None:
        self.chunks += self.drain_chunks()

    def ended(self, reason: str = "stop") -> list[ChatChunk]:
        """All chunks of the complete answer."""
        self.finish(reason, reason)
        self.complete()
        self.take()
        return [*self.chunks, self.last_chunk()]


def streamed(chunks: Sequence[ChatChunk], ask: AskedResponse | None = None) -> bytes:
    encoder = (ask or asked()).encoder(ABOUT)
    return b"".join(map(encoder.feed, chunks))


def whole(chunks: Sequence[ChatChunk], ask: AskedResponse | None = None) -> bytes:
    response: ChatResponse = chunks[-1].response
    return (ask or asked()).whole(response, ABOUT)


def events_of(written: bytes) -> list[dict[str, Any]]:
    """The events, whose two names and numbers must agree."""
    events = []
    for number, text in enumerate(written.decode().removesuffix("\n\n").split("\n\n")):
        name, data = text.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        events.append(event)
    return events


def names_of(written: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events_of(written)]


def client(body: bytes, *, streams: bool = True) -> openai.OpenAI:
    """OpenAI's client of a server that always gives this answer."""
    import openai

    kind = "text/event-stream" if streams else "application/json"

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": kind}, content=body)

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(
        api_key="k", base_url="http://here/v1", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


THOUGHT = b'{"type":"reasoning","id":"rs_9","summary":[{"type":"summary_text","text":"Hm."}],"encrypted_content":"abc"}'
SECRET = b'{"type":"reasoning","id":"rs_9","summary":[],"encrypted_content":"abc"}'
SAID = (
    b'{"type":"message","id":"msg_9","role":"assistant","status":"completed","phase":"final_answer",'
    b'"content":[{"type":"output_text","text":"Hi","annotations":[]}]}'
)
SEARCHED = b'{"type":"web_search_call","id":"ws_9","status":"completed","action":{"type":"search","query":"x"}}'
PATCHED = b'{"type":"custom_tool_call","id":"ctc_9","call_id":"c1","name":"apply_patch","input":"{*** x"}'
READ = (
    b'{"type":"function_call","id":"fc_9","status":"completed","call_id":"c1","namespace":"files","name":"read",'
    b'"arguments":"{}"}'
)
SIGNED = b'{"type":"thinking","thinking":"Hm.","signature":"xyz"}'
REDACTED = b'{"type":"redacted_thinking","data":"xyz"}'
FETCHED = b'{"type":"server_tool_use","id":"srv_1","name":"web_fetch","input":{}}'
CITED = b'{"type":"text","text":"Hi","citations":[{"url":"http://a.test","title":"A"}]}'
EXTRA = b'{"chat_completion":{"call":{"extra_content":{"google":{"thought_signature":"s"}}}}}'

ANSWERS: dict[str, Callable[[], list[ChatChunk]]] = {
    "text": lambda: Scripted().say(0, "text", "Hel", "lo").ended(),
    "nothing": lambda: Scripted().ended(),
    "length": lambda: Scripted().say(0, "text", "Hel").ended("length"),
    "filter": lambda: Scripted().say(0, "text", "Hel").ended("content_filter"),
    "refusal": lambda: Scripted().say(0, "text", "Well.").say(1, "refusal", "No.").ended(),
    "silent refusal": lambda: Scripted().ended("refusal"),
    "reasoning": lambda: Scripted().say(0, "reasoning", "H", "m.").say(1, "text", "Hi").ended(),
    "calls": lambda: (
        Scripted().say(0, "text", "Well.").call(1, "c1", "find", "{", "}").call(2, "c2", "find", '{"a":1}').ended()
    ),
    "call without arguments": lambda: Scripted().call(0, "c1", "find").ended(),
    "lowered calls": lambda: (
        Scripted("anthropic")
        .call(0, "c1", "files__read", "{}")
        .call(1, "c2", "apply_patch", '{"inp', 'ut":"*** x"}')
        .call(2, "c3", "files__edit", '{"input":"y"}')
        .ended()
    ),
    "custom call in text": lambda: Scripted().call(0, "c1", "apply_patch", " ", "*** ", "x").ended(),
    "own reasoning": lambda: (
        Scripted().say(0, "reasoning", "Hm.").keep(0, THOUGHT).say(1, "text", "H", "i").keep(1, SAID).ended()
    ),
    "own secret reasoning": lambda: (
        Scripted().keep(0, SECRET, redacted=True).say(1, "text", "Hi").keep(1, SAID).ended()
    ),
    "own search": lambda: Scripted().keep(0, SEARCHED).say(1, "text", "Hi").keep(1, SAID).ended(),
    "own custom call": lambda: Scripted().call(0, "c1", "apply_patch", "{***", " x").keep(0, PATCHED).ended(),
    "own call in a namespace": lambda: Scripted().call(0, "c1", "read", "{}").keep(0, READ).ended(),
    "signed thinking": lambda: (
        Scripted("anthropic")
        .say(0, "reasoning", "Hm.")
        .keep(0, SIGNED)
        .keep(1, REDACTED, redacted=True)
        .keep(2, FETCHED)
        .say(3, "text", "Hi")
        .source(3, '[{"url":"http://a.test","title":"A"}]')
        .keep(3, CITED)
        .say(4, "text", " there")
        .call(5, "c1", "find", "{}")
        .ended()
    ),
    "signed call": lambda: (
        Scripted("mine").call(0, "c1", "find", "{}").call(1, "c2", "find", "{}").keep(0, EXTRA).ended()
    ),
    "logprobs": lambda: Scripted().rate(0, "Hi").ended(),
}


def every_answer() -> Iterator[tuple[str, list[ChatChunk]]]:
    return ((name, make()) for name, make in ANSWERS.items())
