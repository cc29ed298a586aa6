"""The services' package, where commands need it on this machine."""

from __future__ import annotations

import importlib.util

from genai_platform.cli.ending import EXIT_CONFIG, fail


def require_services(what: str) -> None:
    """Ends the program where the services are not installed. `what` begins the sentence: "serve runs"."""
    if importlib.util.find_spec("services") is None:
        fail(f"{what} the services, which are not installed; run: pip install genai-platform-services", EXIT_CONFIG)
