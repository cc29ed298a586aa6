"""`genai migrate`: the `--migrate` of every service, one after the other."""

from __future__ import annotations

import subprocess
import sys

import click

from genai_platform.cli.ending import EXIT_FAILED
from genai_platform.cli.installed import require_services

SERVICES = ("sessions", "models", "gateway")


@click.command()
def migrate() -> None:
    """Bring all databases to the schema of the installed services.

    The databases are those of the environment and of `.env`. The first that cannot be brought there ends the command
    with the exit code of its service: 78 if it cannot be reached, or is of a newer version.
    """
    require_services("migrate runs")
    for name in SERVICES:
        # Without the current directory, in which another `services` may lie.
        command = [sys.executable, "-P", "-m", f"services.{name}.main", "--migrate"]
        ended = subprocess.run(command, check=False)  # noqa: S603 its words are all from here
        if ended.returncode:
            sys.exit(ended.returncode if ended.returncode > 0 else EXIT_FAILED)
