"""ChatRequest → the body of POST /chat/completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proto import models_pb2
from services.models.providers import json_text
from services.models.providers.base import Body, Conversation, Target
from services.models.providers.options import merge_options
from services.models.providers.parameters import fit
from services.shared.errors import Unimplemented

Warnings = list[models_pb2.Notice]

TOOL_CHOICES = {
    models_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    models_pb2.TOOL_CHOICE_MODE_NONE: "none",
    models_pb2.TOOL_CHOICE_MODE_REQUIRED: "required",
}


def encode_body(dialect: str, conversation: Conversation, target: Target, *, stream: bool) -> Body:
    """Raises InvalidRequest or Unimplemented for what Chat Completions cannot say."""
    request = conversation.request
    parameters, warnings = fit(request, target.facts, target.model)
    body: dict[str, Any] = {"model": target.model, "messages": _messages(conversation, target, warnings)}
    for name, value in parameters.items():
        if name == "max_tokens":
            body[target.facts.length_parameter] = value
        elif name == "stop_sequences":
            body["stop"] = list(value)
        else:
            body[name] = value
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body.update(_tool_choice(request.tool_choice))
    if request.HasField("response_format") and request.response_format.type != "text":
        body["response_format"] = _response_format(request.response_format)
    if request.end_user_id:
        body["user"] = request.end_user_id
    if stream:
        body["stream"] = True
        # Without this a stream tells no usage at all.
        body["stream_options"] = {"include_usage": True}
    merge_options(body, request, target.default_options_json, dialect)
    return Body(json_text.encode(body), warnings)


def _messages(conversation: Conversation, target: Target, warnings: Warnings) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for path, message in conversation.numbered():
        messages.extend(_message(message, path, target, warnings))
    return messages


def _message(
    message: models_pb2.ChatMessage, path: str, target: Target, warnings: Warnings
) -> Iterator[dict[str, Any]]:
    role = message.role
    if role == "developer" and not target.facts.developer_role:
        role = "system"
    if role == "tool":
        yield from _tool_results(message)
        return
    encoded: dict[str, Any] = {"role": role}
    if role == "assistant":
        encoded.update(_assistant(message, path, warnings))
    else:
        encoded["content"] = _joined_text(message)
    if message.name:
        encoded["name"] = message.name
    yield encoded


def _joined_text(message: models_pb2.ChatMessage) -> str:
    return "".join(part.text for part in message.parts) if message.parts else message.content


def _assistant(message: models_pb2.ChatMessage, path: str, warnings: Warnings) -> dict[str, Any]:
    encoded: dict[str, Any] = {"content": _joined_text(message)}
    calls = list(message.tool_calls)
    if message.parts:
        calls = [part.tool_call for part in message.parts if part.WhichOneof("kind") == "tool_call"]
        refusal = "".join(part.refusal for part in message.parts)
        if refusal:
            encoded["refusal"] = refusal
        warnings.extend(_dropped_parts(message, path))
    if calls:
        encoded["tool_calls"] = [_tool_call(call) for call in calls]
        # An assistant turn of tool calls alone has null content in OpenAI's own transcripts.
        encoded["content"] = encoded["content"] or None
    return encoded


def _dropped_parts(message: models_pb2.ChatMessage, path: str) -> Iterator[models_pb2.Notice]:
    for index, part in enumerate(message.parts):
        if part.WhichOneof("kind") in ("reasoning", None):
            yield models_pb2.Notice(
                code="REASONING_DROPPED",
                field=f"{path}.parts[{index}]",
                message="Chat Completions takes no earlier reasoning; this part was not sent",
            )


def _tool_call(call: models_pb2.ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments_json or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _tool_results(message: models_pb2.ChatMessage) -> Iterator[dict[str, Any]]:
    if not message.parts:
        yield {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
        return
    for part in message.parts:
        if part.WhichOneof("kind") == "tool_result":
            text = "".join(piece.text for piece in part.tool_result.content)
            yield {"role": "tool", "tool_call_id": part.tool_result.tool_call_id, "content": text}
        else:
            yield {"role": "tool", "tool_call_id": message.tool_call_id, "content": part.text}


def _tool(tool: models_pb2.ToolDefinition) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters_json:
        function["parameters"] = json_text.raw(tool.parameters_json)
    if tool.HasField("strict"):
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: models_pb2.ToolChoice) -> dict[str, Any]:
    if choice.WhichOneof("choice") == "tool_name":
        return {"tool_choice": {"type": "function", "function": {"name": choice.tool_name}}}
    mode = TOOL_CHOICES.get(choice.mode)
    return {"tool_choice": mode} if mode else {}


def _response_format(wanted: models_pb2.ResponseFormat) -> dict[str, Any]:
    if wanted.type == "json_object":
        return {"type": "json_object"}
    if wanted.type != "json_schema":
        raise Unimplemented.feature(f"response_format.type {wanted.type}")
    schema: dict[str, Any] = {"name": wanted.name or "response", "schema": json_text.raw(wanted.schema_json)}
    if wanted.HasField("strict"):
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}
