"""The import path of the generated stubs, `proto`, shared with Google's proto-plus where that is installed.

`proto` is a namespace package here, without an `__init__.py`, because proto-plus owns the same import name. In a
wheel both share one directory. In a checkout or an editable install proto-plus, a regular package, hides our
directory; importing this module adds the directory to its path, and both work.
"""

from __future__ import annotations

from pathlib import Path

import proto

_directory = str(Path(__file__).parents[1] / "proto")
if _directory not in proto.__path__:
    proto.__path__.append(_directory)
