"""Calls everything that the platform offers, and exits non-zero at the first thing that is wrong.

    python examples/test_model_service.py

Talks to the services that run at GENAI_GATEWAY_URL (else 127.0.0.1:50051), and starts its own when none do. What it
registers it removes again, except two prompts: prompts are for good, and registering the same again changes nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from local_model import LocalModelError
from local_services import ServicesError, is_serving, local_services, stop_like_ctrl_c_on_sigterm
from models_to_use import model_to_use

from genai_platform import (
    AppendMessagesRequest,
    ArchivePromptRequest,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    CreateSessionRequest,
    DeleteMemoryRequest,
    DeleteSessionRequest,
    DeleteUserDataRequest,
    DeregisterModelRequest,
    FailedPrecondition,
    GenAIError,
    GenAIPlatform,
    GetCapabilitiesRequest,
    GetContextRequest,
    GetModelStatusRequest,
    GetPromptRequest,
    GetSessionRequest,
    InvalidRequest,
    ListMemoriesRequest,
    ListMessagesRequest,
    ListPromptEventsRequest,
    ListPromptVersionsRequest,
    ListSessionsRequest,
    NotFound,
    PreviewChatRequest,
    PromptRef,
    PutMemoryRequest,
    RegisterModelRequest,
    RegisterPromptRequest,
    RenderPromptRequest,
    SetPromptLabelRequest,
    TruncateMessagesRequest,
)
from genai_platform.environment import read_variable

DEFAULT_ADDRESS = "127.0.0.1:50051"
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130

PROMPT = "examples/brief"
PROMPT_CONTENT = "Answer in one short sentence."
TEMPLATE = "examples/trade"
UNREACHABLE = "my-model-without-a-server"
USER = "examples-test-model-service"


class Wrong(Exception):
    """The platform did something else than it promises."""


def check(holds: bool, what: str) -> None:
    """Raises Wrong unless `what` holds."""
    if not holds:
        raise Wrong(f"not true: {what}")


def expect(error: type[GenAIError], call: Callable[[], object], what: str) -> GenAIError:
    """Returns the error that the call must end with. Raises Wrong when it does not."""
    try:
        call()
    except error as expected:
        check(bool(expected.reason), f"{what} names a reason")
        return expected
    raise Wrong(f"not true: {what} ends with {error.__name__}")


def question(model: str, text: str) -> ChatRequest:
    request = ChatRequest(model=model, messages=[ChatMessage(role="user", content=text)])
    request.config.max_tokens = 16
    return request


def check_response(response: ChatResponse) -> None:
    check(response.finish_reason in ("stop", "length"), "a finish reason is given")
    check(bool(response.model and response.provider and response.response_id), "who answered is given")
    check(response.usage.prompt_tokens > 0 and response.usage.completion_tokens > 0, "tokens are counted")
    check(response.message.role == "assistant", "the message can be sent back as the next turn")


def chat(platform: GenAIPlatform, model: str) -> None:
    response = platform.models.chat(question(model, "What is the capital of France?"))
    check_response(response)
    check(response.text == response.message.content, "the text is the message's")
    follow_up = question(model, "And of Italy?")
    follow_up.messages.insert(0, ChatMessage(role="user", content="What is the capital of France?"))
    follow_up.messages.insert(1, response.message)
    check_response(platform.models.chat(follow_up))


def chat_stream(platform: GenAIPlatform, model: str) -> None:
    tokens = []
    last = None
    for chunk in platform.models.chat_stream(question(model, "Count to 5.")):
        check(last is None or not last.finish_reason, "nothing follows the last chunk")
        tokens.append(chunk.token)
        last = chunk
    check(last is not None and last.HasField("response"), "the last chunk has the whole response")
    assert last is not None
    check_response(last.response)
    check("".join(tokens) == last.response.text, "the tokens are the whole text")
    check(last.usage == last.response.usage, "the last chunk tells the usage")
    first = next(iter(platform.models.stream_text(question(model, "Count to 50."))))
    check(bool(first), "a stream can be left after its first token")


def errors(platform: GenAIPlatform, model: str) -> None:
    unknown = expect(NotFound, lambda: platform.models.chat(question("no-such-model", "Hi")), "an unknown model")
    check(unknown.reason == "MODEL_NOT_FOUND", "its reason is MODEL_NOT_FOUND")
    invalid = expect(InvalidRequest, lambda: platform.models.chat(ChatRequest(model=model)), "a chat without messages")
    check(any(violation.field == "messages" for violation in invalid.violations), "the wrong field is named")


def discovery(platform: GenAIPlatform, model: str) -> None:
    names = [info.name for info in platform.models.list_models().models]
    check(names == sorted(names), "models are listed in the order of their names")
    for name in ("gpt-4o", "gpt-4o-mini", "claude-3-5-sonnet", "claude-3-5-haiku"):
        check(name in names, f"{name} is listed")
        capabilities = platform.models.get_model_capabilities(GetCapabilitiesRequest(model=name))
        check(capabilities.context_window >= 100_000, f"the context window of {name} is known")
    status = platform.models.get_model_status(GetModelStatusRequest(name=model))
    check(status.status in ("healthy", "degraded"), f"{model} can be reached: {status.message}")
    check(bool(status.last_checked), "the status says when it was taken")


def custom_models(platform: GenAIPlatform, model: str) -> None:
    request = RegisterModelRequest(name=UNREACHABLE, endpoint="http://127.0.0.1:9/v1", adapter_type="vllm")
    registered = platform.models.register_model(request)
    try:
        check(registered.model.status == "unhealthy", "a model without a server is registered, and unhealthy")
        check(not platform.models.register_model(request).created, "registering the same again changes nothing")
        listed = [entry.name for entry in platform.models.list_registered_models().models]
        check(UNREACHABLE in listed, "a registered model is listed")
        status = platform.models.get_model_status(GetModelStatusRequest(name=UNREACHABLE))
        check(status.reason == "CONNECT_FAILED", "its status says why")
        failure = expect(GenAIError, lambda: platform.models.chat(question(UNREACHABLE, "Hi")), "calling it")
        check(failure.reason == "UPSTREAM_UNREACHABLE", "the error says that its server cannot be reached")
    finally:
        platform.models.deregister_model(DeregisterModelRequest(name=UNREACHABLE))
    gone = GetModelStatusRequest(name=UNREACHABLE)
    expect(NotFound, lambda: platform.models.get_model_status(gone), "asking for a model that was removed")


def prompts(platform: GenAIPlatform, model: str) -> None:
    request = RegisterPromptRequest(name=PROMPT, content=PROMPT_CONTENT)
    request.metadata.author = "the examples"
    version = platform.models.register_prompt(request).version
    again = platform.models.register_prompt(request)
    check(not again.created and again.version == version, "the same content is the same version")
    prompt = platform.models.get_prompt(GetPromptRequest(name=PROMPT))
    check(prompt.content == PROMPT_CONTENT and prompt.metadata.author == "the examples", "a prompt comes back whole")
    check(PROMPT in [entry.name for entry in platform.models.list_prompts().prompts], "a prompt is listed")
    versions = platform.models.list_prompt_versions(ListPromptVersionsRequest(name=PROMPT)).prompts
    check(versions[0].version == version, "versions are listed, newest first")
    with_prompt = question(model, "Who are you?")
    with_prompt.system_prompt_name = PROMPT
    response = platform.models.chat(with_prompt)
    check((response.prompt.name, response.prompt.version) == (PROMPT, version), "a chat says which prompt it used")


def sessions(platform: GenAIPlatform, model: str) -> None:
    service = platform.sessions
    session_id = service.create_session(CreateSessionRequest(user_id=USER, title="A test")).session_id
    check(service.get_session(GetSessionRequest(session_id=session_id)).title == "A test", "a session comes back")
    turn = [ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Hello")]
    appended = service.append_messages(AppendMessagesRequest(session_id=session_id, messages=turn))
    check([entry.sequence for entry in appended.messages] == [1, 2], "messages are numbered from 1")
    kept = service.list_messages(ListMessagesRequest(session_id=session_id)).messages
    check([entry.message for entry in kept] == turn, "messages come back as they were")
    window = service.get_context(GetContextRequest(session_id=session_id))
    check(len(window.messages) == len(turn), "the context is the conversation")
    cut = service.truncate_messages(TruncateMessagesRequest(session_id=session_id, from_sequence=2))
    check(cut.removed_count == 1, "a conversation can be cut")
    listed = service.list_sessions(ListSessionsRequest(user_id=USER)).sessions
    check(session_id in [entry.session_id for entry in listed], "a session is listed for its user")
    stranger = GetSessionRequest(session_id=session_id, user_id="somebody-else")
    expect(NotFound, lambda: service.get_session(stranger), "asking for another user's session")
    service.delete_session(DeleteSessionRequest(session_id=session_id))
    gone = GetSessionRequest(session_id=session_id)
    expect(NotFound, lambda: service.get_session(gone), "asking for a deleted session")


def memory(platform: GenAIPlatform, model: str) -> None:
    service = platform.sessions
    service.put_memory(PutMemoryRequest(user_id=USER, key="likes", value_json='"tea"'))
    memories = service.list_memories(ListMemoriesRequest(user_id=USER)).memories
    check([(entry.key, entry.value_json) for entry in memories] == [("likes", '"tea"')], "a memory is kept")
    service.delete_memory(DeleteMemoryRequest(user_id=USER, key="likes"))
    check(not service.list_memories(ListMemoriesRequest(user_id=USER)).memories, "a memory can be deleted")
    service.delete_user_data(DeleteUserDataRequest(user_id=USER))


def labels(platform: GenAIPlatform, model: str) -> None:
    service = platform.models
    version = service.get_prompt(GetPromptRequest(name=PROMPT)).version
    moved = service.set_prompt_label(SetPromptLabelRequest(name=PROMPT, label="examples", version=version))
    check(moved.prompt.version == version, "a label points at a version")
    found = service.get_prompt(GetPromptRequest(name=PROMPT, label="examples"))
    check((found.version, found.resolved_label) == (version, "examples"), "a prompt is found by its label")
    archive = ArchivePromptRequest(name=PROMPT, version=version)
    refused = expect(FailedPrecondition, lambda: service.archive_prompt(archive), "archiving under a label")
    check(refused.reason == "PROMPT_LABELED", "its reason is PROMPT_LABELED")
    removed = service.set_prompt_label(SetPromptLabelRequest(name=PROMPT, label="examples"))
    check(removed.previous_version == version, "removing a label says where it pointed")
    service.archive_prompt(archive)
    archive.unarchive = True
    check(service.archive_prompt(archive).prompts[0].version == version, "an archived version is brought back")
    newest = service.list_prompt_events(ListPromptEventsRequest(name=PROMPT)).events[0]
    check(newest.type == "unarchived", "the history of a prompt is kept")


def rendering(platform: GenAIPlatform, model: str) -> None:
    service = platform.models
    service.register_prompt(RegisterPromptRequest(name=TEMPLATE, content="Answer as a {{trade}}."))
    filled = PromptRef(name=TEMPLATE, variables={"trade": "baker"})
    rendered = service.render_prompt(RenderPromptRequest(prompt=filled))
    check(rendered.text == "Answer as a baker.", "variables are filled")
    empty = RenderPromptRequest(prompt=PromptRef(name=TEMPLATE))
    missing = expect(InvalidRequest, lambda: service.render_prompt(empty), "leaving a variable out")
    check(missing.reason == "PROMPT_VARIABLES_MISSING", "its reason is PROMPT_VARIABLES_MISSING")
    response = service.chat("Who are you?", model=model, prompt=filled, max_tokens=16)
    check(response.prompt.name == TEMPLATE, "a chat says which prompt it used")


def chat_in_a_session(platform: GenAIPlatform, model: str) -> None:
    with platform.sessions.create(user_id=USER, model=model, max_tokens=16) as conversation:
        try:
            first = conversation.chat("My name is Ada.")
            check(first.session_next_sequence == 3, "question and answer are kept")
            second = conversation.chat("What is my name?")
            check(second.usage.prompt_tokens > first.usage.prompt_tokens, "what was said before is sent")
            check(len(list(conversation.messages())) == 4, "two turns are four messages")
        finally:
            conversation.delete()


def preview(platform: GenAIPlatform, model: str) -> None:
    """PreviewChat: what would be sent, without sending it."""
    response = platform.models.preview_chat(PreviewChatRequest(request=question(model, "Hi there")))
    body = json.loads(response.body_json)
    check(response.method == "POST" and response.path.startswith("/"), "the preview says method and path")
    check(body["model"] == response.model and "Hi there" in response.body_json, "the preview shows the body")


def repetition(platform: GenAIPlatform, model: str) -> None:
    """A chat that is sent again with its request_id gets the first answer."""
    request = ChatRequest(model=model, messages=question(model, "Hi").messages, request_id=uuid.uuid4().hex)
    first, again = platform.models.chat(request), platform.models.chat(request)
    check(again.response_id == first.response_id, "both answers are one")
    check([notice.code for notice in again.warnings][-1:] == ["ANSWER_REPEATED"], "the second says so")


def fallback(platform: GenAIPlatform, model: str) -> None:
    """A model that cannot answer is replaced by the one that the request names."""
    request = RegisterModelRequest(name=UNREACHABLE, endpoint="http://127.0.0.1:9/v1", adapter_type="vllm")
    platform.models.register_model(request)
    try:
        messages = question(model, "Hi").messages
        answer = platform.models.chat(model=UNREACHABLE, messages=messages, fallback_models=[model])
    finally:
        platform.models.deregister_model(DeregisterModelRequest(name=UNREACHABLE))
    check([attempt.outcome for attempt in answer.attempts] == ["UPSTREAM_UNREACHABLE", "ok"], "both were tried")


def usage(platform: GenAIPlatform, model: str) -> None:
    """What was asked is in the ledger, once."""
    before = sum(row.sums.calls for row in platform.usage.list())
    platform.models.chat(question(model, "Hi"))
    rows = list(platform.usage.list(group_by=["day", "model"]))
    check(sum(row.sums.calls for row in rows) > before, "the chat is counted")
    check(platform.usage.mine().today.prompt_tokens > 0, "so are the caller's own tokens")
    text = io.StringIO()
    check(platform.usage.export(text, group_by=["day", "model"]) == len(rows), "an export has the same rows")
    check(text.getvalue().startswith("day,model,calls,"), "it begins with the names of its columns")
    check(all(call.call_id for call in platform.usage.calls()), "chats that run are listed by their ids")
    expect(NotFound, lambda: platform.usage.cancel("no-such-call"), "no other call can be ended")


CHECKS = (
    chat,
    chat_stream,
    errors,
    discovery,
    custom_models,
    prompts,
    labels,
    rendering,
    sessions,
    chat_in_a_session,
    memory,
    preview,
    repetition,
    fallback,
    usage,
)


@contextmanager
def platform_to_test() -> Iterator[GenAIPlatform]:
    """The platform that runs already, else one of our own."""
    address = read_variable("GENAI_GATEWAY_URL") or DEFAULT_ADDRESS
    if is_serving(address.rpartition("/")[2]):
        print(f"testing the services at {address}")
        with GenAIPlatform(address) as platform:
            yield platform
        return
    print(f"nothing serves at {address}, so the services are started")
    with local_services() as own_address, GenAIPlatform(own_address) as platform:
        yield platform


def main() -> int:
    """Returns the exit code: 0, 1 for what is wrong, 78 when something must be set up first, 130 after Ctrl-C."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    stop_like_ctrl_c_on_sigterm()
    current = "set-up"
    try:
        with platform_to_test() as platform, model_to_use(platform) as model:
            for checked in CHECKS:
                current = checked.__name__.replace("_", " ")
                checked(platform, model)
                print(f"  ok  {current}")
            current = "clean-up"
    except (ServicesError, LocalModelError) as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except (Wrong, GenAIError) as error:
        print(f"FAILED  {current}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    print("everything works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
