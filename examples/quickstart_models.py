"""The quick start: starts the platform, talks to a model through it, and cleans up.

    make quickstart                           set everything up and run this
    python examples/quickstart_models.py      run it in an environment that is set up already

With OPENAI_API_KEY or ANTHROPIC_API_KEY (exported, or in .env) it talks to those. Without, a real small model runs on
this machine. GENAI_MODEL chooses any other model. It starts the three services on free ports, with their data in a
temporary directory, and leaves nothing behind.
"""

from __future__ import annotations

import sys
from pathlib import Path

from example_program import Steps, run_example
from local_model import MODEL
from models_to_use import LOCAL_NAME

from genai_platform import (
    AppendMessagesRequest,
    ChatMessage,
    ChatRequest,
    CreateSessionRequest,
    GenAIPlatform,
    GetModelStatusRequest,
    GetPromptRequest,
    ListMessagesRequest,
    RegisterPromptRequest,
)


def run(steps: Steps, address: str, platform: GenAIPlatform, model: str) -> None:
    """Every kind of call once."""
    steps.show("Chat: one question, one whole answer")
    request = ChatRequest(
        model=model,
        messages=[ChatMessage(role="user", content="Say hello in one short sentence.")],
    )
    request.config.max_tokens = 32
    response = platform.models.chat(request)
    print(f"  {response.text.strip()}")
    usage = response.usage
    print(
        f"  [{response.provider}, {response.model}: {usage.prompt_tokens} + {usage.completion_tokens} tokens,"
        f" finish reason {response.finish_reason}]"
    )
    for warning in response.warnings:
        print(f"  warning {warning.code}: {warning.message}")

    steps.show("Stream: the tokens as they are generated")
    print("  ", end="")
    with platform.models.chat_stream("Count from 1 to 5.", model=model, max_tokens=32) as stream:
        for chunk in stream:
            print(chunk.token, end="", flush=True)
    assert stream.response, "a stream that ends has its response"
    print(
        f"\n  [finish reason {stream.response.finish_reason},"
        f" first token after {stream.response.timing.first_token.ToMilliseconds()} ms]"
    )

    steps.show("Models: everything that can be called by name")
    for info in platform.models.list_models().models:
        print(f"  {info.name:20} {info.provider:26} {'ready' if info.configured else 'needs a key'}")

    steps.show("Prompts: a system prompt under a name, in versions")
    registered = platform.models.register_prompt(
        RegisterPromptRequest(name="quickstart/pirate", content="You are a pirate. Answer in one short sentence.")
    )
    prompt = platform.models.get_prompt(GetPromptRequest(name="quickstart/pirate"))
    print(f"  registered {prompt.name} as version {registered.version}: {prompt.content}")
    answer = platform.models.chat("Who are you?", model=model, system_prompt_name="quickstart/pirate", max_tokens=32)
    print(f"  {answer.text.strip()}")
    print(f"  [used prompt {answer.prompt.name}, version {answer.prompt.version}]")

    steps.show("Status: can the model be reached? Asking costs nothing")
    status = platform.models.get_model_status(GetModelStatusRequest(name=model))
    print(f"  {status.name} is {status.status}: {status.message}")

    steps.show("Sessions: a conversation that is kept")
    sessions = platform.sessions
    session = sessions.create_session(CreateSessionRequest(user_id="quickstart", title="First steps"))
    turn = [ChatMessage(role="user", content="Who are you?"), answer.message]
    sessions.append_messages(AppendMessagesRequest(session_id=session.session_id, messages=turn))
    kept = sessions.list_messages(ListMessagesRequest(session_id=session.session_id)).messages
    print(f"  session {session.session_id} holds {len(kept)} messages:")
    for entry in kept:
        print(f"  {entry.sequence}. {entry.message.role}: {entry.message.content.strip()[:60]}")


def go_on(model: str) -> str:
    """The commands that serve the same model for good."""
    genai = Path(sys.executable).with_name("genai")
    shown = genai.relative_to(Path.cwd()) if genai.is_relative_to(Path.cwd()) else genai
    is_local = model == LOCAL_NAME
    return f"""
Go on with the platform, until Ctrl-C:
  {shown} serve{" --local-model" if is_local else ""}
and in another terminal:
  {shown} chat "Hello" --model {MODEL if is_local else model}"""


if __name__ == "__main__":
    sys.exit(run_example(__doc__, run, go_on))
