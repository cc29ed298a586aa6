"""The command line `genai`.

`commands.py` has the table of commands; each is in a module of its own, which is imported when it is run. So a new one
is a line there and a module here.
"""

from __future__ import annotations

import os
import sys
import warnings


def main() -> None:
    """Runs `genai`."""
    _open_standard_streams()
    warnings.showwarning = _tell_warning
    # grpc would write of refused connections to the terminal, beside what the commands say of them.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from genai_platform.cli.commands import genai

    genai(prog_name="genai")


def _open_standard_streams() -> None:
    """Opens those that were closed, as by `>&-`: another file would take the place of one, and get what is printed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest descriptor that is free: its own.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    """Tells a warning of the SDK as a command tells everything: in one line, without a place in the code."""
    print(f"genai: {message}", file=sys.stderr)
