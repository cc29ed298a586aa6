"""One service as a child of `genai serve`: `python -P -m genai_platform.cli.supervised services.models.main`.

Its standard input is a pipe that its parent holds open and never writes to. The kernel closes it when the parent ends,
however it ends, and this process then kills itself.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

EXIT_CONFIG = 78
FOR_THE_PARENT = {signal.SIGINT, signal.SIGHUP}
"""Signals of the terminal, which reach its whole process group: the parent stops the services in their order."""


def main() -> None:
    module = sys.argv.pop(1)
    # Before any thread is started: all of them inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_PARENT)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as error:
        print(f"genai: {error.name} is not installed; run: pip install genai-platform-services", file=sys.stderr)
        sys.exit(EXIT_CONFIG)


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
