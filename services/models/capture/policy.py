"""The policy of capture: which chats have their content kept."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from services.shared.metadata import Metadata

OPT_OUT_KEY = "genai-capture"
OPT_OUT = "off"
"""Metadata by which a caller keeps the content of a call out, whatever its project says."""

_SAMPLE = re.compile(r"sample:(0(?:\.\d{1,6})?|1(?:\.0{1,6})?)")


class CapturePolicy(NamedTuple):
    """A policy: none, those that fail, a share, or all."""

    kind: Literal["off", "errors", "sample", "all"]
    share: float = 0.0

    def keeps(self, *, failed: bool, draw: Callable[[], float] = random.random) -> bool:
        """Whether the content of a call that has ended is kept."""
        if self.kind == "sample":
            return draw() < self.share
        return self.kind == "all" or (self.kind == "errors" and failed)


NOTHING = CapturePolicy("off")


def read_policy(text: str) -> CapturePolicy:
    """The policy that a text names: `off`, `errors`, `sample:0.01` or `all`. Raises ValueError."""
    if text in ("off", "errors", "all"):
        return CapturePolicy(text)  # type: ignore[arg-type]  # one of these
    if sample := _SAMPLE.fullmatch(text):
        return CapturePolicy("sample", float(sample[1]))
    raise ValueError("must be off, errors, all, or sample:0.01 for a share of the calls")


def choose_policy(default: CapturePolicy, of_project: str, metadata: Metadata) -> CapturePolicy:
    """The policy for a call: its project's, else the operator's; none where the caller has opted out."""
    try:
        policy = read_policy(of_project) if of_project else default
    except ValueError:
        # A project's word from a newer version must not expose what nobody here understands.
        return NOTHING
    if policy.kind == "off" or any(key == OPT_OUT_KEY and value == OPT_OUT for key, value in metadata):
        return NOTHING
    return policy
