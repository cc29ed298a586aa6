"""The vendors' own clients read the same bytes as our adapters, and must see the same answer.

Both are given the transcripts by a real server. The clients are the installed SDKs; they take seconds to load.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from services.models.providers.chat import chat_stream
from tests.rows import Test, for_each
from tests.scripted_upstream import ScriptedUpstream, event_stream
from tests.wire.adapters import ADAPTERS, Subject, talk

TRANSCRIPTS = Path(__file__).parent / "transcripts"

BEYOND_THE_SDK = {
    # Their clients want usage, know no event that is new, and wait for `response.completed` alone.
    "openai": {"no_usage"},
    "anthropic": {"pause_turn_and_unknown_event"},
    "openai_responses": {"length"},
}


class Seen(NamedTuple):
    """What an answer says, in the words of no vendor."""

    id: str
    model: str
    finish: str | None
    text: str
    refusal: str
    reasoning: str
    calls: list[tuple[str, str, Any]]
    prompt_tokens: int
    completion_tokens: int


def transcripts(folder: str) -> list[Path]:
    return [path for path in sorted((TRANSCRIPTS / folder).glob("*.sse")) if path.stem not in BEYOND_THE_SDK[folder]]


def each(folder: str) -> Callable[[Test], Test]:
    return for_each("transcript", transcripts(folder), ids=lambda path: path.stem)


async def ours(adapter: str, upstream: ScriptedUpstream) -> Seen:
    """What the platform makes of what the server plays."""
    subject = Subject(next(known for known in ADAPTERS if known.name == adapter), upstream)
    try:
        async for chunk in chat_stream(subject.transport, subject.target, talk()):
            last = chunk
    finally:
        await subject.transport.close()
    response = last.response
    parts = response.message.parts
    return Seen(
        id=response.provider_response_id,
        model=response.model,
        finish=response.raw_finish_reason,
        text=response.text,
        refusal="".join(part.refusal for part in parts),
        reasoning="".join(part.reasoning.text for part in parts),
        calls=[(call.id, call.name, arguments(call.arguments_json)) for call in response.tool_calls],
        prompt_tokens=response.usage.prompt_tokens,
        completion_tokens=response.usage.completion_tokens,
    )


def arguments(text: str) -> Any:
    """The value of a call's arguments: one SDK keeps their text, the other only what it says."""
    return json.loads(text or "{}")


def joined(text: str) -> str:
    """With the halves of characters that came in two pieces put together, which the SDK leaves to its caller."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


@each("openai")
async def test_openai_reads_chat_completions_alike(transcript: Path, upstream: ScriptedUpstream) -> None:
    from openai import AsyncOpenAI

    upstream.default = event_stream(transcript.read_bytes())
    async with AsyncOpenAI(api_key="sk-test", base_url=f"{upstream.url}/v1", max_retries=0) as client:
        asked = client.chat.completions.stream(
            model="gpt-4o",
            messages=[{"role": "user", "content": "Hello there"}],
            stream_options={"include_usage": True},
        )
        async with asked as stream:
            completion = (await stream.until_done()).current_completion_snapshot
    choice = completion.choices[0]
    calls = choice.message.tool_calls or []
    assert completion.usage is not None
    theirs = Seen(
        id=completion.id,
        model=completion.model,
        finish=choice.finish_reason,
        text=joined(choice.message.content or ""),
        refusal=choice.message.refusal or "",
        reasoning="",
        calls=[(call.id, call.function.name, arguments(call.function.arguments)) for call in calls],
        prompt_tokens=completion.usage.prompt_tokens,
        completion_tokens=completion.usage.completion_tokens,
    )
    assert await ours("openai", upstream) == theirs


@each("anthropic")
async def test_anthropic_reads_messages_alike(transcript: Path, upstream: ScriptedUpstream) -> None:
    from anthropic import AsyncAnthropic

    upstream.default = event_stream(transcript.read_bytes())
    async with AsyncAnthropic(api_key="sk-test", base_url=upstream.url, max_retries=0) as client:
        asked = client.messages.stream(
            model="claude-sonnet-4-6", max_tokens=10, messages=[{"role": "user", "content": "Hello there"}]
        )
        async with asked as stream:
            message = await stream.get_final_message()
    usage = message.usage
    theirs = Seen(
        id=message.id,
        model=message.model,
        finish=message.stop_reason,
        text="".join(block.text for block in message.content if block.type == "text"),
        refusal=(message.stop_details.explanation or "") if message.stop_details else "",
        reasoning="".join(block.thinking for block in message.content if block.type == "thinking"),
        calls=[(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"],
        prompt_tokens=usage.input_tokens
        + (usage.cache_read_input_tokens or 0)
        + (usage.cache_creation_input_tokens or 0),
        completion_tokens=usage.output_tokens,
    )
    assert await ours("anthropic", upstream) == theirs


@each("openai_responses")
async def test_openai_reads_responses_alike(transcript: Path, upstream: ScriptedUpstream) -> None:
    from openai import AsyncOpenAI

    upstream.default = event_stream(transcript.read_bytes())
    async with AsyncOpenAI(api_key="sk-test", base_url=f"{upstream.url}/v1", max_retries=0) as client:
        asked = client.responses.stream(model="gpt-5.6", input="Hello there")
        async with asked as stream:
            answer = await stream.get_final_response()
    parts = [part for item in answer.output if item.type == "message" for part in item.content]
    calls = [item for item in answer.output if item.type == "function_call"]
    thoughts = [piece for item in answer.output if item.type == "reasoning" for piece in item.summary]
    assert answer.usage is not None
    theirs = Seen(
        id=answer.id,
        model=answer.model,
        finish=answer.incomplete_details.reason if answer.incomplete_details else answer.status,
        text="".join(part.text for part in parts if part.type == "output_text"),
        refusal="".join(part.refusal for part in parts if part.type == "refusal"),
        reasoning="".join(piece.text for piece in thoughts),
        calls=[(call.call_id, call.name, arguments(call.arguments)) for call in calls],
        prompt_tokens=answer.usage.input_tokens,
        completion_tokens=answer.usage.output_tokens,
    )
    assert await ours("openai-responses", upstream) == theirs


def test_every_transcript_of_a_vendor_is_read_by_its_sdk_too() -> None:
    """Those that are left out are really there."""
    for folder, left_out in BEYOND_THE_SDK.items():
        assert left_out <= {path.stem for path in (TRANSCRIPTS / folder).glob("*.sse")}
