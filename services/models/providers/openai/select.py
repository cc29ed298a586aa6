"""Choice between OpenAI's two dialects: Chat Completions, or Responses for a request that only Responses supports.

Chat Completions is the default: it is cheaper to translate, and models of every age accept it. A request goes to
Responses when

  * the model is served there only;
  * it has tools, the model reasons by default or by an option of the caller, and supports both together on Responses
    only: "Function tools with reasoning_effort are not supported", says Chat Completions;
  * its history has state of OpenAI, such as encrypted reasoning, that this model accepts again: only Responses does so;
  * it asks for the text of the reasoning, which Chat Completions never shows, and the model may reason;
  * its options have members that only Responses knows;
  * it asks for a tool that OpenAI itself runs, gives a document by URL or an image by file id, or answers a tool call
    with more than text.

Servers that imitate OpenAI are left alone: few of them speak Responses.
"""

from __future__ import annotations

from proto import models_pb2
from services.models.providers.base import Conversation, Dialect, Forwarded, Native, Target
from services.models.providers.http_request import HttpRequest
from services.models.providers.openai.chat_completions.dialect import ChatCompletionsDialect
from services.models.providers.openai.common.opaque_items import accepts_items, has_owned_item
from services.models.providers.openai.common.responses_members import RESPONSES_MEMBERS
from services.models.providers.openai.common.traits import OPENAI_TRAITS
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.providers.requests.content import media_kind
from services.shared import json_text


class OpenAIDialect(ChatCompletionsDialect):
    """Chat Completions as OpenAI speaks it; requests that only Responses supports go there."""

    def select(self, conversation: Conversation, target: Target) -> Dialect:
        return OPENAI_RESPONSES if _needs_responses(target, conversation) else self

    def native(self, forwarded: Forwarded, target: Target) -> Native | None:
        if forwarded.wire == "responses":
            return OPENAI_RESPONSES.native(forwarded, target)
        facts = target.facts
        if forwarded.wire != "chat_completions":
            return super().native(forwarded, target)
        must_be_changed = facts.responses_only or (forwarded.has_tools and facts.tools_with_reasoning_need_responses)
        return None if must_be_changed else super().native(forwarded, target)

    def counting_request(self, conversation: Conversation, target: Target) -> HttpRequest | None:
        return OPENAI_RESPONSES.counting_request(conversation, target)


OPENAI = OpenAIDialect(OPENAI_TRAITS)


def _needs_responses(target: Target, conversation: Conversation) -> bool:
    request = conversation.request
    if target.facts.responses_only:
        return True
    if request.tools and _tools_need_responses(target, request):
        return True
    if request.reasoning.include_text and target.facts.can_reason is not False:
        return True
    if request.provider_options_json and _has_members_of_responses(request):
        return True
    if conversation.contents.are_plain:
        return False
    adapts = request.parameter_policy != models_pb2.PARAMETER_POLICY_PASSTHROUGH
    return any(
        _message_needs_responses(message, target, adapts=adapts) for message in conversation.messages if message.parts
    )


def _tools_need_responses(target: Target, request: models_pb2.ChatRequest) -> bool:
    if any(tool.HasField("provider_tool") for tool in request.tools):
        return True
    return target.facts.tools_with_reasoning_need_responses and _reasons(target, request)


def _reasons(target: Target, request: models_pb2.ChatRequest) -> bool:
    by_options, wanted = _asked_in_options(request), request.reasoning
    if by_options is not None:
        return by_options
    if wanted.effort:
        return wanted.effort != "none"
    if wanted.HasField("budget_tokens"):
        return True
    return target.facts.reasoning is not None and target.facts.reasoning.on_by_default


def _has_members_of_responses(request: models_pb2.ChatRequest) -> bool:
    options = request.provider_options_json.get(OPENAI_TRAITS.name, "")
    return bool(options) and not RESPONSES_MEMBERS.isdisjoint(json_text.raw_members(options))


def _asked_in_options(request: models_pb2.ChatRequest) -> bool | None:
    """True if the caller's own options ask for reasoning, False if they ask for none; None without a mention."""
    options = request.provider_options_json.get(OPENAI_TRAITS.name)
    if not options:
        return None
    members = json_text.raw_members(options)
    if "reasoning" in members:
        # The form of Responses, which Chat Completions does not know.
        return True
    effort = json_text.decode(bytes(members.get("reasoning_effort", b"null")))
    return None if effort is None else effort != "none"


def _message_needs_responses(message: models_pb2.ChatMessage, target: Target, *, adapts: bool) -> bool:
    if any(has_owned_item(part, target) for part in message.parts) and accepts_items(message, target, adapts=adapts):
        return True
    return any(_part_needs_responses(part) for part in message.parts)


def _part_needs_responses(part: models_pb2.ContentPart) -> bool:
    if part.HasField("tool_result"):
        return any(piece.HasField("media") for piece in part.tool_result.content)
    kind = media_kind(part.media) if part.HasField("media") else None
    return (kind == "document" and bool(part.media.url)) or (kind == "image" and bool(part.media.file_id))
