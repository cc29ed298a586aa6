# Generated from genai_platform/_async/models.py by tools/unasync.py. Change that file and run `make sdk`.

"""The calls of ModelService: chats, and the registries of models and prompts.

Every method takes the protobuf request and returns the protobuf response. proto/models.proto describes their fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, Unpack, overload

from google.protobuf.message import Message

from genai_platform.calls import CallOptions, Metadata
from genai_platform.channel import MODEL_SERVICE
from genai_platform.connection import GatewayConnection
from genai_platform.parsing import Model, Parsed, Schema, build_parse_request, read_answer
from genai_platform.requests import (
    ChatFields,
    Messages,
    RegistrationFields,
    build_chat_request,
    build_model_registration,
)
from genai_platform.streams import ChatStream
from proto.models_pb2 import (
    ArchivePromptRequest,
    ArchivePromptResponse,
    ChatRequest,
    ChatResponse,
    DeregisterModelRequest,
    DeregisterModelResponse,
    GetCapabilitiesRequest,
    GetModelStatusRequest,
    GetPromptRequest,
    ListModelsRequest,
    ListModelsResponse,
    ListPromptEventsRequest,
    ListPromptEventsResponse,
    ListPromptsRequest,
    ListPromptsResponse,
    ListPromptVersionsRequest,
    ListPromptVersionsResponse,
    ListRegisteredModelsRequest,
    ListRegisteredModelsResponse,
    ModelCapabilities,
    ModelStatus,
    PreviewChatRequest,
    PreviewChatResponse,
    Prompt,
    RegisterModelRequest,
    RegisterModelResponse,
    RegisterPromptRequest,
    RegisterPromptResponse,
    RenderPromptRequest,
    RenderPromptResponse,
    SetPromptLabelRequest,
    SetPromptLabelResponse,
)

Response = TypeVar("Response", bound=Message)


class Models:
    """The calls of ModelService."""

    def __init__(self, connection: GatewayConnection) -> None:
        self._connection = connection

    def chat(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> ChatResponse:
        """Sends a conversation and returns the complete answer, within 600 s unless the call or client has a `timeout`.

        Takes a ChatRequest; or a text, or a list of messages, with the request's fields as keywords:
        `platform.models.chat("Hello!", model="gpt-4o", temperature=0)`.
        """
        built = build_chat_request(request, fields)
        return self._call("Chat", built, ChatResponse, timeout=timeout, metadata=metadata)

    def chat_stream(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> ChatStream:
        """Sends a conversation and streams the answer, chunk by chunk. Leaving the stream early cancels the call."""
        return self._connection.stream_chat(build_chat_request(request, fields), timeout, metadata)

    def stream_text(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> Iterator[str]:
        """Sends a conversation and streams the text of the answer. Leaving it early cancels the call."""
        return _read_text(self.chat_stream(request, timeout=timeout, metadata=metadata, **fields))

    @overload
    def parse(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        schema: type[Model],
        strict: bool | None = True,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> Parsed[Model]: ...

    @overload
    def parse(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        schema: Mapping[str, Any],
        strict: bool | None = True,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> Parsed[Any]: ...

    def parse(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        schema: Schema,
        strict: bool | None = True,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> Parsed[Any]:
        """Sends a conversation and returns the answer as a value that follows `schema`.

        The result's `value` is an instance of `schema`, a Pydantic model or a class like it; or the parsed JSON, where
        `schema` is a JSON Schema as a dict. Its `response` is the complete answer. Takes what `chat` takes. `strict`
        asks for answers that follow the schema exactly; None is the provider's default.

        Raises ParseError, with the answer in its `response`, for a refusal, an answer that was cut off or calls tools,
        and one that does not follow the schema. To stream such an answer, give `chat_stream` a `response_format` of
        type `json_schema`: the tokens together are valid JSON.
        """
        built = build_parse_request(request, fields, schema, strict)
        response = self._call("Chat", built, ChatResponse, timeout=timeout, metadata=metadata)
        return read_answer(response, schema)

    def list_models(
        self, request: ListModelsRequest | None = None, **options: Unpack[CallOptions]
    ) -> ListModelsResponse:
        """Lists the models that a chat can name, built-in and registered, sorted by name."""
        return self._call("ListModels", request or ListModelsRequest(), ListModelsResponse, **options)

    def get_model_capabilities(
        self, request: GetCapabilitiesRequest, **options: Unpack[CallOptions]
    ) -> ModelCapabilities:
        """The features and limits of a model."""
        return self._call("GetModelCapabilities", request, ModelCapabilities, **options)

    def register_prompt(self, request: RegisterPromptRequest, **options: Unpack[CallOptions]) -> RegisterPromptResponse:
        """Stores a prompt as a new immutable version; for the content of the newest version it returns that one."""
        return self._call("RegisterPrompt", request, RegisterPromptResponse, **options)

    def get_prompt(self, request: GetPromptRequest, **options: Unpack[CallOptions]) -> Prompt:
        """One version of a prompt, by number or label; by default the one in force."""
        return self._call("GetPrompt", request, Prompt, **options)

    def list_prompts(
        self, request: ListPromptsRequest | None = None, **options: Unpack[CallOptions]
    ) -> ListPromptsResponse:
        """Lists the prompts, each as its version in force."""
        return self._call("ListPrompts", request or ListPromptsRequest(), ListPromptsResponse, **options)

    def register_model(
        self,
        request: RegisterModelRequest | None = None,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[RegistrationFields],
    ) -> RegisterModelResponse:
        """Registers a custom or self-hosted model; chats can name it at once.

        Takes a RegisterModelRequest, or its fields as keywords: `platform.models.register_model(name="mine",
        endpoints=["http://one:8000/v1", "http://two:8000/v1"], adapter_type="vllm")`.
        """
        built = build_model_registration(request, fields)
        return self._call("RegisterModel", built, RegisterModelResponse, timeout=timeout, metadata=metadata)

    def list_registered_models(
        self, request: ListRegisteredModelsRequest | None = None, **options: Unpack[CallOptions]
    ) -> ListRegisteredModelsResponse:
        """Lists the registered models, sorted by name."""
        return self._call(
            "ListRegisteredModels", request or ListRegisteredModelsRequest(), ListRegisteredModelsResponse, **options
        )

    def get_model_status(self, request: GetModelStatusRequest, **options: Unpack[CallOptions]) -> ModelStatus:
        """The health of a model, as its newest probe found it."""
        return self._call("GetModelStatus", request, ModelStatus, **options)

    def deregister_model(
        self, request: DeregisterModelRequest, **options: Unpack[CallOptions]
    ) -> DeregisterModelResponse:
        """Removes a registered model. A built-in model of the same name is served again."""
        return self._call("DeregisterModel", request, DeregisterModelResponse, **options)

    def list_prompt_versions(
        self, request: ListPromptVersionsRequest, **options: Unpack[CallOptions]
    ) -> ListPromptVersionsResponse:
        """Lists the versions of one prompt, newest first."""
        return self._call("ListPromptVersions", request, ListPromptVersionsResponse, **options)

    def set_prompt_label(
        self, request: SetPromptLabelRequest, **options: Unpack[CallOptions]
    ) -> SetPromptLabelResponse:
        """Points a label at a version, by compare-and-set."""
        return self._call("SetPromptLabel", request, SetPromptLabelResponse, **options)

    def archive_prompt(self, request: ArchivePromptRequest, **options: Unpack[CallOptions]) -> ArchivePromptResponse:
        """Hides a version, or a whole prompt, from lists, or brings it back."""
        return self._call("ArchivePrompt", request, ArchivePromptResponse, **options)

    def render_prompt(self, request: RenderPromptRequest, **options: Unpack[CallOptions]) -> RenderPromptResponse:
        """Fills the variables of a prompt without calling a model."""
        return self._call("RenderPrompt", request, RenderPromptResponse, **options)

    def list_prompt_events(
        self, request: ListPromptEventsRequest, **options: Unpack[CallOptions]
    ) -> ListPromptEventsResponse:
        """Lists the events of a prompt, newest first."""
        return self._call("ListPromptEvents", request, ListPromptEventsResponse, **options)

    def preview_chat(self, request: PreviewChatRequest, **options: Unpack[CallOptions]) -> PreviewChatResponse:
        """The exact request that `chat` would send to the provider, and its warnings, without sending it."""
        return self._call("PreviewChat", request, PreviewChatResponse, **options)

    def _call(
        self, name: str, request: Message, response_type: type[Response], **options: Unpack[CallOptions]
    ) -> Response:
        return self._connection.unary(MODEL_SERVICE, name, request, response_type, **options)


def _read_text(stream: ChatStream) -> Iterator[str]:
    with stream:
        for chunk in stream:
            if chunk.token:
                yield chunk.token
