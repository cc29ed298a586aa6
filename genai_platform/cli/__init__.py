"""The command line `genai`.

`commands.py` has the table of commands; each is in a module of its own, which is imported when it is run. So a new one
is a line there and a module here.
"""

from __future__ import annotations

import os


def main() -> None:
    """Runs `genai`."""
    # grpc would write of refused connections to the terminal, beside what the commands say of them.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from genai_platform.cli.commands import genai

    genai(prog_name="genai")
