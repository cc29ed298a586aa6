"""The table of the commands, and the group that imports each of them when it is run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import click

from genai_platform.cli.ending import EXIT_USAGE, fail, fail_by_machine, fail_interrupted


class Entry(NamedTuple):
    """A command: the module with a function of the command's name, and its line in `genai --help`."""

    module: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "audit": Entry("genai_platform.cli.audit", "The log of all changes of access: list, verify."),
    "backup": Entry("genai_platform.cli.backup", "Copy all databases into one file, while the services run."),
    "bindings": Entry("genai_platform.cli.bindings", "Projects of callers with tokens: set, list, delete."),
    "chat": Entry("genai_platform.cli.chat", "Ask a model: one prompt, or a conversation."),
    "doctor": Entry("genai_platform.cli.doctor", "Check the set-up, and say what to do; exit code 1 on errors."),
    "health": Entry("genai_platform.cli.health", "Show whether the services serve; exit code 1 unless all do."),
    "keys": Entry("genai_platform.cli.keys", "API keys: create, list, show, disable, enable, revoke, rotate."),
    "limits": Entry("genai_platform.cli.limits", "Limits of all levels: set, list, delete."),
    "me": Entry("genai_platform.cli.me", "Show who calls, with the key that is set."),
    "migrate": Entry("genai_platform.cli.migrate", "Bring all databases to the schema of the installed services."),
    "models": Entry("genai_platform.cli.models", "Models: list, show, register, registered, status, remove."),
    "projects": Entry("genai_platform.cli.projects", "Projects: create, list, update, disable, enable."),
    "prompts": Entry("genai_platform.cli.prompts", "Prompts: list, show, create, label, diff, render, push, pull."),
    "restore": Entry("genai_platform.cli.restore", "Put a backup's databases in place, while no service runs."),
    "serve": Entry("genai_platform.cli.serve", "Run Session Service, Model Service and Gateway until Ctrl-C."),
    "sessions": Entry("genai_platform.cli.sessions", "Sessions: list, show, export, restore, delete."),
    "teams": Entry("genai_platform.cli.teams", "Teams: create, list, update, disable, enable."),
    "usage": Entry("genai_platform.cli.usage", "Usage and costs: list, export, mine; running chats: calls, cancel."),
    "users": Entry("genai_platform.cli.users", "Users that keys belong to: create, list, update, disable, enable."),
}


class Commands(click.Group):
    """A group that imports a command when it is run, so that help waits for no library."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        entry = COMMANDS.get(name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of this name. A misspelt one is answered with the one that is meant, as click does where the
        commands are imported."""
        if args[0] not in COMMANDS:
            from difflib import get_close_matches

            for meant in get_close_matches(args[0], COMMANDS, n=1):
                ctx.fail(f"No such command {args[0]!r}. Did you mean {meant!r}?")
        return super().resolve_command(ctx, args)

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Runs the program. What the machine refuses ends it with one line; a reader of its output who has gone, which
        click sees to, without a word."""
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            fail_by_machine(error)
        except UnicodeEncodeError:
            fail("an argument is not in UTF-8", EXIT_USAGE)

    def invoke(self, context: click.Context) -> Any:
        """Runs a command, which Ctrl-C ends wherever it is."""
        try:
            return super().invoke(context)
        except (KeyboardInterrupt, click.Abort):
            fail_interrupted()

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_lines()))


def _lines() -> Iterator[tuple[str, str]]:
    for name in sorted(COMMANDS):
        yield name, COMMANDS[name].help


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
def genai() -> None:
    """The GenAI Platform on the command line.

    Commands call the gateway at GENAI_GATEWAY_URL (127.0.0.1:50051) with the key in GENAI_API_KEY or in the file that
    GENAI_API_KEY_FILE names. Data go to standard output: a table on a terminal, lines with tabs in a pipe, JSON with
    `-o json`. All else goes to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage, 4 no valid key,
    130 interrupted.
    """
