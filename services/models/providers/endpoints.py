"""Endpoints of a registered model that has several servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias


class Endpoint(NamedTuple):
    """One of the servers of a model."""

    url: str
    """The base URL in the registration."""
    root: str
    """The base URL of its target."""
    model: str
    """The model's id there."""
    is_unhealthy: bool = False
    """Whether the newest probe says so."""
    untrusted: bool = False
    """Whether a stranger has registered it."""


Choose: TypeAlias = Callable[[Sequence[Endpoint]], Endpoint | None]
"""Chooses the endpoint of one request; None where none of them is to be used."""
