"""The sequence of a chat, from the request to the end of its answer."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable

from proto import models_pb2
from services.models.access.allowed_models import allowed_models
from services.models.access.required_tags import check_required_tags
from services.models.access.trust import ByTrust, TrustPolicy
from services.models.attempts.attempts import Attempts, Candidate
from services.models.attempts.balance import first_usable
from services.models.attempts.limits import AttemptLimits
from services.models.calls.idempotency import Idempotency, Repeatable, append_id_of
from services.models.calls.once import Keep, answer_once, stream_once
from services.models.calls.replay import replay
from services.models.calls.shared_answers import SharedAnswers, Sharing
from services.models.capture.capture import Capture
from services.models.chat.account import Accounts
from services.models.chat.ending import RunningChat
from services.models.chat.limits import ChatLimits
from services.models.chat.preview import preview
from services.models.chat.system_prompt import Prompted, with_system_prompt
from services.models.prompts.memory import PromptMemory
from services.models.prompts.prompt_registry import PromptRegistry
from services.models.providers.base import Target
from services.models.providers.call_record import log_target
from services.models.providers.chat import chat, chat_stream
from services.models.providers.endpoints import Choose
from services.models.providers.host_disclosure import shown_host
from services.models.providers.timeouts import NO_TIMEOUTS, Timeouts, read_timeouts
from services.models.routing.fallbacks import Fallbacks
from services.models.routing.router import Router
from services.models.sessions.turn import TurnFactory
from services.models.transport.base import Transport
from services.models.validation.request import check_chat_request, check_unprompted_request
from services.models.validation.work import work_to_check
from services.shared.call import Call
from services.shared.errors import InvalidRequest
from services.shared.offload import run_in_thread_if_large


class ChatService:
    """The service for chats with any model: answers them, streams the answers, or previews the requests."""

    def __init__(
        self,
        transports: ByTrust[Transport],
        router: Router,
        fallbacks: Fallbacks,
        limits: AttemptLimits,
        idempotency: Idempotency,
        prompts: PromptMemory,
        turns: TurnFactory,
        trust: TrustPolicy,
        accounts: Accounts,
        caller_limits: ChatLimits,
        capture: Capture,
    ) -> None:
        self._transports = transports
        self._router = router
        self._fallbacks = fallbacks
        self._limits = limits
        self._idempotency = idempotency
        self._shared = SharedAnswers()
        self._prompts = prompts
        self._turns = turns
        self._trust = trust
        self._accounts = accounts
        self._caller_limits = caller_limits
        self._capture = capture

    def answer(self, request: models_pb2.ChatRequest, call: Call) -> Awaitable[models_pb2.ChatResponse]:
        """The complete answer. Raises PlatformErrors; the session is then unchanged."""
        answer = self._answer_shared if request.HasField("cache") else self._answer
        if request.request_id:
            begin = functools.partial(self._begin_repeatable, request, call)
            return answer_once(begin, functools.partial(answer, request, call))
        return answer(request, call)

    def stream(self, request: models_pb2.ChatRequest, call: Call) -> AsyncIterator[models_pb2.ChatChunk]:
        """The answer in chunks; the last one has the complete response. Raises as `answer` does."""
        stream = self._stream_shared if request.HasField("cache") else self._stream
        if request.request_id:
            begin = functools.partial(self._begin_repeatable, request, call)
            return stream_once(begin, functools.partial(stream, request, call))
        return stream(request, call)

    async def _begin_repeatable(self, request: models_pb2.ChatRequest, call: Call) -> Repeatable:
        check_required_tags(request.tags, call)
        await run_in_thread_if_large(work_to_check(request), check_unprompted_request, request)
        return await self._idempotency.begin(request, call)

    async def _answer_shared(
        self, request: models_pb2.ChatRequest, call: Call, keep: Keep | None = None
    ) -> models_pb2.ChatResponse:
        prompted = await self.prepare(request, call)
        begin = functools.partial(self._begin_sharing, prompted, call)
        return await answer_once(begin, functools.partial(self._answer, request, call, prompted=prompted), keep)

    async def _stream_shared(
        self, request: models_pb2.ChatRequest, call: Call, keep: Keep | None = None
    ) -> AsyncGenerator[models_pb2.ChatChunk, None]:
        prompted = await self.prepare(request, call)
        begin = functools.partial(self._begin_sharing, prompted, call)
        chunks = stream_once(begin, functools.partial(self._stream, request, call, prompted=prompted), keep)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def _begin_sharing(self, prompted: Prompted, call: Call) -> Sharing:
        conversation = prompted.conversation
        models = self._fallbacks.candidates(conversation.request, allowed_models(call))
        prompts = [message.content for message in conversation.messages[: len(conversation.added)]]
        source = [*self._fallbacks.definitions(models), *prompts]
        return await self._shared.begin(conversation.request, source, call)

    async def _answer(
        self,
        request: models_pb2.ChatRequest,
        call: Call,
        keep: Keep | None = None,
        prompted: Prompted | None = None,
    ) -> models_pb2.ChatResponse:
        async with await self.begin(request, call, prompted) as running:
            if earlier := running.earlier_answer:
                if keep:
                    await keep(earlier)
                return earlier
            while attempt := await running.next_attempt():
                with attempt:
                    await running.admit(attempt)
                    response = await chat(
                        self.transport_to(attempt.target),
                        attempt.target,
                        running.conversation,
                        interrupted=functools.partial(running.note_interruption, attempt),
                        reservation=call.reservation,
                        waiting=call,
                    )
                    await running.complete(response, attempt, keep)
        return response

    async def _stream(
        self,
        request: models_pb2.ChatRequest,
        call: Call,
        keep: Keep | None = None,
        prompted: Prompted | None = None,
    ) -> AsyncGenerator[models_pb2.ChatChunk, None]:
        async with await self.begin(request, call, prompted) as running:
            if earlier := running.earlier_answer:
                if keep:
                    await keep(earlier)
                for chunk in replay(earlier):
                    yield chunk
                return
            while attempt := await running.next_attempt():
                chunks = chat_stream(
                    self.transport_to(attempt.target),
                    attempt.target,
                    running.conversation,
                    interrupted=functools.partial(running.note_interruption, attempt),
                    reservation=call.reservation,
                    waiting=call,
                )
                with attempt:
                    await running.admit(attempt)
                    async with contextlib.aclosing(chunks):
                        async for chunk in chunks:
                            running.note_output(attempt)
                            if chunk.HasField("response"):
                                await running.complete(chunk.response, attempt, keep)
                            yield chunk

    async def preview(self, request: models_pb2.PreviewChatRequest, call: Call) -> models_pb2.PreviewChatResponse:
        """The upstream request that `answer` or `stream` would send. Sends no request and reads no session."""
        if not request.HasField("request"):
            raise InvalidRequest.field("request", "is required: the ChatRequest to preview")
        prompted = await self.prepare(request.request, call)
        target = self.upcoming_target(prompted.conversation.request, call)
        log_target(call, target)
        work = prompted.conversation.work()
        response = await run_in_thread_if_large(work, preview, prompted, target, stream=request.stream)
        response.host = shown_host(target, to_stranger=self._trust.is_stranger(call))
        return response

    async def begin(self, request: models_pb2.ChatRequest, call: Call, prompted: Prompted | None) -> RunningChat:
        """Prepares a chat for its exchange; `prompted` if a part of that is done."""
        prompted = prompted or await self.prepare(request, call)
        attempts = self._attempts(prompted.conversation.request, call)
        append_id = await append_id_of(request, call) if request.request_id and request.session_id else ""
        turn = self._turns.open(prompted.conversation, call, append_id)
        account = self._accounts.open(prompted, call)
        limits, by_stranger = self._caller_limits.open(call), self._trust.is_stranger(call)
        return RunningChat(prompted, attempts, turn, call, account, limits, self._capture, by_stranger=by_stranger)

    def upcoming_target(self, request: models_pb2.ChatRequest, call: Call) -> Target:
        """The target that would be asked first. Raises what the router raises; its provider need not be set up."""
        allowed = allowed_models(call)
        first, *_ = self._fallbacks.candidates(request, allowed)
        choose = functools.partial(first_usable, limits=self._limits)
        target = self._router.resolve(first, choose, allowed, for_preview=True)
        assert target
        return target

    def first_target(self, request: models_pb2.ChatRequest, call: Call) -> Target:
        """The target that is asked first, with its keys. Raises what the router raises."""
        first, *_ = self._fallbacks.candidates(request, allowed_models(call))
        choose = functools.partial(first_usable, limits=self._limits)
        target = self._resolve(call, first, NO_TIMEOUTS, choose)
        assert target
        return target

    def may_capture(self, call: Call) -> bool:
        """Whether the content of a call may be kept, for which it must be read."""
        return self._capture.may_keep(call)

    def transport_to(self, target: Target) -> Transport:
        """The transport of requests to a target."""
        return self._transports.of(target.untrusted)

    def _attempts(self, request: models_pb2.ChatRequest, call: Call) -> Attempts:
        """The attempts of a chat. Raises the error of its model, where neither that nor a fallback can be tried."""
        models = self._fallbacks.candidates(request, allowed_models(call))
        timeouts = read_timeouts(request.timeouts) if request.HasField("timeouts") else NO_TIMEOUTS
        candidates = [Candidate(model, functools.partial(self._resolve, call, model, timeouts)) for model in models]
        return Attempts(candidates, self._limits, call.remaining_seconds, by_stranger=self._trust.is_stranger(call))

    async def prepare(self, request: models_pb2.ChatRequest, call: Call) -> Prompted:
        """Adds the prompt to the conversation, and checks it."""
        check_required_tags(request.tags, call)
        prompted = await with_system_prompt(request, PromptRegistry(self._prompts, call.project_id))
        conversation = prompted.conversation
        request = conversation.request
        conversation.contents = await run_in_thread_if_large(work_to_check(request), check_chat_request, request)
        call.log_fields["model"] = request.model
        call.log_fields["call_id"] = call.call_id
        if request.tags:
            call.log_fields["tags"] = dict(request.tags)
        return prompted

    def _resolve(self, call: Call, model: str, timeouts: Timeouts, choose: Choose) -> Target | None:
        """The target of an attempt. Raises what the router raises."""
        target = self._router.resolve(model, choose, allowed_models(call))
        if target is None:
            return None
        log_target(call, target)
        if not timeouts.are_set:
            return target
        is_hurried = timeouts.are_shorter_than(target.timeouts)
        return dataclasses.replace(target, timeouts=timeouts.over(target.timeouts), is_hurried=is_hurried)
