"""Puts a registered prompt before a conversation."""

from __future__ import annotations

from typing import NamedTuple

from proto import models_pb2
from services.models.prompt_registry import PromptRegistry
from services.models.providers.base import Conversation
from services.shared.errors import FieldViolation, InvalidRequest


class Prompted(NamedTuple):
    conversation: Conversation
    prompt: models_pb2.ResolvedPrompt | None
    """The prompt that was used, if any."""


def with_system_prompt(request: models_pb2.ChatRequest, prompts: PromptRegistry) -> Prompted:
    """The conversation that is to be sent, its system prompt first. Raises NotFound for an unknown prompt, and
    InvalidRequest for one whose variables nobody has filled."""
    name = request.system_prompt_name
    if not name:
        return Prompted(Conversation(request, request.messages), None)
    prompt = prompts.in_force(name)
    if prompt.variables:
        variables = ", ".join(prompt.variables)
        text = f"prompt {name} has variables without values: {variables}"
        violation = FieldViolation("system_prompt_name", text)
        raise InvalidRequest(text, reason="PROMPT_VARIABLES_MISSING", violations=[violation])
    if prompt.HasField("defaults"):
        request = _with_defaults(request, prompt.defaults)
    messages = [models_pb2.ChatMessage(role="system", content=prompt.content), *request.messages]
    resolved = models_pb2.ResolvedPrompt(name=prompt.name, version=prompt.version)
    return Prompted(Conversation(request, messages, added=1), resolved)


def _with_defaults(request: models_pb2.ChatRequest, defaults: models_pb2.PromptDefaults) -> models_pb2.ChatRequest:
    """The request, with the prompt's defaults wherever it says nothing itself."""
    merged = models_pb2.ChatRequest()
    merged.CopyFrom(request)
    merged.model = request.model or defaults.model
    if defaults.HasField("config"):
        merged.config.CopyFrom(_merged_config(request.config, defaults.config))
    if not request.tools:
        merged.tools.extend(defaults.tools)
    if not request.HasField("response_format") and defaults.HasField("response_format"):
        merged.response_format.CopyFrom(defaults.response_format)
    return merged


def _merged_config(config: models_pb2.ChatConfig, defaults: models_pb2.ChatConfig) -> models_pb2.ChatConfig:
    merged = models_pb2.ChatConfig()
    merged.CopyFrom(defaults)
    if config.stop_sequences:
        # Merging would append to the defaults' list.
        merged.ClearField("stop_sequences")
    merged.MergeFrom(config)
    return merged
