"""The import path of the generated stubs, `proto`, shared with other packages of that name.

`from proto import models_pb2` is for programs, and has the classes of `genai_platform.v1`, which the SDK imports itself
so that it works beside any other `proto`. Ours is a namespace package, without an `__init__.py`, because Google's
proto-plus owns the same name. In a wheel both share one directory. In a checkout or an editable install a regular
package hides our directory; importing this module adds the directory to its path, behind its own, and both work.
"""

from __future__ import annotations

import importlib
from pathlib import Path


def share_name() -> None:
    """Adds our directory to the path of the package called `proto`, unless that is no package."""
    directory = str(Path(__file__).parents[1] / "proto")
    path = getattr(importlib.import_module("proto"), "__path__", None)
    if path is not None and directory not in path:
        path.append(directory)


share_name()
