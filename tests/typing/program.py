"""A program over the SDK, whose types `mypy --strict` must all know; it is never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from genai_platform import (
    AsyncGenAIPlatform,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    ChatResults,
    ContentPart,
    GenAIPlatform,
    Media,
    ModelStatus,
    Parsed,
    to_dict,
)
from proto import models_pb2


@dataclass
class Person:
    name: str


def weather(city: str) -> str:
    """Tells the weather."""
    return city


def blocking() -> None:
    with GenAIPlatform("localhost:50051", max_retries=0, wait_for_ready=True, timeout=5) as platform:
        response = platform.models.chat("Hi", model="m", temperature=0, tools=[weather], tool_choice="required")
        assert_type(response, ChatResponse)
        assert_type(response.usage.cost_usd, float | None)
        assert_type(platform.models.parse("Who?", schema=Person, model="m"), Parsed[Person])
        assert_type(platform.models.parse("Who?", schema=list[Person], model="m"), Parsed[list[Person]])
        platform.models.parse("Who?", schema=Person | None, model="m")
        platform.models.parse("Who?", schema={"type": "object"}, model="m")
        status = platform.models.get_model_status("m")
        assert_type(status, ModelStatus)
        assert_type(status.name, str)
        platform.models.register_model(name="m", endpoint="http://a", adapter_type="vllm")
        for model in platform.models.list_models().models:
            assert_type(model.name, str)
            assert_type(model.capabilities.context_window, int)
        results = platform.models.map(["a", [{"role": "user", "content": "b"}]], model="m", progress=True)
        assert_type(results, ChatResults)
        assert_type(results.texts, list[str | None])
        for text in platform.models.stream_text("Hi", model="m"):
            assert_type(text, str)
        with platform.models.chat_stream("Hi", model="m") as stream:
            for chunk in stream:
                assert_type(chunk.token, str)
        with platform.sessions.create(user_id="u", model="m") as conversation:
            assert_type(conversation.chat("Hi").text, str)
        for session in platform.sessions.list(user_id="u"):
            assert_type(session.session_id, str)
        platform.prompts.register("p", "text", labels=["a"])
        media = Media.from_file("cat.png")
        message = ChatMessage(role="user", parts=[ContentPart(media=media)])
        request = ChatRequest(model="m", messages=[message], tags={"a": "b"})
        same: models_pb2.ChatRequest = request
        print(to_dict(same), platform.models.chat(request).warnings[0].code)
        platform.models.preview_chat("Hi", model="m", stream=True)
        print(platform.usage.mine())


async def asynchronous() -> None:
    async with AsyncGenAIPlatform() as platform:
        assert_type(await platform.models.chat("Hi", model="m"), ChatResponse)
        assert_type(await platform.models.parse("Who?", schema=Person, model="m"), Parsed[Person])
        async for text in platform.models.stream_text("Hi", model="m"):
            assert_type(text, str)
        async with platform.sessions.create(model="m") as conversation:
            assert_type((await conversation.chat("Hi")).text, str)
        async for model in platform.models.iterate_models():
            assert_type(model.name, str)
