"""The examples, most of them as a user runs them, with the real local model."""

from __future__ import annotations

import importlib
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local_model import LocalModel
from genai_platform import GenAIPlatform, RegisterModelRequest
from tests.support.fork_server import ROOT
from tests.support.processes import Platform, Process, environment, running_platform

pytestmark = [pytest.mark.local_model, pytest.mark.usefixtures("local_model_wheels")]

MARK = "GENAI_TEST_RUN"
EXAMPLE_SECONDS = 120.0

NOBODYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "GENAI_MODEL")
"""An empty variable keeps a developer's own `.env` out."""


class Run:
    """One run of an example, and what it leaves behind."""

    def __init__(self, directory: Path) -> None:
        self._mark = f"{MARK}={uuid.uuid4().hex}"
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        self._log_path = directory / "example.log"
        self.process: Process | None = None

    def start(self, script: str, *arguments: str, **variables: str) -> Process:
        name, _, value = self._mark.partition("=")
        settings = {name: value, "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"}
        started_with = environment(**dict.fromkeys(NOBODYS, "") | settings | variables)
        self.process = Process.spawn([f"examples/{script}", *arguments], started_with, self._log_path)
        return self.process

    def finish(self) -> tuple[int, str]:
        """The exit code, and everything that was still to be said on standard output."""
        assert self.process
        output = self.process.read_rest(EXAMPLE_SECONDS)
        return self.process.wait(), output

    def left_processes(self) -> list[str]:
        """The processes that were started by the run and still live."""
        left = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self._mark.encode() in path.read_bytes():
                    left.append((path.parent / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return left

    def left_files(self) -> list[Path]:
        return list(self.temporary.iterdir())


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    if run.process:
        run.process.close()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Services that run already, without any provider."""
    with running_platform(tmp_path_factory.mktemp("platform")) as platform:
        yield platform


@pytest.fixture(scope="module")
def small_model(platform: Platform, local_model: LocalModel) -> str:
    """The name by which the running services know the local model."""
    request = RegisterModelRequest(
        name="small", endpoint=local_model.url, adapter_type="openai-compatible", upstream_model=local_model.model
    )
    with GenAIPlatform(platform.address) as client:
        return client.models.register_model(request).model.name


def assert_nothing_left(run: Run) -> None:
    assert run.left_processes() == []
    assert run.left_files() == []


def test_quick_start_does_real_work_without_any_key_and_leaves_nothing_behind(run: Run) -> None:
    run.start("quickstart_models.py")
    code, output = run.finish()

    assert code == 0, output + run.process.log()  # type: ignore[union-attr]
    for shown in ("Chat:", "Stream:", "gpt-4o-mini", "used prompt quickstart/pirate, version 1", "is healthy"):
        assert shown in output
    assert output.endswith('genai chat "Hello" --model smollm2-135m-instruct\n')
    assert "genai serve --local-model\n" in output
    assert_nothing_left(run)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("quickstart_conversation", ("Find again:", "7. assistant: ", "2 sessions and 1 remembered value are gone")),
        ("prompt_workflow", ("production: version 2 → 1", "version 2, label production", "1 versions registered")),
    ],
)
def test_example_does_what_it_shows(
    name: str,
    shown: tuple[str, ...],
    platform: Platform,
    small_model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its steps are taken on services that run already: that it starts and stops its own, the quick start shows."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    example = importlib.import_module(name)
    steps = importlib.import_module("example_program").Steps()
    with GenAIPlatform(platform.address) as client:
        example.run(steps, platform.address, client, small_model)
    output = capsys.readouterr().out
    assert all(text in output for text in shown), output


def test_example_explains_itself_without_starting_anything(run: Run) -> None:
    run.start("quickstart_conversation.py", "--help")
    code, output = run.finish()

    assert code == 0
    assert "python examples/quickstart_conversation.py" in output
    assert "listening on" not in output


def test_stopping_an_example_while_the_model_generates_leaves_nothing_behind(run: Run) -> None:
    """By SIGTERM, which examples take for a Ctrl-C."""
    process = run.start("quickstart_conversation.py")
    while not process.read_line().endswith("  user: My name is Ada."):
        pass
    process.send(signal.SIGTERM)
    code, _ = run.finish()

    assert code == 130
    assert "Traceback" not in process.log()
    assert_nothing_left(run)


def test_everything_is_called_on_services_that_run_already(run: Run, platform: Platform, small_model: str) -> None:
    run.start("test_model_service.py", GENAI_GATEWAY_URL=platform.address, GENAI_MODEL=small_model)
    code, output = run.finish()

    assert code == 0, output + run.process.log()  # type: ignore[union-attr]
    assert f"testing the services at {platform.address}" in output
    assert "everything works" in output


def test_without_its_packages_it_says_which_command_to_run(run: Run, tmp_path: Path, platform: Platform) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('not here')\n")
    process = run.start("test_model_service.py", GENAI_GATEWAY_URL=platform.address, PYTHONPATH=str(tmp_path))
    code, _ = run.finish()

    assert code == 78
    assert "make quickstart" in process.log()
    assert "Traceback" not in process.log()
    assert_nothing_left(run)


def test_the_first_thing_that_is_wrong_ends_with_a_non_zero_exit_code(run: Run, platform: Platform) -> None:
    """A provider without a key stands for it."""
    process = run.start("test_model_service.py", GENAI_GATEWAY_URL=platform.address, GENAI_MODEL="gpt-4o")
    code, output = run.finish()

    assert code == 1
    assert "everything works" not in output
    assert "FAILED  chat: " in process.log()
    assert_nothing_left(run)
