"""The servicer of the Model Service: passes each call to the part that answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from proto import models_pb2
from services.models.access.allowed_models import allowed_models
from services.models.access.trust import TrustPolicy
from services.models.chat.chat import ChatService
from services.models.chat.system_prompt import render_prompt
from services.models.custom_models.registration_service import RegistrationService
from services.models.prompts.memory import PromptMemory
from services.models.prompts.prompt_registry import PromptRegistry
from services.models.routing.directory import ModelDirectory
from services.shared.call import Call


class ModelServicer:
    """The calls of ModelService."""

    def __init__(
        self,
        chats: ChatService,
        directory: ModelDirectory,
        registrations: RegistrationService,
        prompts: PromptMemory,
        trust: TrustPolicy,
    ) -> None:
        self._chats = chats
        self._directory = directory
        self._registrations = registrations
        self._prompts = prompts
        self._trust = trust

    # ---------------------------------------------------------------------------------------------- chat

    async def Chat(self, request: models_pb2.ChatRequest, call: Call) -> models_pb2.ChatResponse:
        return await self._chats.answer(request, call)

    def ChatStream(self, request: models_pb2.ChatRequest, call: Call) -> AsyncIterator[models_pb2.ChatChunk]:
        return self._chats.stream(request, call)

    async def PreviewChat(self, request: models_pb2.PreviewChatRequest, call: Call) -> models_pb2.PreviewChatResponse:
        return await self._chats.preview(request, call)

    # ----------------------------------------------------------------------------------------- discovery

    async def ListModels(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:
        return await self._directory.list(request, allowed_models(call))

    async def GetModelCapabilities(
        self, request: models_pb2.GetCapabilitiesRequest, call: Call
    ) -> models_pb2.ModelCapabilities:
        return self._directory.capabilities(request, allowed_models(call))

    async def GetModelStatus(self, request: models_pb2.GetModelStatusRequest, call: Call) -> models_pb2.ModelStatus:
        to_stranger = self._trust.is_stranger(call)
        return await self._directory.status(request, allowed_models(call), to_stranger=to_stranger)

    # ------------------------------------------------------------------------------------- custom models

    async def RegisterModel(
        self, request: models_pb2.RegisterModelRequest, call: Call
    ) -> models_pb2.RegisterModelResponse:
        return await self._registrations.register(request, call)

    async def ListRegisteredModels(
        self, request: models_pb2.ListRegisteredModelsRequest, call: Call
    ) -> models_pb2.ListRegisteredModelsResponse:
        return await self._registrations.list(request, call)

    async def DeregisterModel(
        self, request: models_pb2.DeregisterModelRequest, call: Call
    ) -> models_pb2.DeregisterModelResponse:
        return await self._registrations.deregister(request, call)

    # ------------------------------------------------------------------------------------------- prompts

    async def RegisterPrompt(
        self, request: models_pb2.RegisterPromptRequest, call: Call
    ) -> models_pb2.RegisterPromptResponse:
        return await self._prompts_of(call).register(request)

    async def GetPrompt(self, request: models_pb2.GetPromptRequest, call: Call) -> models_pb2.Prompt:
        return await self._prompts_of(call).get(request)

    async def ListPrompts(self, request: models_pb2.ListPromptsRequest, call: Call) -> models_pb2.ListPromptsResponse:
        return await self._prompts_of(call).list(request)

    async def ListPromptVersions(
        self, request: models_pb2.ListPromptVersionsRequest, call: Call
    ) -> models_pb2.ListPromptVersionsResponse:
        return await self._prompts_of(call).list_versions(request)

    async def SetPromptLabel(
        self, request: models_pb2.SetPromptLabelRequest, call: Call
    ) -> models_pb2.SetPromptLabelResponse:
        return await self._prompts_of(call).set_label(request)

    async def ArchivePrompt(
        self, request: models_pb2.ArchivePromptRequest, call: Call
    ) -> models_pb2.ArchivePromptResponse:
        return await self._prompts_of(call).archive(request)

    async def RenderPrompt(
        self, request: models_pb2.RenderPromptRequest, call: Call
    ) -> models_pb2.RenderPromptResponse:
        return await render_prompt(request, self._prompts_of(call))

    async def ListPromptEvents(
        self, request: models_pb2.ListPromptEventsRequest, call: Call
    ) -> models_pb2.ListPromptEventsResponse:
        return await self._prompts_of(call).list_events(request)

    def _prompts_of(self, call: Call) -> PromptRegistry:
        return PromptRegistry(self._prompts, call.project_id)
