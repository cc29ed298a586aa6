"""Opaque state that goes back to a provider: a caller may have forged it, and it is embedded byte for byte.

Its type, and its role if it has one, decide whether it can pass for a message of another speaker. They
must be readable in one way alone: servers differ in which of two members with one name counts, and in whether `Role` is
`role`.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any, NamedTuple

import msgspec

from proto import models_pb2


def is_made_by(owner: str, part: models_pb2.ContentPart) -> bool:
    """Whether a part has state that names this owner; it may be forged."""
    return part.HasField("provider_state") and part.provider_state.provider == owner


class Head(NamedTuple):
    """The members of opaque state that show its kind and speaker."""

    type: str
    role: str
    """Empty where none is given."""


class _Type:
    """The member `type`, each time that it is there."""


class _Role:
    """The member `role`, likewise."""


_Impossible = Annotated[int, msgspec.Meta(ge=1, le=0)]
"""A type that no JSON value can be decoded as."""


def _spellings(name: str) -> list[str]:
    """All spellings of the name in upper and lower case."""
    pairs = [(letter, letter.upper()) for letter in name]
    return ["".join(letters) for letters in itertools.product(*pairs)][1:]


# Other members are skipped without being decoded: the state may have 16 MiB.
_Texts = msgspec.defstruct("_Texts", [("type", str), ("role", str, "")])
_Members = msgspec.defstruct("_Members", [("type", _Type), ("role", _Role, _Role())])
_Lookalikes = msgspec.defstruct(
    "_Lookalikes", [(name, _Impossible, None) for name in _spellings("type") + _spellings("role")]
)


def read_head(data: bytes) -> Head | None:
    """The head of opaque state; None if it is not a JSON object with a type, or is ambiguous."""
    seen: set[type] = set()

    def read_once(member: type, _: Any) -> Any:
        if member in seen:
            raise ValueError
        seen.add(member)
        return member()

    try:
        text = data.decode()
        head: Any = msgspec.json.decode(text, type=_Texts)
        # Each is a text by now; one that occurs twice is refused.
        msgspec.json.decode(text, type=_Members, dec_hook=read_once)
        msgspec.json.decode(text, type=_Lookalikes)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return Head(head.type, head.role)
