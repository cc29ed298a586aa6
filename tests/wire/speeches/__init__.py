"""The dialects as servers speak them: a module for each, with its `Speech` and the `ADAPTERS` that are tried with it.

A module that is put here is under the contract of `test_adapter_contract.py`, and needs no entry elsewhere.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from tests.wire.adapter import Adapter


def all_adapters() -> Iterator[Adapter]:
    """The adapters of every module of this package."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        yield from importlib.import_module(module.name).ADAPTERS
