"""The command line `genai`.

`commands.py` has the table of commands; each is in a module of its own, which is imported when it is run. So a new one
is a line there and a module here.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Runs `genai`."""
    try:
        import click  # noqa: F401
    except ImportError:
        print("genai: needs click; install it with: pip install 'genai-platform[cli]'", file=sys.stderr)
        sys.exit(1)
    from genai_platform.cli.commands import genai

    genai(prog_name="genai")
