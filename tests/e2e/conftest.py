"""The local model, for the examples."""

from __future__ import annotations

from tests.live.conftest import local_model

__all__ = ["local_model"]
