"""`genai models`, `prompts` and `sessions` in front of the three services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Finished, environment, run_genai, running_platform

SCRIPT = str(Path(sys.executable).with_name("genai"))
FAILED = 1


class CommandLine:
    """`genai` in a directory of its own."""

    def __init__(self, directory: Path, address: str) -> None:
        self.directory = directory
        self.variables = {"GENAI_GATEWAY_URL": address}

    def run(self, *arguments: str, typed: str = "") -> Finished:
        return run_genai(self.directory, *arguments, typed=typed, **self.variables)

    def done(self, *arguments: str, typed: str = "") -> str:
        """The output of a command that succeeds."""
        ended = self.run(*arguments, typed=typed)
        assert ended.code == 0, ended.log
        return ended.output


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_platform(tmp_path_factory.mktemp("platform")) as platform:
        yield platform.address


@pytest.fixture
def genai(tmp_path: Path, address: str) -> CommandLine:
    return CommandLine(tmp_path, address)


def test_models_are_registered_shown_and_removed(genai: CommandLine) -> None:
    made = genai.done("models", "register", "mine", "http://127.0.0.1:1/v1", "--type", "vllm", "-o", "json")
    assert json.loads(made)["adapter_type"] == "vllm"
    lines = genai.done("models", "list").splitlines()
    assert [line.split("\t")[2:4] for line in lines if line.startswith("mine\t")] == [["registered", "yes"]]
    assert "NAME\tgpt-4o\n" in (shown := genai.done("models", "show", "gpt-4o"))
    assert "USD/M\t2.5/10\n" in shown
    assert genai.done("models", "registered").startswith("mine\thttp://127.0.0.1:1/v1\tvllm\t")
    assert json.loads(genai.done("models", "status", "mine", "-o", "jsonl"))["name"] == "mine"
    genai.done("models", "remove", "mine")
    assert genai.done("models", "registered") == ""
    refused = genai.run("models", "show", "gtp-4o")
    assert (refused.code, refused.output) == (FAILED, "")
    assert "MODEL_NOT_FOUND" in refused.log


def test_prompts_have_versions_labels_and_folders(genai: CommandLine) -> None:
    genai.done("prompts", "create", "greet", "--label", "production", typed="Hello {{name}}!")
    genai.done("prompts", "create", "greet", "--message", "shorter", typed="Hi {{name}}!")
    assert genai.done("prompts", "show", "greet") == "Hello {{name}}!\n"
    assert "+Hi {{name}}!" in genai.done("prompts", "diff", "greet", "production", "2")
    assert "before at version 1" in genai.run("prompts", "label", "greet", "production", "2").log
    assert genai.done("prompts", "render", "greet", "--var", "name=Ada") == "Hi Ada!\n"
    [listed] = genai.done("prompts", "list").splitlines()
    assert listed.split("\t")[:4] == ["greet", "2", "production", "name"]
    assert len(genai.done("prompts", "versions", "greet").splitlines()) == 2
    assert len(genai.done("prompts", "history", "greet").splitlines()) >= 3
    genai.done("prompts", "pull", "folder")
    (genai.directory / "folder" / "greet" / "v3.md").write_text("Good day, {{name}}.")
    genai.done("prompts", "push", "folder")
    assert genai.done("prompts", "show", "greet", "--version", "3") == "Good day, {{name}}.\n"
    assert "`genai prompts list`" in genai.run("prompts", "show", "absent").log


def test_sessions_are_restored_shown_exported_and_deleted(genai: CommandLine) -> None:
    stored = {"sequence": "1", "message": {"role": "user", "content": "one\ntwo"}}
    (genai.directory / "old.jsonl").write_text(json.dumps(stored) + "\n")
    assert genai.done("sessions", "restore", "old.jsonl", "--id", "mine") == "mine\n"
    assert [line.split("\t")[0] for line in genai.done("sessions", "list").splitlines()] == ["mine"]
    assert genai.done("sessions", "show", "mine").split("\t")[2:] == ["user", "one two\n"]
    assert json.loads(genai.done("sessions", "export", "mine"))["message"] == stored["message"]
    genai.done("sessions", "delete", "mine")
    assert genai.done("sessions", "list", "-o", "json") == "[]\n"
    assert "`genai sessions list`" in genai.run("sessions", "show", "mine").log


def test_reader_that_has_gone_is_no_traceback(genai: CommandLine) -> None:
    output, written = os.pipe()
    os.close(output)
    command, variables = [SCRIPT, "models", "list"], environment(**genai.variables)
    with subprocess.Popen(
        command, cwd=genai.directory, env=variables, stdout=written, stderr=subprocess.PIPE
    ) as process:
        os.close(written)
        assert process.stderr
        assert process.stderr.read() == b""
