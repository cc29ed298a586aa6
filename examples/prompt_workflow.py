"""A prompt's way to production: versions, a label that is moved and moved back, files for a git repository.

    python examples/prompt_workflow.py

With OPENAI_API_KEY or ANTHROPIC_API_KEY (exported, or in .env) it talks to those. Without, a real small model runs on
this machine. GENAI_MODEL chooses any other model. It starts the three services on free ports, with their data in a
temporary directory, and leaves nothing behind.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from example_program import Steps, check, run_example

from genai_platform import ChatResponse, GenAIPlatform

NAME = "support/answer"
FIRST = "You answer questions about {{product}}.\nBe polite.\n"
SECOND = "You answer questions about {{product}}.\nBe polite, and use one short sentence.\n"
THIRD = "You answer questions about {{product}} in one short sentence.\n"
VARIABLES = {"product": "bicycles"}


def run(steps: Steps, address: str, platform: GenAIPlatform, model: str) -> None:
    register(steps, platform)
    promote(steps, platform, model)
    roll_back(steps, platform, model)
    with tempfile.TemporaryDirectory(prefix="genai-platform-") as directory:
        keep_in_files(steps, platform, Path(directory))


def register(steps: Steps, platform: GenAIPlatform) -> None:
    prompts = platform.prompts
    steps.show("Register: every text is a version that never changes")
    first = prompts.register(NAME, FIRST, labels=["production"], author="Ann", message="The first one")
    second = prompts.register(NAME, SECOND, author="Bob", message="Shorter", defaults={"config": {"temperature": 0}})
    print(f"  versions {first.version} and {second.version}; {first.prompt.labels[0]} is version {first.version}")
    again = prompts.register(NAME, SECOND, defaults={"config": {"temperature": 0}})
    check(not again.created and again.version == 2, "the same once more is the same version")

    steps.show("Diff: what would change in production")
    changes = prompts.diff(NAME, "production", 2)
    print("".join(f"  {line}\n" for line in changes.splitlines()), end="")
    check("+Be polite, and use one short sentence." in changes, "the diff shows the new text")


def promote(steps: Steps, platform: GenAIPlatform, model: str) -> None:
    steps.show("Promote: the label is moved, unless somebody else has moved it meanwhile")
    moved = platform.prompts.promote(NAME, 2, expected_version=1, actor="Ann", reason="answers were too long")
    print(f"  production: version {moved.previous_version} → {moved.prompt.version}")
    print(f"  {platform.prompts.render(NAME, VARIABLES, label='production').text!r}")
    response = ask(platform, model)
    check((response.prompt.version, response.prompt.label) == (2, "production"), "the chat used the promoted version")


def roll_back(steps: Steps, platform: GenAIPlatform, model: str) -> None:
    steps.show("Roll back: to where the label pointed before")
    moved = platform.prompts.rollback(NAME, actor="Ann", reason="answers are too short")
    print(f"  production: version {moved.previous_version} → {moved.prompt.version}")
    check(platform.prompts.get(NAME, label="production").content == FIRST, "production is the first version again")
    check(ask(platform, model).prompt.version == 1, "the next chat uses it")

    steps.show("History: who moved what, when and why")
    for event in platform.prompts.history(NAME):
        label = f" {event.label}: {event.previous_version} → {event.version}" if event.label else f" {event.version}"
        print(f"  {event.time.ToJsonString()[:19]} {event.type}{label} {event.actor} {event.reason}".rstrip())


def ask(platform: GenAIPlatform, model: str) -> ChatResponse:
    """Chats with whatever version is in production."""
    prompt = {"name": NAME, "label": "production", "variables": VARIABLES}
    response = platform.models.chat("What do I need a bell for?", model=model, prompt=prompt, max_tokens=24)
    print(f"  {' '.join(response.text.split())}")
    print(f"  [prompt {response.prompt.name}, version {response.prompt.version}, label {response.prompt.label}]")
    return response


def keep_in_files(steps: Steps, platform: GenAIPlatform, directory: Path) -> None:
    steps.show("Export: files that fit in a git repository")
    print(f"  {platform.prompts.export_to(directory)}")
    for path in sorted(directory.rglob("*.*")):
        print(f"  {path.relative_to(directory)}: {path.stat().st_size} bytes")
    check(not platform.prompts.export_to(directory).written, "exporting again changes nothing")

    steps.show("Import: a version written by hand becomes one of the platform's")
    (directory / NAME / "v3.md").write_bytes(THIRD.encode())
    report = platform.prompts.import_from(directory, actor="ci")
    print(f"  {report}")
    check(report.registered == ((NAME, 3),), "version 3 is registered, and nothing else")
    check(platform.prompts.get(NAME, version=3).content == THIRD, "it is what was written")


if __name__ == "__main__":
    sys.exit(run_example(__doc__, run))
