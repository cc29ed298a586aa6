"""A conversation with a model at the terminal, and the files that the next one needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from genai_platform import GenAIError, GenAIPlatform, NotFound
from genai_platform.cli.answers import stream_answer, tell_usage
from genai_platform.cli.output import say
from genai_platform.cli.platforms import explain

HISTORY_LINES = 1000
LEAVING = ("/exit", "/quit")


def state_directory() -> Path:
    """The directory of the last session's id and of the lines that were typed, which only its user may read."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    directory = Path(base) / "genai"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def last_session() -> str:
    """The id of the session that was used last on this machine; empty if there is none."""
    try:
        return (state_directory() / "last-session").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def open_session(platform: GenAIPlatform, session_id: str | None, system: str | None) -> dict[str, Any]:
    """Continues the session of this id, or begins one, and keeps its id for `--continue`.

    Returns the fields of its next turn: a system message is stored at the beginning of a new session, and as a part of
    the turn in another. Raises GenAIError.
    """
    fields = _continued(platform, session_id, system) if session_id else None
    if fields is None:
        fields = {"session_id": platform.sessions.create(session_id=session_id, system=system).session_id}
        say(f"genai: a new conversation, {fields['session_id']}")
    (state_directory() / "last-session").write_text(fields["session_id"], encoding="utf-8")
    return fields


def _continued(platform: GenAIPlatform, session_id: str, system: str | None) -> dict[str, Any] | None:
    try:
        return {"session_id": platform.sessions.open(session_id).session_id, "system": system}
    except NotFound:
        return None


def converse(platform: GenAIPlatform, session_id: str | None, system: str | None, fields: Mapping[str, Any]) -> None:
    """Reads lines, and streams their answers, until the end of the input.

    Ctrl-C ends an answer, or drops a line; an answer that fails is told, and the conversation goes on. The session
    begins with the first line.
    """
    say("genai: Ctrl-D ends the conversation, Ctrl-C an answer; \\ at the end of a line goes on in the next one")
    turn: dict[str, Any] = {}
    with _line_history():
        while (line := _read_line()) is not None:
            if not line.strip():
                continue
            try:
                turn = turn or open_session(platform, session_id, system)
                tell_usage(stream_answer(platform, line, {**fields, **turn}))
                turn.pop("system", None)
            except KeyboardInterrupt:
                say("genai: interrupted; the call is ended, and the turn is not stored")
            except GenAIError as error:
                say(f"genai: {explain(error)}")
    if turn:
        say(f"genai: go on with `genai chat --continue` or `--session {turn['session_id']}`")


def _read_line() -> str | None:
    """The next line, without its continuations' backslashes; None at the end."""
    lines: list[str] = []
    while True:
        try:
            line = input("… " if lines else "> ")
        except EOFError:
            click.echo()
            return None
        except KeyboardInterrupt:
            click.echo()
            lines.clear()
            continue
        if not lines and line.strip() in LEAVING:
            return None
        if not line.endswith("\\"):
            return "\n".join([*lines, line])
        lines.append(line[:-1])


@contextlib.contextmanager
def _line_history() -> Iterator[None]:
    """Editing of lines, with those of earlier conversations, where Python was built with readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    path = state_directory() / "history"
    path.touch(mode=0o600)
    readline.read_history_file(path)
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        readline.write_history_file(path)
