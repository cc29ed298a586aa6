"""Parts of a message, each with its path in the request."""

from __future__ import annotations

from collections.abc import Iterable

from proto import models_pb2

PlacedPart = tuple[str, models_pb2.ContentPart]
"""A part with its path."""


def place(parts: Iterable[models_pb2.ContentPart], path: str) -> list[PlacedPart]:
    """The parts of the list at `path`."""
    return [(f"{path}[{index}]", part) for index, part in enumerate(parts)]
