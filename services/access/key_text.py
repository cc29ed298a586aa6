"""The text of API keys: `gk_<12: public id>_<43: secret><6: checksum>`, all of them digits and letters.

The prefix and the checksum let scanners of secrets recognise a key, and a typo be told without a look-up.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import NamedTuple

PREFIX = "gk"
ID_LENGTH = 12
SECRET_LENGTH = 43
"""43 characters of base62 are 256 bits."""
CHECKSUM_LENGTH = 6

ID_PLACE = slice(len(PREFIX) + 1, len(PREFIX) + 1 + ID_LENGTH)
"""The place of the public id in a key."""

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(rf"{PREFIX}_([0-9A-Za-z]{{{ID_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}")


class NewKey(NamedTuple):
    """A new key."""

    id: str
    text: str

    @property
    def hash(self) -> bytes:
        return hash_of(self.text)


def make_id() -> str:
    """A new public id."""
    return _random(ID_LENGTH)


def make_key(key_id: str) -> NewKey:
    """A key with a new secret."""
    body = f"{PREFIX}_{key_id}_{_random(SECRET_LENGTH)}"
    return NewKey(key_id, body + _checksum(body))


def read_id(text: str) -> str | None:
    """The public id in a key; None for a text that is no key, or one with a typo."""
    form = _FORM.fullmatch(text)
    if not form or _checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        return None
    return form[1]


def hash_of(text: str) -> bytes:
    """The hash by which a key is stored. A slow one would protect nothing: the secret is random, and every call would
    pay for it."""
    return hashlib.sha256(text.encode()).digest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
