"""`genai chat` in real processes, in front of the three services and a scripted provider."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from genai_platform import GenAIPlatform
from tests.e2e.test_platform import Upstream, delta, ending
from tests.rows import for_each, row
from tests.scripted_upstream import event_stream, json_answer
from tests.services.model_service import completion
from tests.support.processes import Finished, environment, run_genai, running_platform

SCRIPT = str(Path(sys.executable).with_name("genai"))
SECONDS = 20
FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

# A shell that runs the tests in the background has them ignore Ctrl-C, which children inherit.
OBEYING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
PROGRAM = OBEYING + "from genai_platform.cli import main; main()"
AT_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + PROGRAM
"""The same in a session whose terminal is its standard input, where Ctrl-C is typed."""


class Chat:
    """`genai chat` with a directory of its own."""

    def __init__(self, directory: Path, address: str) -> None:
        self.directory = directory
        self.variables = environment(
            GENAI_GATEWAY_URL=address, GENAI_MODEL="gpt-4o", XDG_STATE_HOME=str(directory / "state")
        )

    def run(self, *arguments: str, typed: str = "", **variables: str) -> Finished:
        return run_genai(self.directory, "chat", *arguments, typed=typed, **(self.variables | variables))

    def start(self, *arguments: str, stdin: int | IO[bytes] | None = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", PROGRAM, "chat", *arguments]
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env=self.variables,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("platform")
    with running_platform(directory, OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=upstream.url) as platform:
        yield platform.address


@pytest.fixture
def chat(tmp_path: Path, address: str) -> Chat:
    return Chat(tmp_path, address)


def test_answer_is_on_standard_output_and_words_are_not(chat: Chat, upstream: Upstream) -> None:
    before = len(upstream.server.requests)
    done = chat.run("What is wrong?", "--verbose", typed="a log\n")
    assert (done.code, done.output) == (0, "pong\n"), done.log
    assert "tokens" in done.log
    [request] = [each for each in upstream.server.requests[before:] if each.method == "POST"]
    assert "What is wrong?\\n\\na log" in request.body.decode()
    assert "tokens" not in chat.run("Hi").log
    assert json.loads(chat.run("Hi", "-o", "json").output)["text"] == "pong"


def test_conversation_is_continued(chat: Chat, upstream: Upstream) -> None:
    assert chat.run("-c", "more").code == WRONG_USAGE
    assert chat.run("one", "--session", "mine", "--system", "Be short.").output == "pong\n"
    assert chat.run("two", "--continue").output == "pong\n"
    messages = upstream.server.requests[-1].json()["messages"]
    assert [message["role"] for message in messages][-4:] == ["system", "user", "assistant", "user"]


class Terminal:
    """A command at a terminal of its own, by default a conversation; words are read apart, or there too."""

    def __init__(self, chat: Chat, *arguments: str, words_apart: bool = True, **variables: str) -> None:
        self.descriptor, inside = os.openpty()
        self._shown = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", AT_TERMINAL, *(arguments or ["chat"])],
            cwd=chat.directory,
            env=chat.variables | {"TERM": "xterm"} | variables,
            stdin=inside,
            stdout=inside,
            stderr=subprocess.PIPE if words_apart else inside,
            start_new_session=True,
        )
        self._path = os.ttyname(inside)
        os.close(inside)

    def wait_until_taken(self) -> None:
        """Waits until the command has read what was typed."""
        deadline = time.monotonic() + SECONDS
        inside = os.open(self._path, os.O_RDWR | os.O_NOCTTY)
        while fcntl.ioctl(inside, termios.FIONREAD, bytes(4)) != bytes(4):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.close(inside)

    def wait_for(self, text: bytes) -> None:
        """Reads until this is shown. What comes before it is not seen again."""
        while text not in self._shown:
            ready, _, _ = select.select([self.descriptor], [], [], SECONDS)
            assert ready, self._shown
            self._shown += os.read(self.descriptor, 4096)
        self._shown = self._shown.partition(text)[2]

    def type(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def rest(self) -> str:
        """Waits for the end, and returns what is shown until then."""
        with contextlib.suppress(OSError):
            # Once nobody has the terminal any more, to read from it fails.
            while select.select([self.descriptor], [], [], SECONDS)[0]:
                self._shown += os.read(self.descriptor, 4096)
        os.close(self.descriptor)
        return self._shown.decode()

    def leave(self) -> str:
        """Types Ctrl-D, and returns the words that were said."""
        self.type(b"\x04")
        assert self.process.stderr
        with self.process:
            words = self.process.stderr.read().decode()
            assert self.process.wait(SECONDS) == 0
        os.close(self.descriptor)
        return words


def test_conversation_at_a_terminal(chat: Chat, upstream: Upstream) -> None:
    terminal = Terminal(chat)
    for line in (b"Hi\n", b"one\\\ntwo\n"):
        terminal.wait_for(b"> ")
        terminal.type(line)
        terminal.wait_for(b"pong")
    terminal.wait_for(b"> ")
    words = terminal.leave()
    assert ("--continue" in words, "tokens" in words) == (True, True)
    messages = upstream.server.requests[-1].json()["messages"]
    assert [message["content"] for message in messages] == ["Hi", "pong", "one\ntwo"]


def test_interrupt_in_a_conversation_ends_the_answer_alone(chat: Chat, upstream: Upstream) -> None:
    gate = upstream.gate()
    upstream.server.play(event_stream(delta("po"), gate, *ending()))
    terminal = Terminal(chat)
    terminal.wait_for(b"> ")
    terminal.type(b"Hi\n")
    terminal.wait_for(b"po")
    terminal.process.send_signal(signal.SIGINT)
    upstream.do(upstream.server.requests[-1].closed_by_peer())
    upstream.loop.call_soon_threadsafe(gate.set)
    terminal.wait_for(b"> ")
    terminal.type(b"again\n")
    terminal.wait_for(b"pong")
    terminal.wait_for(b"> ")
    assert "interrupted" in terminal.leave()
    messages = upstream.server.requests[-1].json()["messages"]
    assert [message["content"] for message in messages] == ["again"]


def test_schema_and_files_and_preview(chat: Chat, upstream: Upstream) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    (chat.directory / "schema.json").write_text(json.dumps(schema))
    (chat.directory / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    previewed = chat.run("Hi", "--preview", "--schema", "schema.json", "--file", "dot.png")
    body = json.loads(previewed.output)
    assert (previewed.code, body["response_format"]["type"]) == (0, "json_schema")
    assert "data:image/png;base64," in previewed.output
    refused = chat.run("Hi", "--schema", "schema.json")
    assert (refused.code, refused.output) == (FAILED, "")
    assert "ANSWER_INVALID" in refused.log


def test_answer_that_follows_the_schema_is_printed_as_its_value(chat: Chat, upstream: Upstream) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    (chat.directory / "schema.json").write_text(json.dumps(schema))
    upstream.server.play(json_answer(completion('{"n": 3}')))
    done = chat.run("How many?", "--schema", "schema.json")
    assert (done.code, done.output) == (0, '{"n": 3}\n'), done.log
    sent = upstream.server.requests[-1].json()["response_format"]["json_schema"]["schema"]
    assert sent["properties"] == {"n": {"type": "integer"}}
    for text, words in (("[1]", "its root must be an object"), ("{", "is no JSON")):
        (chat.directory / "wrong.json").write_text(text)
        refused = chat.run("How many?", "--schema", "wrong.json")
        assert (refused.code, refused.output, words in refused.log) == (WRONG_USAGE, "", True)


def test_registered_prompt_comes_before_the_text(chat: Chat, address: str, upstream: Upstream) -> None:
    with GenAIPlatform(address) as platform:
        of_gpt = {"model": "gpt-4o"}
        platform.prompts.register("support", "You help {{name}}.", labels=["production"], defaults=of_gpt)
        platform.prompts.register("support", "You help {{name}} briefly.", defaults=of_gpt)
    for arguments, system in (
        (["--label", "production"], "You help Ada."),
        (["--version", "2"], "You help Ada briefly."),
        ([], "You help Ada."),
    ):
        with row(*arguments):
            done = chat.run("Hi", "--prompt", "support", *arguments, "--var", "name=Ada")
            assert (done.code, done.output) == (0, "pong\n"), done.log
            messages = upstream.server.requests[-1].json()["messages"]
            assert [message["content"] for message in messages] == [system, "Hi"]
    assert chat.run("Hi", "--prompt", "support", "--version", "2", "--var", "name=Ada", GENAI_MODEL="").code == 0
    for arguments, code, words in (
        (["--prompt", "support"], FAILED, "name"),
        (["--prompt", "suport", "--var", "name=Ada"], FAILED, "genai prompts list"),
        (["--prompt", "support", "--version", "9", "--var", "name=Ada"], FAILED, "version 9"),
        (["--prompt", "support", "--var", "name"], WRONG_USAGE, "--var"),
    ):
        with row(*arguments):
            refused = chat.run("Hi", *arguments)
            assert (refused.code, refused.output) == (code, "")
            assert words in refused.log


def test_prompt_without_a_model_is_asked_of_the_model_of_the_environment(
    chat: Chat, address: str, upstream: Upstream
) -> None:
    with GenAIPlatform(address) as platform:
        platform.prompts.register("plain", "Be plain.")
        platform.prompts.register("own", "Be yourself.", defaults={"model": "gpt-4.1"})
    for prompt, expected in (("plain", "gpt-4o"), ("own", "gpt-4.1")):
        with row(prompt):
            done = chat.run("Hi", "--prompt", prompt)
            assert (done.code, done.output) == (0, "pong\n"), done.log
            assert upstream.server.requests[-1].json()["model"] == expected
    assert "model gpt-4o" in chat.run("Hi", "--prompt", "plain", "--preview").log
    terminal = Terminal(chat, "chat", "--prompt", "plain")
    terminal.wait_for(b"> ")
    terminal.type(b"Hi\n")
    terminal.wait_for(b"pong")
    terminal.wait_for(b"> ")
    assert "gpt-4o" in terminal.leave()
    refused = chat.run("Hi", "--prompt", "plain", GENAI_MODEL="")
    assert (refused.code, refused.output) == (FAILED, "")
    assert "model" in refused.log


def test_file_of_variables_that_cannot_be_read_is_told_in_one_line(chat: Chat) -> None:
    told = f"genai: {chat.directory}/.env cannot be read: is a directory; none of its variables is used\n"
    (chat.directory / ".env").mkdir()
    done = chat.run("Hi")
    assert (done.code, done.output) == (0, "pong\n")
    assert done.log.startswith(told)


def test_what_goes_wrong_is_one_line_that_says_what_to_do(chat: Chat) -> None:
    for arguments, variables, code, words in (
        (["Hi", "-m", "gtp-4o"], {}, FAILED, "genai models list"),
        (["Hi"], {"GENAI_GATEWAY_URL": "127.0.0.1:1"}, FAILED, "genai doctor"),
        (["Hi"], {"GENAI_MODEL": ""}, WRONG_USAGE, "--model"),
        ([], {}, WRONG_USAGE, "give a TEXT"),
        (["Hi", "--continue"], {"XDG_STATE_HOME": "/dev/null"}, FAILED, "/dev/null/genai: not a directory"),
        (["Hi", "--label", "new"], {}, WRONG_USAGE, "--prompt"),
    ):
        with row(*arguments):
            done = chat.run(*arguments, **variables)
            assert (done.code, done.output) == (code, "")
            assert words in done.log
            assert "Traceback" not in done.log
            assert code == WRONG_USAGE or len(done.log.splitlines()) == 1
    endless = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
    with endless, chat.start("Hi", stdin=endless.stdout) as process:
        assert process.stderr
        assert b"more than the 32 MiB" in process.stderr.read()
        assert process.wait(SECONDS) == WRONG_USAGE
        endless.kill()


def test_interrupt_ends_the_call(chat: Chat, upstream: Upstream) -> None:
    gate = upstream.gate()
    upstream.server.play(event_stream(delta("po"), gate, *ending()))
    with chat.start("Hi") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(2) == b"po"
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == INTERRUPTED
        assert process.stderr.read().decode() == "genai: interrupted; the call is ended, and its answer is incomplete\n"
    upstream.do(upstream.server.requests[-1].closed_by_peer())
    upstream.loop.call_soon_threadsafe(gate.set)


def test_reader_that_has_gone_is_no_traceback(chat: Chat, upstream: Upstream) -> None:
    gate = upstream.gate()
    upstream.server.play(event_stream(delta("po"), gate, delta("ng"), *ending()))
    with chat.start("Hi") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(2) == b"po"
        process.stdout.close()
        upstream.loop.call_soon_threadsafe(gate.set)
        assert (process.wait(SECONDS), process.stderr.read()) == (1, b"")


@pytest.mark.parametrize("arguments", [[], ["Hi", "-o", "json"]], ids=" ".join)
def test_interrupt_while_a_pipe_is_read(chat: Chat, arguments: list[str]) -> None:
    with chat.start(*arguments, stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stderr
        # More than the pipe holds: once it is taken, the command is reading.
        process.stdin.write(b"x" * 200_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert (process.wait(SECONDS), process.stderr.read()) == (INTERRUPTED, b"genai: interrupted\n")


def test_interrupt_while_a_terminal_is_read(chat: Chat) -> None:
    terminal = Terminal(chat, "prompts", "create", "typed", words_apart=False)
    terminal.type(b"Be brief.\n")
    terminal.wait_for(b"Be brief.")
    terminal.wait_until_taken()
    terminal.type(b"\x03")
    assert terminal.rest().endswith("^C\r\ngenai: interrupted\r\n")
    assert terminal.process.wait(SECONDS) == INTERRUPTED


def test_colours_are_for_terminals_that_want_them(chat: Chat) -> None:
    for variables, has_colours in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        with row(*variables):
            terminal = Terminal(chat, "chat", "Hi", words_apart=False, **variables)
            shown = terminal.rest()
            assert terminal.process.wait(SECONDS) == 0
            assert ("pong" in shown, "tokens" in shown, "\x1b[" in shown) == (True, True, has_colours)


@for_each("redirected", [">&-", "<&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_standard_streams_are_none_of_the_commands_business(chat: Chat, redirected: str) -> None:
    shell = f'"$0" models list -o json {redirected}'
    ended = subprocess.run(
        ["sh", "-c", shell, SCRIPT], cwd=chat.directory, env=chat.variables, capture_output=True, timeout=SECONDS
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert (b"gpt-4o" in ended.stdout) == (">&-" not in redirected.split())


def test_output_that_cannot_be_written_is_one_line(chat: Chat) -> None:
    for command in (["--help"], ["models", "list"], ["chat", "Hi"]):
        with row(*command), Path("/dev/full").open("w") as full:
            ended = subprocess.run(
                [SCRIPT, *command],
                cwd=chat.directory,
                env=chat.variables,
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=SECONDS,
            )
            assert (ended.returncode, ended.stderr) == (FAILED, b"genai: no space left on device\n")
