"""ChatRequest → POST /responses. https://platform.openai.com/docs/api-reference/responses/create"""

from __future__ import annotations

from typing import Any

from proto import models_pb2
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.http_request import HttpRequest
from services.models.providers.openai.common.audio_output import refuse_audio
from services.models.providers.openai.common.identifiers import encode_identifiers
from services.models.providers.openai.common.reasoning_rules import drop_excluded
from services.models.providers.openai.common.schemas import name_schema
from services.models.providers.openai.common.traits import Traits
from services.models.providers.openai.common.translation import BETA_HEADER, OpenAITranslation
from services.models.providers.openai.responses.input_items import encode_input
from services.models.providers.openai.responses.reasoning import encode_reasoning, respell_effort
from services.models.providers.openai.responses.tools import encode_tools
from services.models.providers.requests.options import merge_options
from services.models.providers.requests.parameters import NEUTRAL, fit
from services.shared import json_text

PATH = "/responses"

MEMBERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_output_tokens",
    "parallel_tool_calls": "parallel_tool_calls",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
}
"""Names in Responses of the fields of ChatConfig that it takes."""

MIN_OUTPUT_TOKENS = 16
"""Responses refuses less: "integer below minimum value. Expected a value >= 16"."""

ENCRYPTED_REASONING = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"


def encode_request(traits: Traits, conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
    """The request in the dialect. Raises InvalidRequest or Unimplemented for content that Responses has no form for."""
    request = conversation.request
    translation = OpenAITranslation(request, target, traits)
    body: dict[str, Any] = {
        "model": target.model,
        "input": encode_input(conversation, translation),
        # Nothing of a conversation stays with the provider, so reasoning travels with it, encrypted.
        "store": False,
    }
    parameters = _parameters(translation)
    include = [ENCRYPTED_REASONING] if target.facts.can_reason is not False else []
    if parameters.pop("logprobs", False):
        include.append(LOGPROBS)
    if include:
        body["include"] = include
    body.update(parameters)
    body.update(encode_tools(translation))
    if request.HasField("response_format") and request.response_format.type != "text":
        body["text"] = {"format": _format(request.response_format, translation)}
    body.update(encode_identifiers(translation))
    if stream:
        body["stream"] = True
    refuse_audio(translation)
    translation.raise_refusals()
    translation.notices.extend(merge_options(body, target.default_options_json, translation.options_json))
    respell_effort(body)
    upstream = HttpRequest(PATH, json_text.encode(body), translation.headers(BETA_HEADER))
    return Encoded(upstream, translation.notices, stream)


def _parameters(translation: OpenAITranslation) -> dict[str, Any]:
    """Sampling, length and reasoning, under the names of the dialect."""
    given, notices = fit(translation.request, translation.target.facts, translation.target.model)
    translation.notices.extend(notices)
    reasoning = encode_reasoning(translation)
    drop_excluded(given, reasoning.get("effort"), translation)
    parameters: dict[str, Any] = {}
    for name, value in given.items():
        if name in MEMBERS:
            parameters[MEMBERS[name]] = value
        elif not translation.adapts:
            parameters[name] = list(value) if name == "stop_sequences" else value
        elif value != NEUTRAL.get(name):
            translation.warn_dropped(f"config.{name}", f"OpenAI's Responses takes no {name}; it was not sent")
    if translation.adapts:
        _raise_length(parameters, translation)
    return {**parameters, "reasoning": reasoning} if reasoning else parameters


def _raise_length(parameters: dict[str, Any], translation: OpenAITranslation) -> None:
    if parameters.get("max_output_tokens", MIN_OUTPUT_TOKENS) < MIN_OUTPUT_TOKENS:
        parameters["max_output_tokens"] = MIN_OUTPUT_TOKENS
        problem = f"OpenAI's Responses takes no less than {MIN_OUTPUT_TOKENS}; {MIN_OUTPUT_TOKENS} was sent"
        translation.warn_changed("config.max_tokens", problem)


def _format(wanted: models_pb2.ResponseFormat, translation: OpenAITranslation) -> dict[str, Any]:
    if wanted.type == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", **name_schema(wanted, translation)}
