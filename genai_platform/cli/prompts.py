"""`genai prompts`: registered prompts, their versions and labels, and folders of them."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from genai_platform.cli.answers import printable
from genai_platform.cli.output import Columns, moment, output_option, say, write_record, write_records
from genai_platform.cli.parameters import Pair
from genai_platform.cli.platforms import opened

FOLDER = click.Path(file_okay=False, path_type=Path)

LISTED: Columns = {
    "NAME": lambda prompt: prompt.name,
    "VERSION": lambda prompt: str(prompt.version),
    "LABELS": lambda prompt: ",".join(prompt.labels),
    "VARIABLES": lambda prompt: ",".join(prompt.variables),
    "MODEL": lambda prompt: prompt.defaults.model,
    "CREATED": lambda prompt: prompt.created_at,
    "MESSAGE": lambda prompt: prompt.commit_message,
}

EVENTS: Columns = {
    "TIME": lambda event: moment(event.time),
    "EVENT": lambda event: event.type,
    "VERSION": lambda event: str(event.version or "-"),
    "LABEL": lambda event: event.label,
    "ACTOR": lambda event: event.actor,
    "REASON": lambda event: event.reason,
}


@click.group(no_args_is_help=True)
def prompts() -> None:
    """Prompts: names for texts, with versions and labels."""


@prompts.command("list")
@click.option("--query", help="Only those whose name has this in it.")
@click.option("--label", help="Only those with this label.")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag; may be repeated.")
@click.option("--all", "include_archived", is_flag=True, help="Archived ones, too.")
@output_option
def list_prompts(
    query: str | None, label: str | None, tags: tuple[str, ...], include_archived: bool, output: str | None
) -> None:
    """List prompts, each as its version in force."""
    with opened() as platform:
        found = platform.prompts.list(query=query, label=label, tags=tags, include_archived=include_archived)
        write_records(found, LISTED, output)


@prompts.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Version; by default the one in force.")
@click.option("--label", help="Label of the version.")
@output_option
def show(name: str, version: int | None, label: str | None, output: str | None) -> None:
    """Print the content of a prompt; all that is known of it with an output format."""
    with opened() as platform:
        prompt = platform.prompts.get(name, version=version, label=label)
        if output:
            write_record(prompt, LISTED, output)
        else:
            click.echo(printable(prompt.content))


@prompts.command()
@click.argument("name")
@output_option
def versions(name: str, output: str | None) -> None:
    """List the versions of a prompt, newest first."""
    with opened() as platform:
        write_records(platform.prompts.versions(name, include_archived=True), LISTED, output)


@prompts.command()
@click.argument("name")
@output_option
def history(name: str, output: str | None) -> None:
    """List the events of a prompt, newest first."""
    with opened() as platform:
        write_records(platform.prompts.history(name), EVENTS, output)


@prompts.command()
@click.argument("name")
@click.argument("file", type=click.File("r", encoding="utf-8"), default="-")
@click.option("--label", "labels", multiple=True, help="Label that is pointed at the version; may be repeated.")
@click.option("--tag", "tags", multiple=True, help="Tag; may be repeated.")
@click.option("--model", help="Model of chats with the prompt that name none.")
@click.option("--message", help="What has changed.")
@click.option("--author", help="Author.")
@output_option
def create(
    name: str,
    file: TextIO,
    labels: tuple[str, ...],
    tags: tuple[str, ...],
    model: str | None,
    message: str | None,
    author: str | None,
    output: str | None,
) -> None:
    """Store a new version of a prompt, from FILE or standard input."""
    defaults = {"model": model} if model else None
    with opened() as platform:
        answer = platform.prompts.register(
            name, file.read(), labels=labels, tags=tags, message=message, author=author, defaults=defaults
        )
        for notice in answer.warnings:
            say(f"genai: {notice.message} [{notice.code}]")
        if not answer.created:
            say(f"genai: the newest version has this content already: {answer.version}")
        write_record(answer.prompt, LISTED, output)


@prompts.command()
@click.argument("name")
@click.argument("label")
@click.argument("version", type=click.IntRange(0))
@click.option("--reason", help="Reason, for the history.")
def label(name: str, label: str, version: int, reason: str | None) -> None:
    """Point a label at a version; at 0 to remove the label."""
    with opened() as platform:
        moved = platform.prompts.promote(name, version, label, reason=reason)
    before = f"; before at version {moved.previous_version}" if moved.previous_version else ""
    say(f"the label {label} of {name} is at version {version}{before}" if version else f"the label {label} is removed")


@prompts.command()
@click.argument("name")
@click.argument("base")
@click.argument("target")
def diff(name: str, base: str, target: str) -> None:
    """Print the changes from BASE to TARGET, each a version or a label."""
    with opened() as platform:
        changes = platform.prompts.diff(name, _version_or_label(base), _version_or_label(target))
    click.echo(printable(changes), nl=False)


@prompts.command()
@click.argument("name")
@click.option("--label", help="Label of the version; by default the one in force.")
@click.option("--version", type=click.IntRange(1), help="Version.")
@click.option("--var", "variables", type=Pair(), multiple=True, help="Variable; may be repeated.")
def render(name: str, label: str | None, version: int | None, variables: tuple[tuple[str, str], ...]) -> None:
    """Print a prompt with its variables filled in."""
    with opened() as platform:
        click.echo(printable(platform.prompts.render(name, dict(variables), version=version, label=label).text))


@prompts.command()
@click.argument("folder", type=FOLDER)
def pull(folder: Path) -> None:
    """Write all prompts to a folder, for a git repository."""
    with opened() as platform:
        say(str(platform.prompts.export_to(folder)))


@prompts.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--actor", help="Name for the history.")
def push(folder: Path, actor: str | None) -> None:
    """Register the versions in a folder that are missing, and set labels as they are there."""
    with opened() as platform:
        say(str(platform.prompts.import_from(folder, actor=actor)))


def _version_or_label(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text
