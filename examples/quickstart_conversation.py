"""A conversation that is kept: three turns in one session, found again by another client, exported and restored.

    python examples/quickstart_conversation.py

With OPENAI_API_KEY or ANTHROPIC_API_KEY (exported, or in .env) it talks to those. Without, a real small model runs on
this machine. GENAI_MODEL chooses any other model. It starts the three services on free ports, with their data in a
temporary directory, and leaves nothing behind.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from example_program import Steps, check, run_example

from genai_platform import Conversation, DeleteUserDataRequest, GenAIPlatform

USER = "quickstart"


def run(steps: Steps, address: str, platform: GenAIPlatform, model: str) -> None:
    session_id = talk(steps, platform, model)
    find_again(steps, address, session_id, model)
    remember(steps, platform)
    with tempfile.TemporaryDirectory(prefix="genai-platform-") as directory:
        export(steps, platform, session_id, Path(directory) / "conversation.jsonl")

    steps.show("Forget: one call removes everything that is kept for a user")
    removed = platform.sessions.delete_user_data(DeleteUserDataRequest(user_id=USER))
    print(f"  {removed.deleted_sessions} sessions and {removed.deleted_memories} remembered value are gone")
    check((removed.deleted_sessions, removed.deleted_memories) == (2, 1), "both sessions and the value are removed")


def talk(steps: Steps, platform: GenAIPlatform, model: str) -> str:
    """Three turns. Returns the session's id."""
    steps.show("Talk: each turn is sent with what was said before, and kept with its answer")
    opening = platform.sessions.create(
        user_id=USER, title="First steps", model=model, max_tokens=24, system="Answer in one short sentence."
    )
    with opening as conversation:
        for text in ("My name is Ada.", "What is my name?"):
            print(f"  user: {text}")
            answer = conversation.chat(text)
            print(f"  assistant: {answer.text.strip()}")
            check(answer.session_id == conversation.session_id, "the answer says in which session it was given")
        print("  user: Say goodbye.\n  assistant: ", end="")
        for piece in conversation.stream_text("Say goodbye."):
            print(piece, end="", flush=True)
        print(f"\n  [session {conversation.session_id}]")
    return conversation.session_id


def find_again(steps: Steps, address: str, session_id: str, model: str) -> None:
    steps.show("Find again: the conversation is on the platform, not in the client")
    with GenAIPlatform(address) as another:
        conversation = another.sessions.open(session_id, user_id=USER, model=model, max_tokens=24)
        show_messages(conversation)
        roles = [entry.message.role for entry in conversation.messages()]
        check(roles == ["system", *["user", "assistant"] * 3], "the instruction and three turns are there")

        steps.show("Take back: the last turn is removed and said differently")
        conversation.truncate(from_sequence=6)
        conversation.chat("Say goodbye in French.")
        show_messages(conversation, from_sequence=6)
        newest = [entry.message.content for entry in conversation.messages(descending=True)]
        check(len(newest) == 7 and newest[1] == "Say goodbye in French.", "the new turn is in the place of the old one")


def remember(steps: Steps, platform: GenAIPlatform) -> None:
    steps.show("Remember: values for a user, beside all conversations")
    memory = platform.sessions.memory(USER)
    memory.set("preferences", {"language": "French", "formal": False})
    for key, value in memory.items():
        print(f"  {key}: {value}")
    check(memory.get("preferences")["language"] == "French", "a value comes back as it was")


def export(steps: Steps, platform: GenAIPlatform, session_id: str, path: Path) -> None:
    steps.show("Export: one line of JSON for each message, and back")
    count = platform.sessions.export(session_id, path)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            print(f"  {line.strip()[:100]} …")
    restored = platform.sessions.restore(path, user_id=USER, title="Restored")
    original = platform.sessions.open(session_id)
    same = [entry.message for entry in restored.messages()] == [entry.message for entry in original.messages()]
    check(count == 7 and same, "the restored conversation is the exported one")


def show_messages(conversation: Conversation, from_sequence: int = 1) -> None:
    for entry in conversation.messages():
        if entry.sequence >= from_sequence:
            print(f"  {entry.sequence}. {entry.message.role}: {' '.join(entry.message.content.split())[:60]}")


if __name__ == "__main__":
    sys.exit(run_example(__doc__, run))
