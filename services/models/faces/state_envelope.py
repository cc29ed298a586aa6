"""Envelopes for opaque state in fields of other APIs that clients return untouched.

A client of one API may talk to a model of another vendor, whose state its API has no place for. The state travels as a
text in a field that the client keeps without reading it: the signature of a thought, its encrypted content. Every face
reads the envelopes of all faces.

An envelope is not sealed against forgery: it is as trusted as `provider_state` in a request. It names its owner, no
other provider gets it, and the owner's dialect refuses what an answer of the model could not contain.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re

from google.protobuf.message import DecodeError

from proto import models_pb2
from services.models.validation.content import MAX_STATE_BYTES

MAX_ENVELOPE_CHARACTERS = (MAX_STATE_BYTES + 1024) * 4 // 3
"""Limit for an envelope: the largest state, with the names of its owner and its model."""


class Bond(enum.Enum):
    """The part of a message that the state in an envelope is of."""

    THOUGHT = "gs1."
    """The thought in whose field it travels."""
    ALONE = "gs1a."
    """A part that is state alone."""
    BEFORE = "gs1b."
    """The part before the field: a text, a refusal or a tool call, which have no field for it."""
    NAMED = "gs1n"
    """The part whose name follows, wherever it is in the message: clients may put parts into another order."""


_PREFIX = re.compile(r"(?P<bond>gs1[ab]?\.)|gs1n(?P<name>[a-z][0-9]{1,4})\.")


def seal(state: models_pb2.ProviderState, bond: Bond = Bond.THOUGHT, name: str = "") -> str:
    """The envelope of a state. `name` is that of a named part: a letter for its kind, and its number among those of its
    kind in the message."""
    prefix = f"{bond.value}{name}." if bond is Bond.NAMED else bond.value
    return prefix + base64.urlsafe_b64encode(state.SerializeToString()).rstrip(b"=").decode("ascii")


def bond_of(text: str) -> Bond | None:
    """The bond of an envelope, which may be damaged all the same; None for any other text."""
    prefix = _PREFIX.match(text)
    return Bond(prefix["bond"] or Bond.NAMED) if prefix else None


def name_in(text: str) -> str:
    """The name of the part that an envelope is of; "" without one."""
    prefix = _PREFIX.match(text)
    return (prefix["name"] or "") if prefix else ""


def open_envelope(text: str) -> models_pb2.ProviderState | None:
    """The state in an envelope; None for any other text, and for a damaged envelope."""
    prefix = _PREFIX.match(text)
    if prefix is None or len(text) > MAX_ENVELOPE_CHARACTERS:
        return None
    written = text[prefix.end() :]
    try:
        packed = base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True)
        state = models_pb2.ProviderState.FromString(packed)
    except (binascii.Error, ValueError, DecodeError):
        return None
    # A later version may have fields that this one cannot keep.
    state.DiscardUnknownFields()
    return state if state.provider and state.data else None
