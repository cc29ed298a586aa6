"""What a dialect may say of its HTTP request: the model and the verb in the path, another path for streams, headers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from services.models.chat.preview import preview
from services.models.chat.system_prompt import Prompted
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.chat import chat, chat_stream
from services.models.providers.facts import ModelFacts
from services.models.providers.http_request import HttpRequest, path_segment
from services.models.providers.openai.chat_completions.dialect import ChatCompletionsDialect
from services.models.providers.openai.common.traits import Traits
from services.models.transport.client import HttpClient
from services.shared.errors import PreconditionFailed
from tests.rows import for_each
from tests.scripted_upstream import Received, Script, ScriptedUpstream, answer, event_stream
from tests.wire.adapters import JSON, talk
from tests.wire.dialects import HELLO, encode
from tests.wire.speeches.chat_completions import OpenAISpeech

SPEECH = OpenAISpeech()

MODEL = "team/gemini 3?"
WHOLE = "/v1beta/models/team%2Fgemini%203%3F:generateContent"
STREAM = "/v1beta/models/team%2Fgemini%203%3F:streamGenerateContent?alt=sse"


class ModelInPathDialect(ChatCompletionsDialect):
    """The paths of Gemini's generateContent (https://ai.google.dev/api/generate-content), with an answer that is read
    here already."""

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        contents = [{"role": message.role, "parts": [{"text": message.content}]} for message in conversation.messages]
        request = HttpRequest(
            f"/models/{path_segment(target.model)}:{verb}",
            json.dumps({"contents": contents}).encode(),
            {"x-goog-api-client": "genai"},
        )
        return Encoded(request, [], stream)


GOOGLE = ModelInPathDialect(Traits("google", "Google", {}))


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=play) as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[HttpClient]:
    transport = HttpClient()
    yield transport
    await transport.close()


def play(received: Received) -> Script:
    if received.path == STREAM:
        return event_stream(*SPEECH.events(HELLO))
    return answer(encode(SPEECH.body(HELLO)), headers=JSON)


def target_at(endpoint: str, model: str = MODEL) -> Target:
    return Target(GOOGLE, "google", model, endpoint, {"x-goog-api-key": "secret"}, ModelFacts())


async def test_each_verb_goes_to_the_path_that_the_dialect_gives(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    target = target_at(f"{upstream.url}/v1beta")
    response = await chat(transport, target, talk())
    chunks = [chunk async for chunk in chat_stream(transport, target, talk())]
    assert response.text == chunks[-1].response.text == "Hello wörld \U0001f600"
    assert [(sent.method, sent.path) for sent in upstream.requests] == [("POST", WHOLE), ("POST", STREAM)]
    for sent in upstream.requests:
        assert sent.json() == {"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]}
        assert sent.headers["x-goog-api-client"] == "genai"
        assert sent.headers["x-goog-api-key"] == "secret"
        assert sent.headers["content-type"] == "application/json"


@pytest.mark.parametrize("stream", [False, True])
async def test_preview_shows_the_request_that_is_sent(
    upstream: ScriptedUpstream, transport: HttpClient, stream: bool
) -> None:
    target = target_at(f"{upstream.url}/v1beta")
    if stream:
        [_ async for _ in chat_stream(transport, target, talk())]
    else:
        await chat(transport, target, talk())
    shown = preview(Prompted(talk(), None), target, stream=stream)
    (sent,) = upstream.requests
    assert (shown.method, f"/v1beta{shown.path}") == (sent.method, sent.path)
    assert shown.body_json.encode() == sent.body


async def test_other_roots_are_asked_for_the_same_path(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    upstream.play(answer(b"", status=404))
    target = Target(
        GOOGLE, "google", MODEL, f"{upstream.url}/v9", {}, ModelFacts(), other_roots=(f"{upstream.url}/v1beta",)
    )
    await chat(transport, target, talk())
    assert [sent.path for sent in upstream.requests] == [WHOLE.replace("/v1beta", "/v9"), WHOLE]


@for_each(
    ("text", "segment"),
    [
        ("gemini-3", "gemini-3"),
        ("a/../b", "a%2F..%2Fb"),
        ("..%2f", "..%252f"),
        ("a?b#c", "a%3Fb%23c"),
        ("x\r\ny", "x%0D%0Ay"),
        ("ö", "%C3%B6"),
    ],
)
def test_id_stays_one_segment_of_a_path(text: str, segment: str) -> None:
    assert path_segment(text) == segment


@pytest.mark.parametrize("model", ["", ".", ".."])
async def test_id_that_leads_elsewhere_is_sent_nowhere(
    upstream: ScriptedUpstream, transport: HttpClient, model: str
) -> None:
    with pytest.raises(PreconditionFailed) as raised:
        await chat(transport, target_at(upstream.url, model), talk())
    assert raised.value.reason == "UPSTREAM_REQUEST_INVALID"
    assert not upstream.requests
