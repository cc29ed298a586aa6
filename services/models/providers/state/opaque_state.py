"""Opaque state that goes back to a provider: a caller may have forged it, and it is embedded byte for byte.

Only its type, and its role if it has one, can make it appear as another's word than the model's. They must be readable
in one way alone: servers differ in which of two members with one name counts, and in whether `Role` is `role`.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any, NamedTuple

import msgspec

from proto import models_pb2


def is_made_by(owner: str, part: models_pb2.ContentPart) -> bool:
    """Whether a part has state that says to be of this owner."""
    return part.HasField("provider_state") and part.provider_state.provider == owner


class Head(NamedTuple):
    """The members that say whose it is."""

    type: str
    role: str
    """Empty where none is given."""


class _Type:
    """The member `type`, each time that it is there."""


class _Role:
    """The member `role`, likewise."""


_Impossible = Annotated[int, msgspec.Meta(ge=1, le=0)]
"""No value is one."""


def _spellings(name: str) -> list[str]:
    """The name in other letters, all ways of it."""
    pairs = [(letter, letter.upper()) for letter in name]
    return ["".join(letters) for letters in itertools.product(*pairs)][1:]


# Whatever else the state holds is passed over without being read: it may be 16 MiB of anything.
_Texts = msgspec.defstruct("_Texts", [("type", str), ("role", str, "")])
_Members = msgspec.defstruct("_Members", [("type", _Type), ("role", _Role, _Role())])
_Lookalikes = msgspec.defstruct(
    "_Lookalikes", [(name, _Impossible, None) for name in _spellings("type") + _spellings("role")]
)


def read_head(data: bytes) -> Head | None:
    """None for what is no JSON object with a type, or can be read in more than one way."""
    seen: set[type] = set()

    def read_once(member: type, _: Any) -> Any:
        if member in seen:
            raise ValueError
        seen.add(member)
        return member()

    try:
        text = data.decode()
        head: Any = msgspec.json.decode(text, type=_Texts)
        # Texts each time by now, however often they are there.
        msgspec.json.decode(text, type=_Members, dec_hook=read_once)
        msgspec.json.decode(text, type=_Lookalikes)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return Head(head.type, head.role)
