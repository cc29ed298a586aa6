"""ChatRequest → POST /chat/completions."""

from __future__ import annotations

from typing import Any

from proto import models_pb2
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.http_request import HttpRequest
from services.models.providers.openai.chat_completions.messages import continues_answer, encode_messages
from services.models.providers.openai.chat_completions.reasoning import encode_reasoning
from services.models.providers.openai.chat_completions.tools import encode_tools
from services.models.providers.openai.common.audio_output import refuse_audio
from services.models.providers.openai.common.identifiers import encode_identifiers
from services.models.providers.openai.common.reasoning_rules import drop_excluded
from services.models.providers.openai.common.schemas import name_schema
from services.models.providers.openai.common.traits import Traits
from services.models.providers.openai.common.translation import BETA_HEADER, OpenAITranslation
from services.models.providers.requests.options import merge_options
from services.models.providers.requests.parameters import fit
from services.shared import json_text

PATH = "/chat/completions"


def encode_request(traits: Traits, conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
    """The request in the dialect. Raises InvalidRequest or Unimplemented for unsupported content."""
    request = conversation.request
    translation = OpenAITranslation(request, target, traits)
    messages = encode_messages(conversation, translation)
    body: dict[str, Any] = {"model": target.model, "messages": messages}
    if continues_answer(messages):
        body.update(traits.continuation)
    body.update(_parameters(translation))
    body.update(encode_tools(translation))
    if request.HasField("response_format") and request.response_format.type != "text":
        body["response_format"] = _response_format(request.response_format, translation)
    body.update(encode_identifiers(translation))
    if stream:
        body["stream"] = True
        # Without this a stream has no usage at all.
        body["stream_options"] = {"include_usage": True}
    refuse_audio(translation)
    translation.raise_refusals()
    translation.notices.extend(merge_options(body, target.default_options_json, translation.options_json))
    upstream = HttpRequest(PATH, json_text.encode(body), translation.headers(BETA_HEADER))
    return Encoded(upstream, translation.notices, stream)


def _parameters(translation: OpenAITranslation) -> dict[str, Any]:
    """Sampling, length and reasoning, under the names of the dialect."""
    request, facts = translation.request, translation.target.facts
    parameters, notices = fit(request, facts, translation.target.model)
    translation.notices.extend(notices)
    reasoning = encode_reasoning(translation)
    drop_excluded(parameters, reasoning.get("reasoning_effort"), translation)
    members: dict[str, Any] = {}
    for name, value in parameters.items():
        if name == "max_tokens":
            members[facts.length_parameter] = value
        elif name == "stop_sequences":
            members["stop"] = list(value)
        else:
            members[name] = value
    return {**members, **reasoning}


def _response_format(wanted: models_pb2.ResponseFormat, translation: OpenAITranslation) -> dict[str, Any]:
    if wanted.type == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": name_schema(wanted, translation)}
