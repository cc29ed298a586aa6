"""`genai sessions`: stored conversations."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TextIO

import click

from genai_platform import ChatMessage
from genai_platform.cli.answers import printable
from genai_platform.cli.output import Columns, moment, output_option, say, write_records
from genai_platform.cli.platforms import opened

LISTED: Columns = {
    "ID": lambda session: session.session_id,
    "USER": lambda session: session.user_id,
    "TITLE": lambda session: session.title,
    "MESSAGES": lambda session: str(session.message_count),
    "USED": lambda session: moment(session.update_time),
    "EXPIRES": lambda session: moment(session.expire_time),
}

MESSAGES: Columns = {
    "NUMBER": lambda stored: str(stored.sequence),
    "TIME": lambda stored: moment(stored.create_time),
    "ROLE": lambda stored: stored.message.role,
    "TEXT": lambda stored: printable(_text(stored.message)),
}


def _text(message: ChatMessage) -> str:
    return message.content or "".join(part.text for part in message.parts)


user_option = click.option("--user", "user_id", help="User that it must belong to.")


@click.group(no_args_is_help=True)
def sessions() -> None:
    """Sessions: stored conversations."""


@sessions.command("list")
@click.option("--user", "user_id", help="Only those of this user.")
@click.option("-n", "--limit", type=click.IntRange(1), help="At most so many; by default all.")
@output_option
def list_sessions(user_id: str | None, limit: int | None, output: str | None) -> None:
    """List sessions, the most recently used first."""
    with opened() as platform:
        write_records(islice(platform.sessions.list(user_id=user_id), limit), LISTED, output)


@sessions.command()
@click.argument("session_id", metavar="ID")
@user_option
@output_option
def show(session_id: str, user_id: str | None, output: str | None) -> None:
    """Show the messages of a session."""
    with opened() as platform:
        write_records(platform.sessions.iterate_messages(session_id, user_id=user_id), MESSAGES, output)


@sessions.command()
@click.argument("session_id", metavar="ID")
@user_option
def delete(session_id: str, user_id: str | None) -> None:
    """Delete a session with all of its messages."""
    with opened() as platform:
        platform.sessions.delete_session(session_id, user_id=user_id)
    say(f"the session {session_id} is deleted")


@sessions.command()
@click.argument("session_id", metavar="ID")
@click.argument("file", type=click.Path(dir_okay=False), default="-")
@user_option
def export(session_id: str, file: str, user_id: str | None) -> None:
    """Write the messages of a session to FILE, or to standard output, a line of JSON each."""
    with opened() as platform:
        count = platform.sessions.export(session_id, sys.stdout if file == "-" else file, user_id=user_id)
    say(f"{count} messages are written")


@sessions.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--id", "session_id", help="Id of the new session.")
@click.option("--user", "user_id", help="User of the new session.")
def restore(file: TextIO, session_id: str | None, user_id: str | None) -> None:
    """Create a session with the messages of an exported FILE, and print its id."""
    with opened() as platform:
        click.echo(platform.sessions.restore(file, session_id=session_id, user_id=user_id).session_id)
