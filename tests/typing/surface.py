"""A program that uses all that the clients have; mypy and pyright must know every type, and it is never run.

Its calls, in the order of the SDK's modules, are those of tests/unit/test_sdk_typing.py, which finds one left out.
"""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, assert_type

from genai_platform import (
    AsyncGenAIPlatform,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    ChatResults,
    Conflict,
    Conversation,
    ExportReport,
    GenAIError,
    GenAIPlatform,
    ImportReport,
    InvalidRequest,
    Memory,
    ModelInfo,
    ParseError,
    Prompt,
    RegisteredModel,
    RegisterPromptResponse,
    RunningCall,
    Session,
    SessionMessage,
    UsageRow,
    __version__,
)
from genai_platform.v1.models_pb2 import ListModelsResponse


def models(platform: GenAIPlatform) -> None:
    platform.models.chat(ChatRequest(model="m", messages=[ChatMessage(role="user", content="Hi")]), timeout=5)
    stream = platform.models.chat_stream("Hi", model="m")
    assert_type([chunk.token for chunk in stream], list[str])
    assert_type(stream.response, ChatResponse | None)
    stream.close()
    assert_type(list(platform.models.stream_text("Hi", model="m")), list[str])
    parsed = platform.models.parse("Hi", schema=dict[str, int], model="m")
    assert_type(parsed.value, dict[str, int])
    results = platform.models.map(["a"], model="m", concurrency=8, resume="answers.jsonl")
    assert_type(results.cost_usd, float)
    assert_type([result.text for result in results if not result.error], list[str])
    assert_type(platform.models.list_models(provider="openai"), ListModelsResponse)
    assert_type(platform.models.iterate_models(), Iterator[ModelInfo])
    assert_type(platform.models.get_model_capabilities("m").context_window, int)
    assert_type(platform.models.register_prompt("p", content="text"), RegisterPromptResponse)
    assert_type(platform.models.get_prompt("p"), Prompt)
    assert_type(platform.models.list_prompts().prompts[0].name, str)
    platform.models.register_model(name="m", endpoint="http://localhost:8000/v1", adapter_type="openai")
    assert_type(platform.models.list_registered_models().models[0].name, str)
    assert_type(platform.models.iterate_registered_models(), Iterator[RegisteredModel])
    assert_type(platform.models.get_model_status("m").name, str)
    platform.models.deregister_model("m")
    platform.models.list_prompt_versions("p")
    platform.models.set_prompt_label("p", label="production", version=1)
    platform.models.archive_prompt("p", version=1)
    assert_type(platform.models.render_prompt(prompt={"name": "p"}).text, str)
    platform.models.list_prompt_events("p")
    assert_type(platform.models.preview_chat("Hi", model="m").model, str)


def prompts(platform: GenAIPlatform) -> None:
    assert_type(platform.prompts.register("p", "text", message="why"), RegisterPromptResponse)
    assert_type(platform.prompts.get("p", label="production", fallback="text"), Prompt)
    assert_type(platform.prompts.render("p", {"a": "b"}).text, str)
    platform.prompts.promote("p", 1, expected_version=0)
    platform.prompts.rollback("p")
    platform.prompts.archive("p", 1)
    platform.prompts.unarchive("p", 1)
    assert_type(platform.prompts.diff("p", 1, "production"), str)
    assert_type([event.actor for event in platform.prompts.history("p")], list[str])
    assert_type(platform.prompts.versions("p"), Iterator[Prompt])
    assert_type(platform.prompts.export_to("prompts"), ExportReport)
    assert_type(platform.prompts.import_from("prompts", actor="me"), ImportReport)
    assert_type(platform.prompts.list(query="p"), Iterator[Prompt])


def sessions(platform: GenAIPlatform) -> None:
    conversation = platform.sessions.create(
        user_id="u", title="t", ttl=timedelta(days=1), system="Be brief.", model="m"
    )
    assert_type(conversation, Conversation)
    talk(conversation)
    assert_type(platform.sessions.open("s", model="m"), Conversation)
    assert_type(platform.sessions.export("s", io.StringIO()), int)
    assert_type(platform.sessions.restore(io.StringIO("")), Conversation)
    memory = platform.sessions.memory("u")
    memory.set("likes", ["tea"])
    likes: Any = memory.get("likes", [])
    memory.delete("likes")
    assert_type([key for key, _ in memory.items("li") if key != likes], list[str])
    platform.sessions.create_session(session_id="s", user_id="u")
    assert_type(platform.sessions.get_session("s"), Session)
    platform.sessions.list_sessions(user_id="u")
    assert_type(platform.sessions.list(user_id="u"), Iterator[Session])
    platform.sessions.append_messages("s", messages=[{"role": "user", "content": "Hi"}])
    platform.sessions.list_messages("s")
    assert_type(platform.sessions.iterate_messages("s"), Iterator[SessionMessage])
    assert_type(platform.sessions.get_context("s").messages[0].message.content, str)
    platform.sessions.truncate_messages("s", from_sequence=3)
    platform.sessions.put_memory("u", key="k", value_json="1")
    platform.sessions.list_memories("u")
    assert_type(platform.sessions.iterate_memories("u"), Iterator[Memory])
    platform.sessions.delete_memory("u", key="k")
    platform.sessions.delete_user_data("u")
    platform.sessions.delete_session("s")


def talk(conversation: Conversation) -> None:
    assert_type(conversation.chat("Hi", temperature=0), ChatResponse)
    assert_type([chunk.token for chunk in conversation.chat_stream("Hi")], list[str])
    assert_type(conversation.stream_text("Hi"), Iterator[str])
    assert_type(conversation.messages(descending=True), Iterator[SessionMessage])
    conversation.truncate(3)
    assert_type(conversation.export("talk.jsonl"), int)
    assert_type((conversation.session_id, conversation.user_id, conversation.session), tuple[str, str, Session])
    conversation.delete()


def usage(platform: GenAIPlatform) -> None:
    assert_type(platform.usage.mine().today.cost_nano_usd, int)
    assert_type(platform.usage.list(from_day="2026-11-01", group_by=["day"]), Iterator[UsageRow])
    assert_type(platform.usage.export("usage.csv", format="csv"), int)
    assert_type(platform.usage.reprice("2026-11-01", model="gpt-*", apply=True).priced_calls, int)
    platform.usage.reprice_usage(from_day="2026-11-01")
    assert_type(platform.usage.calls(), Iterator[RunningCall])
    platform.usage.cancel("c")
    platform.usage.get_my_usage()
    platform.usage.list_usage(group_by=["model"])
    assert_type([piece.data for piece in platform.usage.export_usage(format="csv")], list[bytes])
    platform.usage.list_calls()
    platform.usage.cancel_call("c")


def errors(platform: GenAIPlatform) -> str:
    try:
        platform.models.chat("Hi", model="m")
    except InvalidRequest as error:
        return ", ".join(f"{violation.field}: {violation.description}" for violation in error.violations)
    except (Conflict, ParseError) as error:
        return error.reason
    except GenAIError as error:
        assert_type(error.retry_after, float | None)
        logging.error("%s: %s", __version__, error)
    finally:
        platform.close()
    return ""


async def asynchronous(platform: AsyncGenAIPlatform) -> None:
    assert_type(platform.models.iterate_models(), AsyncIterator[ModelInfo])
    assert_type(await platform.models.map(["a"], model="m"), ChatResults)
    assert_type(await platform.prompts.get("p"), Prompt)
    assert_type([prompt.name async for prompt in platform.prompts.list()], list[str])
    conversation = await platform.sessions.open("s")
    assert_type([text async for text in conversation.stream_text("Hi")], list[str])
    await platform.sessions.memory("u").set("likes", "tea")
    assert_type([row.sums.calls async for row in platform.usage.list()], list[int])
    stream = platform.models.chat_stream("Hi", model="m")
    assert_type([chunk.token async for chunk in stream], list[str])
    await platform.close()
