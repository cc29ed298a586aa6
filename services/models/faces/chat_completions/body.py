"""The shape of a request's body. https://platform.openai.com/docs/api-reference/chat/create

Members of messages that stand in no shape here are left out: SDKs send back what they have added to answers (`parsed`,
`annotations`), and so do servers' clients with members of those servers.
"""

from __future__ import annotations

import msgspec

from services.models.faces.shapes import ABSENT


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Reasoning(msgspec.Struct):
    """Reasoning as OpenRouter's clients and Open WebUI ask for it."""

    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    summary: str | None = None


class Body(msgspec.Struct):
    """The members that are read; `genai` has the platform's own fields."""

    model: str | None = None
    messages: msgspec.Raw = ABSENT
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: msgspec.Raw = ABSENT
    tool_choice: msgspec.Raw = ABSENT
    parallel_tool_calls: bool | None = None
    functions: msgspec.Raw = ABSENT
    function_call: msgspec.Raw = ABSENT
    response_format: msgspec.Raw = ABSENT
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    reasoning: Reasoning | None = None
    n: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    genai: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT


# -------------------------------------------------------------------------------------------------------- messages


class CacheMark(msgspec.Struct):
    """A mark of OpenAI's, or of Anthropic's as many clients send it."""

    ttl: str | None = None


class Url(msgspec.Struct):
    url: str
    detail: str | None = None


class Audio(msgspec.Struct):
    data: str
    format: str


class File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Thought(msgspec.Struct):
    text: str | None = None


class Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | Url | None = None
    audio_url: str | Url | None = None
    video_url: str | Url | None = None
    input_audio: Audio | None = None
    file: File | None = None
    thinking: msgspec.Raw = ABSENT
    cache_control: CacheMark | None = None
    prompt_cache_breakpoint: CacheMark | None = None


class Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = ABSENT


class Custom(msgspec.Struct):
    name: str
    input: str = ""


class Call(msgspec.Struct):
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Message(msgspec.Struct):
    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: Function | None = None
    refusal: str | None = None
    audio: msgspec.Raw = ABSENT
    reasoning_content: msgspec.Raw = ABSENT
    reasoning: msgspec.Raw = ABSENT
    reasoning_text: msgspec.Raw = ABSENT
    reasoning_details: msgspec.Raw = ABSENT
    cache_control: CacheMark | None = None


# ----------------------------------------------------------------------------------------------------------- tools


class FunctionTool(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None


class Grammar(msgspec.Struct):
    definition: str
    syntax: str


class CustomFormat(msgspec.Struct):
    type: str
    grammar: Grammar | None = None


class CustomTool(msgspec.Struct):
    name: str
    description: str | None = None
    format: CustomFormat | None = None


class Tool(msgspec.Struct):
    """A tool; `name` and what follows are those of a function in the flat form of Responses."""

    type: str = "function"
    function: FunctionTool | None = None
    custom: CustomTool | None = None
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None
    cache_control: CacheMark | None = None


class Named(msgspec.Struct):
    name: str


class Choice(msgspec.Struct):
    """A choice of tools, or one of the tools that are allowed."""

    type: str | None = None
    function: Named | None = None
    custom: Named | None = None
    name: str | None = None
    allowed_tools: AllowedTools | None = None

    @property
    def tool_name(self) -> str | None:
        named = self.function or self.custom
        return named.name if named else self.name


class AllowedTools(msgspec.Struct):
    mode: str
    tools: list[Choice]


class JsonSchema(msgspec.Struct):
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = ABSENT
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    type: str
    json_schema: JsonSchema | None = None
