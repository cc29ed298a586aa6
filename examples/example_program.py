"""What the examples have in common: starting the platform and a model, numbered steps, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from local_model import LocalModelError
from local_services import ServicesError, local_services, stop_like_ctrl_c_on_sigterm
from models_to_use import model_to_use

from genai_platform import GenAIError, GenAIPlatform

EXIT_FAILED = 1
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


class Wrong(Exception):
    """The platform did something else than it promises."""


def check(holds: bool, what: str) -> None:
    """Raises Wrong unless `what` holds."""
    if not holds:
        raise Wrong(f"not true: {what}")


class Steps:
    """Numbers the steps as they are shown."""

    def __init__(self) -> None:
        self._count = 0

    def show(self, title: str) -> None:
        self._count += 1
        print(f"\n{self._count}. {title}")


Work = Callable[[Steps, str, GenAIPlatform, str], None]


def run_example(description: str | None, work: Work, go_on: Callable[[str], str] | None = None) -> int:
    """Starts the services and a model, does the work with the gateway's address, a client and the model's name, stops
    everything that was started, and says how to `go_on` with this model.

    Returns the exit code: 0, 1 for what is wrong, 78 when something must be set up first, 130 after Ctrl-C.
    """
    argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    stop_like_ctrl_c_on_sigterm()
    steps = Steps()
    try:
        steps.show("Starting the services and choosing a model")
        with local_services() as address, GenAIPlatform(address) as platform, model_to_use(platform) as model:
            work(steps, address, platform, model)
    except (ServicesError, LocalModelError) as error:
        print(f"\n{error}", file=sys.stderr)
        return EXIT_CONFIG
    except (Wrong, GenAIError) as error:
        print(f"\nthe example failed: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("\ninterrupted; everything that was started is stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    print("\nEverything worked, and everything that was started is stopped.")
    if go_on:
        print(go_on(model))
    return 0
