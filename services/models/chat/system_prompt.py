"""System prompts: a registered prompt, with its variables filled in, as the first message of a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from proto import models_pb2
from services.models.prompts.prompt_registry import PromptRegistry
from services.models.prompts.record import Resolved
from services.models.prompts.requests import check_reference
from services.models.prompts.templates import render, rendered_size
from services.models.providers.base import Conversation
from services.models.validation.fields import MAX_VIOLATIONS, shorten
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.offload import run_in_thread_if_large

MAX_RENDERED_BYTES = 16 * 1024 * 1024
"""Limit for a text with its variables filled in: a long value that is used often must not fill the memory."""

MAX_UNUSED_SHOWN = 100
FILL_WORK = 8
"""Work of a text with variables, at worst, as a multiple of one without."""


class Prompted(NamedTuple):
    conversation: Conversation
    prompt: models_pb2.ResolvedPrompt | None
    """The prompt in use, if any."""
    warnings: Sequence[models_pb2.Notice] = ()
    """Warnings about the prompt."""


class Filled(NamedTuple):
    text: str
    warnings: Sequence[models_pb2.Notice]


async def with_system_prompt(request: models_pb2.ChatRequest, prompts: PromptRegistry) -> Prompted:
    """The conversation with its system prompt first, and with the prompt's defaults for fields that are not set.

    Raises NotFound for an unknown prompt, and InvalidRequest for variables without values.
    """
    if request.HasField("prompt"):
        if request.system_prompt_name:
            raise InvalidRequest.field("system_prompt_name", "excludes prompt; set one of the two")
        check_reference(request.prompt)
        found = await _resolve(request.prompt, prompts)
        filled = await _fill(found, request.prompt.variables)
    elif request.system_prompt_name:
        found = await prompts.resolve(request.system_prompt_name)
        _refuse_variables(found.prompt)
        filled = Filled(found.prompt.content, ())
    else:
        return Prompted(Conversation(request, request.messages), None)
    if found.prompt.HasField("defaults"):
        request = with_defaults(request, found.prompt.defaults)
    field = "prompt" if request.HasField("prompt") else "system_prompt_name"
    messages = [models_pb2.ChatMessage(role="system", content=filled.text), *request.messages]
    resolved = models_pb2.ResolvedPrompt(name=found.prompt.name, version=found.prompt.version, label=found.label)
    return Prompted(Conversation(request, messages, added=(field,)), resolved, filled.warnings)


async def render_prompt(
    request: models_pb2.RenderPromptRequest, prompts: PromptRegistry
) -> models_pb2.RenderPromptResponse:
    """The text that a chat with the same reference would send. Raises as `with_system_prompt` does."""
    check_reference(request.prompt)
    found = await _resolve(request.prompt, prompts)
    filled = await _fill(found, request.prompt.variables)
    return models_pb2.RenderPromptResponse(text=filled.text, prompt=found.describe(), warnings=filled.warnings)


async def _resolve(reference: models_pb2.PromptRef, prompts: PromptRegistry) -> Resolved:
    return await prompts.resolve(reference.name, reference.version, reference.label)


async def _fill(found: Resolved, variables: Mapping[str, str]) -> Filled:
    """Calls `fill`, in a thread if there is much to fill in."""
    work = FILL_WORK * len(found.prompt.content) + sum(map(len, variables.values()))
    return await run_in_thread_if_large(work, fill, found, variables)


def fill(found: Resolved, variables: Mapping[str, str]) -> Filled:
    """The prompt's text with its variables replaced by values, and a warning for each unused value.

    Raises InvalidRequest naming all variables without values.
    """
    prompt = found.prompt
    values = dict(variables)
    missing = [name for name in prompt.variables if name not in values]
    if missing:
        fields = [FieldViolation(f"prompt.variables[{name}]", "is missing") for name in missing[:MAX_VIOLATIONS]]
        raise _missing(prompt, missing, fields)
    if rendered_size(prompt.content, values) > MAX_RENDERED_BYTES:
        raise InvalidRequest.field("prompt.variables", f"make a text of more than {MAX_RENDERED_BYTES} bytes")
    unused = sorted(values.keys() - set(prompt.variables))[:MAX_UNUSED_SHOWN]
    return Filled(render(prompt.content, values), [_unused(prompt, shorten(name)) for name in unused])


def _refuse_variables(prompt: models_pb2.Prompt) -> None:
    """Raises InvalidRequest for a prompt with variables: a reference by name alone has no values for them."""
    if prompt.variables:
        description = "has variables; ask for it with the field prompt, which takes their values"
        raise _missing(prompt, prompt.variables, [FieldViolation("system_prompt_name", description)])


def _missing(prompt: models_pb2.Prompt, names: Sequence[str], violations: Sequence[FieldViolation]) -> InvalidRequest:
    listed = ", ".join(names)
    return InvalidRequest(
        f"prompt {prompt.name} version {prompt.version} has variables without values: {listed}",
        reason="PROMPT_VARIABLES_MISSING",
        metadata={"prompt": prompt.name, "version": str(prompt.version), "variables": listed},
        violations=violations,
    )


def _unused(prompt: models_pb2.Prompt, name: str) -> models_pb2.Notice:
    message = f"prompt {prompt.name} version {prompt.version} has no variable {name}; its value is not used"
    return models_pb2.Notice(code="VARIABLE_UNUSED", field=f"prompt.variables[{name}]", message=message)


def with_defaults(request: models_pb2.ChatRequest, defaults: models_pb2.PromptDefaults) -> models_pb2.ChatRequest:
    """The request, with the prompt's defaults for fields that are not set."""
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
