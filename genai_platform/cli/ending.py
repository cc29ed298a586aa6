"""The end of the program: its exit codes, and the line that says why."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_SIGNED_IN = 4
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


def fail(problem: str, code: int = EXIT_FAILED) -> NoReturn:
    """Ends the program."""
    click.echo(f"genai: {problem}", err=True)
    sys.exit(code)


def fail_interrupted(what: str = "interrupted") -> NoReturn:
    """Ends the program after Ctrl-C."""
    if sys.stderr.isatty():
        # Behind the terminal's own ^C.
        click.echo(err=True)
    fail(what, EXIT_INTERRUPTED)


def fail_by_machine(error: OSError) -> NoReturn:
    """Ends the program where a file, a disk or another part of the machine refuses."""
    _leave_output()
    what = (error.strerror or str(error)).lower()
    fail(f"{error.filename}: {what}" if error.filename else what)


def _leave_output() -> None:
    """Writes what is printed, or drops it for good: Python would fail with it once more at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
