"""The calls of ModelService: chats, and the registries of models and prompts.

Every method takes its request's fields as keywords, the first of them by position too, or the protobuf request, and
returns the protobuf response. proto/models.proto describes their fields. `timeout` and `metadata` are the call's own;
where the request has `metadata` too, the keyword means that, and the call's own is given beside a whole request.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from types import UnionType
from typing import Any, TypeVar, Unpack, overload

from google.protobuf.message import Message

from genai_platform._async.pages import PAGE_SIZE, read_list, read_pages
from genai_platform.batch_runs import AsyncBatchRun
from genai_platform.batches import DEFAULT_CONCURRENCY, ChatResults, build_requests
from genai_platform.building import build
from genai_platform.calls import CallOptions, Metadata
from genai_platform.channel import MODEL_SERVICE
from genai_platform.connection import AsyncGatewayConnection
from genai_platform.field_lists import with_field_lists
from genai_platform.parsing import Parsed, Value, build_parse_request, read_answer
from genai_platform.request_fields import (
    ArchivePromptFields,
    DeregisterModelFields,
    GetCapabilitiesFields,
    GetModelStatusFields,
    GetPromptFields,
    ListModelsFields,
    ListPromptEventsFields,
    ListPromptsFields,
    ListPromptVersionsFields,
    ListRegisteredModelsFields,
    RegisterModelFields,
    RegisterPromptFields,
    RenderPromptFields,
    SetPromptLabelFields,
)
from genai_platform.requests import (
    ChatFields,
    Messages,
    build_chat_request,
    build_preview,
    read_call,
)
from genai_platform.schemas import Schema
from genai_platform.streams import AsyncChatStream, check_stored
from genai_platform.v1.models_pb2 import (
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
    ModelInfo,
    ModelStatus,
    PreviewChatRequest,
    PreviewChatResponse,
    Prompt,
    RegisteredModel,
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


@with_field_lists
class AsyncModels:
    """The calls of ModelService."""

    def __init__(self, connection: AsyncGatewayConnection) -> None:
        self._connection = connection

    async def chat(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> ChatResponse:
        """Sends a conversation and returns the complete answer, within 600 s unless the call or client has a `timeout`.

        Takes a ChatRequest; or a text, or a list of messages, with the request's fields as keywords:
        `await platform.models.chat("Hello!", model="gpt-4o", temperature=0)`.
        """
        options: CallOptions = {"timeout": timeout, "metadata": metadata}
        return await self._call("Chat", ChatResponse, (build_chat_request(request, fields), options))

    def chat_stream(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> AsyncChatStream:
        """Sends a conversation and streams the answer, chunk by chunk. Leaving the stream early cancels the call."""
        return self._connection.stream_chat(build_chat_request(request, fields), timeout, metadata)

    def stream_text(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> AsyncIterator[str]:
        """Sends a conversation and streams the text of the answer. Leaving it early cancels the call.

        Raises Unavailable SESSION_APPEND_FAILED after the whole text, if it could not be stored in its session.
        """
        return _read_text(self.chat_stream(request, timeout=timeout, metadata=metadata, **fields))

    @overload
    async def parse(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        schema: type[Value],
        strict: bool | None = True,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> Parsed[Value]: ...

    @overload
    async def parse(
        self,
        request: ChatRequest | Messages | None = None,
        *,
        schema: UnionType | Mapping[str, Any],
        strict: bool | None = True,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> Parsed[Any]: ...

    async def parse(
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

        `schema` is a type, and the result's `value` one of its values: a dataclass, a TypedDict, a Pydantic model or a
        class like it, a list or a union of such. Or it is a JSON Schema as a dict, and `value` the parsed JSON. The
        result's `response` is the complete answer. Takes what `chat` takes. `strict` asks for answers that follow the
        schema exactly; None is the provider's default.

        Raises ParseError, with the answer in its `response`, for a refusal, an answer that was cut off or calls tools,
        and one that does not follow the schema. To stream such an answer, give `chat_stream` a `response_format` of
        type `json_schema`: the tokens together are valid JSON.
        """
        options: CallOptions = {"timeout": timeout, "metadata": metadata}
        built = build_parse_request(request, fields, schema, strict)
        return read_answer(await self._call("Chat", ChatResponse, (built, options)), schema)

    async def map(
        self,
        prompts: Iterable[ChatRequest | Messages],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        progress: bool = False,
        resume: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> ChatResults:
        """Sends many conversations, at most `concurrency` of them at a time, and returns their results in order.

            results = await platform.models.map(questions, model="gpt-4o", concurrency=16, progress=True)
            print(results)  # 498 answers, 2 failures, 61023 tokens, $0.1208, 41.3 s
            texts = results.texts

        A prompt is a text, a list of messages or a ChatRequest; the fields are those of `chat`, for all of them. A chat
        that fails is a result with its `error`, and ends nothing. It is tried again only where nothing was generated,
        after the time that the error asks for; fewer chats run at a time while a limit is met. Retries are at most two
        for each prompt on average.

        `progress` draws a bar on the terminal. `resume` names a file to which each answer is added as a line of JSON
        when it comes; another run with the same file asks only for what is missing in it. `timeout` is that of each
        chat.
        """
        options: CallOptions = {"timeout": timeout, "metadata": metadata}
        requests = build_requests(prompts, fields)
        return await AsyncBatchRun(self._connection, requests, concurrency, progress, resume, options).run()

    async def list_models(
        self, request: ListModelsRequest | None = None, **fields: Unpack[ListModelsFields]
    ) -> ListModelsResponse:
        """Lists the models that a chat can name, built-in and registered, sorted by name.

        All of them, as every list here; with a `page_size`, one page.
        """
        return await self._list("ListModels", ListModelsResponse, read_call(ListModelsRequest, request, fields))

    def iterate_models(
        self, *, provider: str | None = None, **options: Unpack[CallOptions]
    ) -> AsyncIterator[ModelInfo]:
        """The models that a chat can name, sorted by name; pages are read as they are reached."""
        request = build(ListModelsRequest, provider=provider, page_size=PAGE_SIZE)
        return read_pages(self.list_models, request, lambda page: page.models, options)

    async def get_model_capabilities(
        self, request: GetCapabilitiesRequest | str | None = None, **fields: Unpack[GetCapabilitiesFields]
    ) -> ModelCapabilities:
        """The features and limits of a model."""
        return await self._call(
            "GetModelCapabilities", ModelCapabilities, read_call(GetCapabilitiesRequest, request, fields)
        )

    async def register_prompt(
        self, request: RegisterPromptRequest | str | None = None, **fields: Unpack[RegisterPromptFields]
    ) -> RegisterPromptResponse:
        """Stores a prompt as a new immutable version; for the content of the newest version it returns that one."""
        return await self._call(
            "RegisterPrompt", RegisterPromptResponse, read_call(RegisterPromptRequest, request, fields)
        )

    async def get_prompt(
        self, request: GetPromptRequest | str | None = None, **fields: Unpack[GetPromptFields]
    ) -> Prompt:
        """One version of a prompt, by number or label; by default the one in force."""
        return await self._call("GetPrompt", Prompt, read_call(GetPromptRequest, request, fields))

    async def list_prompts(
        self, request: ListPromptsRequest | None = None, **fields: Unpack[ListPromptsFields]
    ) -> ListPromptsResponse:
        """Lists the prompts, each as its version in force."""
        return await self._list("ListPrompts", ListPromptsResponse, read_call(ListPromptsRequest, request, fields))

    async def register_model(
        self, request: RegisterModelRequest | str | None = None, **fields: Unpack[RegisterModelFields]
    ) -> RegisterModelResponse:
        """Registers a custom or self-hosted model; chats can name it at once.

        await platform.models.register_model("mine", endpoint="http://one:8000/v1", adapter_type="vllm")
        """
        return await self._call(
            "RegisterModel", RegisterModelResponse, read_call(RegisterModelRequest, request, fields)
        )

    async def list_registered_models(
        self, request: ListRegisteredModelsRequest | None = None, **fields: Unpack[ListRegisteredModelsFields]
    ) -> ListRegisteredModelsResponse:
        """Lists the registered models, sorted by name."""
        return await self._list(
            "ListRegisteredModels",
            ListRegisteredModelsResponse,
            read_call(ListRegisteredModelsRequest, request, fields),
        )

    def iterate_registered_models(self, **options: Unpack[CallOptions]) -> AsyncIterator[RegisteredModel]:
        """The registered models, sorted by name; pages are read as they are reached."""
        request = ListRegisteredModelsRequest(page_size=PAGE_SIZE)
        return read_pages(self.list_registered_models, request, lambda page: page.models, options)

    async def get_model_status(
        self, request: GetModelStatusRequest | str | None = None, **fields: Unpack[GetModelStatusFields]
    ) -> ModelStatus:
        """The health of a model, as its newest probe found it."""
        return await self._call("GetModelStatus", ModelStatus, read_call(GetModelStatusRequest, request, fields))

    async def deregister_model(
        self, request: DeregisterModelRequest | str | None = None, **fields: Unpack[DeregisterModelFields]
    ) -> DeregisterModelResponse:
        """Removes a registered model. A built-in model of the same name is served again."""
        return await self._call(
            "DeregisterModel", DeregisterModelResponse, read_call(DeregisterModelRequest, request, fields)
        )

    async def list_prompt_versions(
        self, request: ListPromptVersionsRequest | str | None = None, **fields: Unpack[ListPromptVersionsFields]
    ) -> ListPromptVersionsResponse:
        """Lists the versions of one prompt, newest first."""
        return await self._list(
            "ListPromptVersions", ListPromptVersionsResponse, read_call(ListPromptVersionsRequest, request, fields)
        )

    async def set_prompt_label(
        self, request: SetPromptLabelRequest | str | None = None, **fields: Unpack[SetPromptLabelFields]
    ) -> SetPromptLabelResponse:
        """Points a label at a version, by compare-and-set."""
        return await self._call(
            "SetPromptLabel", SetPromptLabelResponse, read_call(SetPromptLabelRequest, request, fields)
        )

    async def archive_prompt(
        self, request: ArchivePromptRequest | str | None = None, **fields: Unpack[ArchivePromptFields]
    ) -> ArchivePromptResponse:
        """Hides a version, or a whole prompt, from lists, or brings it back."""
        return await self._call(
            "ArchivePrompt", ArchivePromptResponse, read_call(ArchivePromptRequest, request, fields)
        )

    async def render_prompt(
        self, request: RenderPromptRequest | str | None = None, **fields: Unpack[RenderPromptFields]
    ) -> RenderPromptResponse:
        """Fills the variables of a prompt without calling a model."""
        return await self._call("RenderPrompt", RenderPromptResponse, read_call(RenderPromptRequest, request, fields))

    async def list_prompt_events(
        self, request: ListPromptEventsRequest | str | None = None, **fields: Unpack[ListPromptEventsFields]
    ) -> ListPromptEventsResponse:
        """Lists the events of a prompt, newest first."""
        return await self._list(
            "ListPromptEvents", ListPromptEventsResponse, read_call(ListPromptEventsRequest, request, fields)
        )

    async def preview_chat(
        self,
        request: PreviewChatRequest | ChatRequest | Messages | None = None,
        *,
        stream: bool = False,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[ChatFields],
    ) -> PreviewChatResponse:
        """The exact request that `chat` would send to the provider, and its warnings, without sending it.

        Takes what `chat` takes, or a PreviewChatRequest. With `stream` it is the request of `chat_stream`.
        """
        options: CallOptions = {"timeout": timeout, "metadata": metadata}
        return await self._call("PreviewChat", PreviewChatResponse, (build_preview(request, stream, fields), options))

    async def _list(self, name: str, response_type: type[Response], call: tuple[Message, CallOptions]) -> Response:
        request, options = call
        return await read_list(lambda page: self._call(name, response_type, (page, options)), request)

    async def _call(self, name: str, response_type: type[Response], call: tuple[Message, CallOptions]) -> Response:
        request, options = call
        return await self._connection.unary(MODEL_SERVICE, name, request, response_type, **options)


async def _read_text(stream: AsyncChatStream) -> AsyncIterator[str]:
    async with stream:
        async for chunk in stream:
            if chunk.token:
                yield chunk.token
    check_stored(stream.response)
