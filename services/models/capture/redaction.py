"""Redaction: takes secrets and what names people out of texts before they are kept.

It goes by patterns, so it finds what looks like a key, an address or a number, and nothing else. What models get is
never redacted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Literal, NamedTuple, get_args

Kind = Literal["secrets", "card", "email", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are looked for: what a secret contains is no address."""

# Every repetition is bounded, so that no text takes time beyond its length.
_SECRETS = re.compile(
    r"""
    -----BEGIN\ [A-Z\ ]{0,32}PRIVATE\ KEY-----(?:[^-]|-(?!----)){0,16384}(?:-----END\ [A-Z\ ]{0,32}PRIVATE\ KEY-----)?
    | \beyJ[\w-]{8,4096}\.[\w-]{8,4096}\.[\w-]{0,4096}                                   # JSON Web Tokens
    | \b(?:sk|pk|rk|gk|gh[opsur]|glpat|xox[abeprs]|hf|r8|npm|pypi|dop_v1)[-_][\w-]{16,512} # keys of vendors
    | \b(?:AKIA|ASIA|AIza)[\w-]{12,128}
    | (?i:\bbearer[ ]{1,8})[\w.~+/=-]{12,4096}
    | (?<=://)[^\s/:@]{1,128}:[^\s/@]{1,128}(?=@)                                         # in an address
    | (?i:\b(?:api[ _-]?key|access[ _-]?key|passwor[dt]|passwd|pwd|secret|auth[ _-]?token)\b)
      ["']?[ ]{0,8}[:=][ ]{0,8}["']?[^\s"',;]{4,512}
    """,
    re.VERBOSE,
)
_CARD = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_PHONE = re.compile(
    r"(?<![\w.])\+\d[\d ().-]{6,20}\d(?![\d.-]\d|\d)"  # international
    r"|(?<![\w.-])(?:\(\d{2,5}\)[ ]?|\d{3}[ .-])\d{3}[ .-]\d{4}(?!\d)"  # with an area code
)


class Redacted(NamedTuple):
    """A text without what was taken out of it."""

    text: str
    counts: Mapping[str, int]
    """The number of texts of each kind that were taken out."""


class Redactor:
    """Takes these kinds out of texts."""

    def __init__(self, kinds: Collection[Kind] = KINDS) -> None:
        self._kinds = [kind for kind in KINDS if kind in kinds]

    def redact(self, text: str) -> Redacted:
        """The text, in which `[redacted email]` and the like stand for what was taken out."""
        counts: Counter[str] = Counter()
        for kind in self._kinds:
            text = _PATTERNS[kind].sub(_replacing(kind, counts), text)
        return Redacted(text, counts)


_PATTERNS: Mapping[Kind, re.Pattern[str]] = {"secrets": _SECRETS, "card": _CARD, "email": _EMAIL, "phone": _PHONE}


def _replacing(kind: Kind, counts: Counter[str]) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        if kind == "card" and not _is_card(match[0]):
            return match[0]
        counts[kind] += 1
        return f"[redacted {'secret' if kind == 'secrets' else kind}]"

    return replace


def _is_card(number: str) -> bool:
    """Whether the digits have the check digit of a card (Luhn, ISO/IEC 7812-1, annex B)."""
    digits = [int(digit) for digit in number if digit.isdigit()]
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
