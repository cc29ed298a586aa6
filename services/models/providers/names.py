"""Ids of tool calls and names of tools: the rules of providers for them, and replacements that fit these rules."""

from __future__ import annotations

import hashlib
import re
import string
from typing import NamedTuple

_LETTERS = string.digits + string.ascii_letters

HASH_LENGTH = 8
_NOT_PLAIN = re.compile("[^A-Za-z0-9_-]")


class CallIdRules(NamedTuple):
    """Rules of a provider for ids of tool calls."""

    pattern: re.Pattern[str]
    are_unique: bool = False
    """Whether every call of a conversation must have an id of its own."""
    are_in_state: bool = True
    """Whether a call that the provider made goes back in its own form, with the id that it has there."""


MISTRAL_IDS = CallIdRules(re.compile("[a-zA-Z0-9]{9}"), are_in_state=False)
"""Mistral's own service, and its tokenizers and templates elsewhere: "must be a-z, A-Z, 0-9, with a length of 9"
(validation/validator.py of mistral-common)."""

MADE_LENGTH = 9


def make_call_id(content: str) -> str:
    """An id that every provider takes, the same for the same content."""
    number = int.from_bytes(hashlib.sha256(content.encode()).digest())
    letters = []
    for _ in range(MADE_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return "".join(letters)


class ToolNameRules(NamedTuple):
    """Rules of a provider for names of tools."""

    pattern: re.Pattern[str]
    max_length: int

    def take(self, name: str) -> bool:
        return len(name) <= self.max_length and bool(self.pattern.fullmatch(name))

    def fit(self, name: str) -> str:
        """The name, or a replacement that is derived from it: the same in every request, and unique to the name."""
        if self.take(name):
            return name
        plain = _NOT_PLAIN.sub("_", name)[: self.max_length - HASH_LENGTH - 2]
        # Some providers require a letter or an underscore at the beginning.
        plain = plain if plain[:1].isalpha() else f"_{plain}"
        return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:HASH_LENGTH]}"


OPENAI_NAMES = ToolNameRules(re.compile("[A-Za-z0-9_-]+"), 64)
"""`FunctionDefinition` of openai 3.54."""
ANTHROPIC_NAMES = ToolNameRules(re.compile("[A-Za-z0-9_-]+"), 128)
"""https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use"""
GEMINI_NAMES = ToolNameRules(re.compile("[A-Za-z_][A-Za-z0-9_.:-]*"), 64)
"""https://ai.google.dev/api/caching#FunctionDeclaration"""
