"""ModelService: each method checks its request, asks whoever knows, and answers. No rules live here."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator

from google.protobuf.duration_pb2 import Duration

from proto import models_pb2
from services.models.chat.host_disclosure import ToldHost
from services.models.chat.preview import preview
from services.models.chat.system_prompt import Prompted, render_prompt, with_system_prompt
from services.models.custom_models.model_registry import REPLACED, ModelRegistry
from services.models.custom_models.registration import describe
from services.models.prompts.prompt_registry import PromptRegistry
from services.models.providers.base import FEW_PARTS, HISTORY_FIELD, Conversation, Target
from services.models.providers.exchange import chat, chat_stream, usage_facts
from services.models.providers.openai.select import suited
from services.models.routing.directory import ModelDirectory
from services.models.routing.router import Router
from services.models.sessions.turn import Turns
from services.models.transport.client import Transport
from services.models.trust import ByTrust
from services.models.validation.fields import shorten
from services.models.validation.request import check_chat_request, work_to_check
from services.shared.beside_loop import run_beside_if_large
from services.shared.errors import InvalidRequest
from services.shared.rpc import Call, new_id


class ModelServicer:
    """The calls of ModelService."""

    def __init__(
        self,
        transports: ByTrust[Transport],
        router: Router,
        directory: ModelDirectory,
        models: ModelRegistry,
        prompts: PromptRegistry,
        turns: Turns,
        *,
        exposed: bool,
    ) -> None:
        """`exposed` says that anybody may call here; of other calls the gateway tells."""
        self._exposed = exposed
        self._transports = transports
        self._router = router
        self._directory = directory
        self._models = models
        self._prompts = prompts
        self._turns = turns

    # ---------------------------------------------------------------------------------------------- chat

    async def Chat(self, request: models_pb2.ChatRequest, call: Call) -> models_pb2.ChatResponse:
        prompted, target = await self._prepare(request, call)
        with ToldHost(target, to_stranger=self._is_strangers(call)):
            async with self._turns.open(prompted.conversation, call) as turn:
                response = await chat(
                    self._transports.of(target.untrusted),
                    await _suited(target, turn.conversation),
                    turn.conversation,
                    interrupted=functools.partial(_record_usage, call),
                    room=call.room,
                )
                await turn.complete(response)
        _finish(response, prompted, target, call)
        return response

    async def ChatStream(self, request: models_pb2.ChatRequest, call: Call) -> AsyncIterator[models_pb2.ChatChunk]:
        prompted, target = await self._prepare(request, call)
        first_token_seconds: float | None = None
        with ToldHost(target, to_stranger=self._is_strangers(call)):
            async with (
                self._turns.open(prompted.conversation, call) as turn,
                contextlib.aclosing(
                    chat_stream(
                        self._transports.of(target.untrusted),
                        await _suited(target, turn.conversation),
                        turn.conversation,
                        interrupted=functools.partial(_record_usage, call),
                        room=call.room,
                    )
                ) as chunks,
            ):
                async for chunk in chunks:
                    if first_token_seconds is None:
                        first_token_seconds = call.elapsed_seconds()
                    if chunk.HasField("response"):
                        await turn.complete(chunk.response)
                        _finish(chunk.response, prompted, target, call)
                        chunk.response.timing.first_token.CopyFrom(_duration(first_token_seconds))
                        call.facts["first_token_ms"] = round(first_token_seconds * 1000, 3)
                    yield chunk

    async def PreviewChat(self, request: models_pb2.PreviewChatRequest, call: Call) -> models_pb2.PreviewChatResponse:
        if not request.HasField("request"):
            raise InvalidRequest.field("request", "is required: the ChatRequest to preview")
        prompted, target = await self._prepare(request.request, call, for_preview=True)
        suited_target = await _suited(target, prompted.conversation)
        work = prompted.conversation.work()
        return await run_beside_if_large(work, preview, prompted, suited_target, stream=request.stream)

    async def _prepare(
        self, request: models_pb2.ChatRequest, call: Call, *, for_preview: bool = False
    ) -> tuple[Prompted, Target]:
        """Everything that can be said about a request before anything is sent."""
        prompted = await with_system_prompt(request, self._prompts)
        request = prompted.conversation.request
        contents = await run_beside_if_large(work_to_check(request), check_chat_request, request)
        prompted.conversation.contents = contents
        call.facts["model"] = request.model
        if request.tags:
            call.facts["tags"] = dict(request.tags)
        target = self._router.resolve(request.model, for_preview=for_preview)
        call.facts["provider"] = target.provider
        call.facts["upstream_model"] = target.model
        if target.registered_model:
            call.facts["registered_model"] = target.registered_model
        return prompted, target

    # ----------------------------------------------------------------------------------------- discovery

    async def ListModels(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:
        return self._directory.list(request)

    async def GetModelCapabilities(
        self, request: models_pb2.GetCapabilitiesRequest, call: Call
    ) -> models_pb2.ModelCapabilities:
        return self._directory.capabilities(request)

    async def GetModelStatus(self, request: models_pb2.GetModelStatusRequest, call: Call) -> models_pb2.ModelStatus:
        return await self._directory.status(request)

    # ------------------------------------------------------------------------------------- custom models

    async def RegisterModel(
        self, request: models_pb2.RegisterModelRequest, call: Call
    ) -> models_pb2.RegisterModelResponse:
        by_stranger = self._is_strangers(call)
        call.facts.update(caller=call.caller, untrusted=by_stranger, **describe(request))
        response = await self._models.register(request, by_stranger=by_stranger)
        call.facts["outcome"] = _outcome(request, response)
        return response

    async def ListRegisteredModels(
        self, request: models_pb2.ListRegisteredModelsRequest, call: Call
    ) -> models_pb2.ListRegisteredModelsResponse:
        return await self._models.list(request)

    async def DeregisterModel(
        self, request: models_pb2.DeregisterModelRequest, call: Call
    ) -> models_pb2.DeregisterModelResponse:
        by_stranger = self._is_strangers(call)
        call.facts.update(caller=call.caller, model=shorten(request.name), untrusted=by_stranger)
        response = await self._models.deregister(request, by_stranger=by_stranger)
        call.facts["outcome"] = "removed"
        return response

    def _is_strangers(self, call: Call) -> bool:
        return self._exposed or call.came_exposed

    # ------------------------------------------------------------------------------------------- prompts

    async def RegisterPrompt(
        self, request: models_pb2.RegisterPromptRequest, call: Call
    ) -> models_pb2.RegisterPromptResponse:
        return await self._prompts.register(request)

    async def GetPrompt(self, request: models_pb2.GetPromptRequest, call: Call) -> models_pb2.Prompt:
        return await self._prompts.get(request)

    async def ListPrompts(self, request: models_pb2.ListPromptsRequest, call: Call) -> models_pb2.ListPromptsResponse:
        return await self._prompts.list(request)

    async def ListPromptVersions(
        self, request: models_pb2.ListPromptVersionsRequest, call: Call
    ) -> models_pb2.ListPromptVersionsResponse:
        return await self._prompts.list_versions(request)

    async def SetPromptLabel(
        self, request: models_pb2.SetPromptLabelRequest, call: Call
    ) -> models_pb2.SetPromptLabelResponse:
        return await self._prompts.set_label(request)

    async def ArchivePrompt(
        self, request: models_pb2.ArchivePromptRequest, call: Call
    ) -> models_pb2.ArchivePromptResponse:
        return await self._prompts.archive(request)

    async def RenderPrompt(
        self, request: models_pb2.RenderPromptRequest, call: Call
    ) -> models_pb2.RenderPromptResponse:
        return await render_prompt(request, self._prompts)

    async def ListPromptEvents(
        self, request: models_pb2.ListPromptEventsRequest, call: Call
    ) -> models_pb2.ListPromptEventsResponse:
        return await self._prompts.list_events(request)


async def _suited(target: Target, conversation: Conversation) -> Target:
    """The target in the dialect that carries the conversation, which a session's history may decide too."""
    if conversation.contents.parts <= FEW_PARTS and HISTORY_FIELD not in conversation.added:
        return suited(target, conversation)
    return await run_beside_if_large(conversation.work(), suited, target, conversation)


def _finish(response: models_pb2.ChatResponse, prompted: Prompted, target: Target, call: Call) -> None:
    """Adds what only the service knows, and tells the log what was used."""
    elapsed = call.elapsed_seconds()
    response.response_id = f"chat-{new_id()}"
    duration = _duration(elapsed)
    response.attempts.add(model=target.model, provider=target.provider, outcome="ok", latency=duration)
    response.timing.total.CopyFrom(duration)
    response.source = target.source
    if target.registered_model:
        response.registered_model = target.registered_model
    if prompted.prompt:
        response.prompt.CopyFrom(prompted.prompt)
        response.warnings.extend(prompted.warnings)
    call.facts["response_id"] = response.response_id
    call.facts["finish_reason"] = response.finish_reason
    _record_usage(call, response.usage)


def _outcome(request: models_pb2.RegisterModelRequest, response: models_pb2.RegisterModelResponse) -> str:
    if request.validate_only:
        return "validated"
    if not response.created:
        return "unchanged"
    return "replaced" if any(warning.code == REPLACED for warning in response.warnings) else "created"


def _record_usage(call: Call, usage: models_pb2.TokenUsage) -> None:
    """Tells the log what was used, of an answer that did not come to its end too."""
    call.facts.update(usage_facts(usage))


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
