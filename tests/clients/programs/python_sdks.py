"""The vendors' SDKs for Python, raw and by their helpers, and what is built on them: `python_sdks.py WORK MODEL`.

Prints the result as JSON in its last line.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from typing import Any

GATEWAY = os.environ["GATEWAY"]
OPENAI_URL = f"{GATEWAY}/v1"
KEY = "sk-any"
QUESTION = "What is the weather in Oslo?"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PIXEL = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
).decode()

_, WORK, MODEL = sys.argv


def rain(arguments: str | dict[str, Any]) -> str:
    return f"rain in {(json.loads(arguments) if isinstance(arguments, str) else arguments)['city']}"


# --------------------------------------------------------------------------------------------------- openai


def openai_chat() -> Any:
    import openai

    client = openai.OpenAI(base_url=OPENAI_URL, api_key=KEY)
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}]
    messages: Any = [{"role": "user", "content": QUESTION}]
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as stream:
        first = stream.get_final_completion().choices[0].message
    messages.append(first.to_dict())
    for call in first.tool_calls or ():
        messages.append({"role": "tool", "tool_call_id": call.id, "content": rain(call.function.arguments)})
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    return {"text": second.choices[0].message.content, "model": second.model}


def openai_responses() -> Any:
    import openai

    client = openai.OpenAI(base_url=OPENAI_URL, api_key=KEY)
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]
    items: Any = [{"role": "user", "content": QUESTION}]
    more: Any = {"tools": tools, "store": False, "include": ["reasoning.encrypted_content"]}
    with client.responses.stream(model=MODEL, input=items, **more) as stream:
        first = stream.get_final_response()
    items += first.output
    for item in first.output:
        if item.type == "function_call":
            items.append({"type": "function_call_output", "call_id": item.call_id, "output": rain(item.arguments)})
    second = client.responses.create(model=MODEL, input=items, **more)
    return {"text": second.output_text, "model": second.model}


def openai_parsed() -> Any:
    import openai
    from pydantic import BaseModel

    class Weather(BaseModel):
        city: str
        rains: bool

    client = openai.OpenAI(base_url=OPENAI_URL, api_key=KEY)
    messages: Any = [{"role": "user", "content": QUESTION}]
    chat = client.chat.completions.parse(model=MODEL, messages=messages, response_format=Weather)
    response = client.responses.parse(model=MODEL, input=QUESTION, text_format=Weather)
    values = chat.choices[0].message.parsed, response.output_parsed
    return [value.model_dump() if value else None for value in values]


def openai_image() -> Any:
    import openai

    client = openai.OpenAI(base_url=OPENAI_URL, api_key=KEY)
    url = f"data:image/png;base64,{PIXEL}"
    parts: Any = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
    return {"text": answer.choices[0].message.content, "model": answer.model}


def refused() -> Any:
    import anthropic
    import openai

    client = openai.OpenAI(base_url=OPENAI_URL, api_key=KEY)
    other = anthropic.Anthropic(base_url=GATEWAY, api_key=KEY)
    messages: Any = [{"role": "user", "content": QUESTION}]
    found = []
    for call in (
        lambda: client.chat.completions.create(model=MODEL, messages=messages),
        lambda: list(client.chat.completions.create(model=MODEL, messages=messages, stream=True)),
        lambda: client.responses.create(model=MODEL, input=QUESTION),
        lambda: other.messages.create(model=MODEL, messages=messages, max_tokens=10),
        lambda: list(other.messages.create(model=MODEL, messages=messages, max_tokens=10, stream=True)),
    ):
        try:
            call()
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            found.append(error.status_code)
    return found


# ------------------------------------------------------------------------------------------------ anthropic


def anthropic_messages() -> Any:
    import anthropic

    client = anthropic.Anthropic(base_url=GATEWAY, api_key=KEY)
    more: Any = {
        "max_tokens": 4000,
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    messages: Any = [{"role": "user", "content": QUESTION}]
    with client.messages.stream(model=MODEL, messages=messages, **more) as stream:
        first = stream.get_final_message()
    messages.append({"role": "assistant", "content": first.content})
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": rain(block.input)}
        for block in first.content
        if block.type == "tool_use"
    ]
    messages.append({"role": "user", "content": results})
    second = client.messages.create(model=MODEL, messages=messages, **more)
    return {"text": second.content[-1].text, "model": second.model}


def anthropic_image() -> Any:
    import anthropic

    client = anthropic.Anthropic(base_url=GATEWAY, api_key=KEY)
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    parts: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    answer = client.messages.create(model=MODEL, messages=[{"role": "user", "content": parts}], max_tokens=100)
    return {"text": answer.content[0].text, "model": answer.model}


def anthropic_counted() -> Any:
    import anthropic

    client = anthropic.Anthropic(base_url=GATEWAY, api_key=KEY)
    messages: Any = [{"role": "user", "content": QUESTION}]
    return client.messages.count_tokens(model=MODEL, messages=messages).input_tokens


# ----------------------------------------------------------------------------------------------- frameworks


def _langchain(model: Any) -> Any:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    bound = model.bind_tools([weather])
    messages: list[Any] = [HumanMessage(QUESTION)]
    first = bound.invoke(messages)
    messages.append(first)
    messages += [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
    text, tokens = "", 0
    for piece in bound.stream(messages):
        text += piece.text if isinstance(piece.text, str) else piece.text()
        tokens += (piece.usage_metadata or {}).get("input_tokens", 0)
    return {"text": text, "tokens": tokens}


def langchain_openai() -> Any:
    from langchain_openai import ChatOpenAI

    return _langchain(ChatOpenAI(model=MODEL, base_url=OPENAI_URL, api_key=KEY, stream_usage=True))


def langchain_responses() -> Any:
    from langchain_openai import ChatOpenAI

    more: Any = {"use_responses_api": True, "store": False, "include": ["reasoning.encrypted_content"]}
    return _langchain(ChatOpenAI(model=MODEL, base_url=OPENAI_URL, api_key=KEY, **more))


def langchain_anthropic() -> Any:
    from langchain_anthropic import ChatAnthropic

    return _langchain(ChatAnthropic(model=MODEL, base_url=GATEWAY, api_key=KEY))


def _pydantic_ai(model: Any) -> Any:
    from pydantic_ai import Agent

    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    return {"text": agent.run_sync(QUESTION).output}


def pydantic_ai_openai() -> Any:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return _pydantic_ai(OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=OPENAI_URL, api_key=KEY)))


def pydantic_ai_responses() -> Any:
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return _pydantic_ai(OpenAIResponsesModel(MODEL, provider=OpenAIProvider(base_url=OPENAI_URL, api_key=KEY)))


def pydantic_ai_anthropic() -> Any:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    return _pydantic_ai(AnthropicModel(MODEL, provider=AnthropicProvider(base_url=GATEWAY, api_key=KEY)))


def _openai_agents(model: Any) -> Any:
    from agents import Agent, Runner, function_tool, set_tracing_disabled

    set_tracing_disabled(True)

    @function_tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    async def run() -> str:
        streamed = Runner.run_streamed(Agent(name="a", model=model, tools=[weather]), QUESTION)
        async for _ in streamed.stream_events():
            pass
        return str(streamed.final_output)

    return {"text": asyncio.run(run())}


def openai_agents_responses() -> Any:
    from agents import OpenAIResponsesModel
    from openai import AsyncOpenAI

    return _openai_agents(OpenAIResponsesModel(MODEL, AsyncOpenAI(base_url=OPENAI_URL, api_key=KEY)))


def openai_agents_chat() -> Any:
    from agents import OpenAIChatCompletionsModel
    from openai import AsyncOpenAI

    return _openai_agents(OpenAIChatCompletionsModel(MODEL, AsyncOpenAI(base_url=OPENAI_URL, api_key=KEY)))


def _litellm(prefix: str, base: str) -> Any:
    import litellm

    litellm.suppress_debug_info = True
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    more: Any = {"model": f"{prefix}/{MODEL}", "api_base": base, "api_key": KEY, "tools": tools}
    first = litellm.completion(messages=messages, **more).choices[0].message
    messages.append(first.model_dump())
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": rain(call.function.arguments)} for call in first.tool_calls
    ]
    pieces = litellm.completion(messages=messages, stream=True, **more)
    return {"text": "".join(piece.choices[0].delta.content or "" for piece in pieces)}


def litellm_openai() -> Any:
    return _litellm("openai", OPENAI_URL)


def litellm_anthropic() -> Any:
    return _litellm("anthropic", GATEWAY)


print(json.dumps(globals()[WORK]()))
