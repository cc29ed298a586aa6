"""Messages of providers about errors, sanitized for the caller: bounded, in visible characters, without any key.

A provider may quote its request, and a proxy anything that it holds. So every key of the platform is masked, in each
form that a key takes on its way (plain, percent-encoded, escaped for JSON and HTML, in hexadecimal digits and in
base64, also within a longer text), its beginning too, and any text that looks like a key of a known vendor.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import quote, quote_plus

from services.shared.characters import INVISIBLE

MAX_BYTES = 1024
"""UTF-8 bytes of the sanitized message."""

MASK = b"***"

LOOKED_AT_BYTES = 4096
"""Bytes that are searched for keys; a mask may be shorter than the key."""

LONG_KEY = 6
"""The length from which a key is also masked within a word; a shorter one only as a whole word."""
SHOWN_BEGINNING = 8
"""Characters of a key's beginning that suffice to mask all that follows them."""

KEY_SHAPES = re.compile(
    rb"\b(?:sk|pk|rk)[-_][\w*.-]{6,}"  # OpenAI, Anthropic, DeepSeek, Moonshot, OpenRouter, Qwen and others
    rb"|\b(?:gsk_|xai-|hf_|r8_|nvapi-|pplx-|fw_|csk-|tgp_v1_|sess-|glpat-|gh[a-z]_|github_pat_|xox[a-z]-)[\w*.-]{6,}"
    rb"|\bdapi[0-9a-f*]{8,}[\w*-]*|\bAIza[\w*-]{6,}|\bya29\.[\w*.-]{6,}|\b(?:AKIA|ASIA)[A-Z0-9*]{8,}"
    rb"|\beyJ[\w-]{6,}(?:\.[\w-]*){0,2}"  # a JSON Web Token, as MiniMax and many gateways have them
    rb"|\b[0-9a-f]{32}\.\w{16}\b"  # GLM
    rb"|\b(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{32,}\b"  # Azure, Cohere, Mistral, Together, AI21
    rb"|(?<=\bBearer )[^ \"',;]+|(?<=\bBasic )[A-Za-z0-9+/=_-]{8,}"
    rb"|(?i:(?<=api_key=)|(?<=api-key: )|(?<=api_key: )|(?<=apikey=)|(?<=\?key=)|(?<=&key=)|(?<=token=))[^ &\"',;]+"
)

_BLANKS = re.compile(r"[\s\x1c-\x1f\x85\u2028\u2029]+")
_REST_OF_KEY = re.compile(rb"[\w*~+/=-]*+(?:\.++[\w*~+/=-]++)*+")
_WORD = re.compile(rb"\w")


def sanitize_message(message: str, keys: Collection[str]) -> str:
    """The part of a provider's message that its caller may read; "" if nothing is left. `keys` are all that it must not
    quote."""
    data = _visible(message).encode("utf-8", "replace")
    forms = sorted({form for key in keys for form in _forms(key)}, key=len, reverse=True)
    beginnings = {key[:SHOWN_BEGINNING].encode().lower() for key in keys if len(key) > 2 * SHOWN_BEGINNING}
    masked = KEY_SHAPES.sub(MASK, _masked(data[:LOOKED_AT_BYTES], forms, beginnings))
    if len(data) > LOOKED_AT_BYTES:
        # The cut end may be the beginning of a key.
        masked = masked[: max(0, len(masked) - max(map(len, forms), default=0) - len(MASK))]
    return masked[:MAX_BYTES].decode("utf-8", "ignore").strip()


def _visible(message: str) -> str:
    """One line of visible characters."""
    return INVISIBLE.sub("", _BLANKS.sub(" ", message)).strip()


def _forms(key: str) -> Iterator[bytes]:
    """The forms of a key, in lower case."""
    key = _visible(key)
    if not key:
        return
    texts = {key, quote(key, safe=""), quote(key), quote_plus(key), json.dumps(key)[1:-1], html.escape(key)}
    yield from (text.lower().encode() for text in texts)
    if len(key) >= LONG_KEY:
        data = key.encode()
        yield data.hex().encode()
        for core in _base64_cores(data):
            yield core
            yield core.replace(b"+", b"-").replace(b"/", b"_")


def _base64_cores(data: bytes) -> Iterator[bytes]:
    """The base64 digits that depend on `data` alone, at each possible offset in a longer text that was encoded."""
    for before in range(3):
        digits = base64.b64encode(bytes(before) + data)
        whole = (before + len(data)) * 8 // 6
        yield digits[-(-before * 8 // 6) : whole].lower()


def _masked(data: bytes, forms: Iterable[bytes], beginnings: Iterable[bytes]) -> bytes:
    small = data.lower()
    spans = [span for form in forms for span in _spans(small, form)]
    for beginning in beginnings:
        spans += [(start, _end_of_key(data, end)) for start, end in _spans(small, beginning)]
    if not spans:
        return data
    pieces: list[bytes] = []
    written = 0
    for start, end in sorted(spans):
        if start >= written:
            pieces += [data[written:start], MASK]
        written = max(written, end)
    return b"".join([*pieces, data[written:]])


def _spans(data: bytes, form: bytes) -> Iterator[tuple[int, int]]:
    start = data.find(form)
    while start >= 0:
        end = start + len(form)
        if len(form) >= LONG_KEY or not (_WORD.match(data, end) or _WORD.match(data[start - 1 : start])):
            yield start, end
        start = data.find(form, end)


def _end_of_key(data: bytes, end: int) -> int:
    found = _REST_OF_KEY.match(data, end)
    return found.end() if found else end
