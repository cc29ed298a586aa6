"""The client of the GenAI Platform: one call to any language model.

    from genai_platform import GenAIPlatform

    with GenAIPlatform() as platform:
        print(platform.models.chat("Hello!", model="gpt-4o").text)

Exports the two clients, every message of the contract, the errors that calls raise, and `to_dict`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

# Before everything else: it makes `proto` importable where another package owns that name.
import genai_platform._stubs  # noqa: F401

__version__ = "0.1.0"

if TYPE_CHECKING:
    from genai_platform._names import *  # noqa: F403
    from genai_platform._names import __all__ as __all__
    from genai_platform.contract import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        """Imports all public names when the first is asked for: `genai --help` does not wait for gRPC."""
        names = importlib.import_module("genai_platform._names")
        # While that module is itself being imported, it has no names yet.
        exported = getattr(names, "__all__", ())
        globals().update({each: getattr(names, each) for each in exported if hasattr(names, each)})
        globals()["__all__"] = exported
        if name in globals():
            return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        __getattr__("__all__")
        return sorted(globals())
