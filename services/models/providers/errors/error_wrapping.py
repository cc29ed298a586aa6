"""Words and sentences of an error, taken out of its wrappings.

Servers put an error into an object, a list, a text or another error, and proxies put that into theirs:

  {"error": {"message", "type", "param", "code"}}          OpenAI, and Anthropic beside "type": "error"
  [{"error": {"code": 400, "message", "status"}}]          Gemini on its OpenAI-compatible path
  {"object": "error", "message", "type", "code"}           vLLM, Mistral
  {"message": {"detail": [{"loc", "msg", "type"}]}}        Mistral, of what its validation refuses
  {"detail": "…"}, {"detail": [{"loc", "msg"}]}            FastAPI, and so SGLang, LMDeploy, Replicate
  {"error": "…", "error_type": "validation"}               text-generation-inference, Ollama, xAI, Hugging Face
  {"error": {"message", "metadata": {"raw": "{…}"}}}       OpenRouter, with the provider's own error as text
  {"errors": [{"code", "message"}]}                        watsonx, Cloudflare
  {"message": "…"}, {"__type": "ns#Name", "Message"}       Cohere, Bedrock and AWS
  {"error_code": "…", "message"}                           Databricks, Qianfan (error_msg)
  {"base_resp": {"status_code", "status_msg"}}             MiniMax
  {"Response": {"Error": {"Code", "Message"}}}             Tencent
  {"ErrorCode", "OriginalMessage": "{…}"}                  SageMaker
  {"errors": {"a_member": ["…"]}}                          Django and Rails
  {"type", "title", "status", "detail"}                    RFC 9457
  an error event in place of a body, a page of HTML, XML, plain text
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from services.shared import json_text

MAX_WRAPPINGS = 8
"""Depth to which an error is unwrapped."""
MAX_ENTRIES = 16
"""Entries of a list of errors, and words and sentences of all of them."""
MAX_VALUES = 1024
"""Values of a tree that is wide and deep."""
MAX_TEXT = 16 * 1024
"""Characters of a sentence, and of a text that is read as JSON or as a page."""

WRAPPINGS = (
    "error",
    "errors",
    "detail",
    "details",
    "fieldViolations",
    "metadata",
    "raw",
    "base_resp",
    "response",
    "Response",
    "Error",
    "body",
    "cause",
    "OriginalMessage",
)
"""The members that an error may be wrapped in, the innermost first."""
SENTENCE_MEMBERS = (
    "message",
    "Message",
    "msg",
    "error_message",
    "error_msg",
    "errorMessage",
    "errmsg",
    "status_msg",
    "error_description",
    "description",
    "reason_phrase",
)
WORD_MEMBERS = (
    "code",
    "Code",
    "error_code",
    "errorCode",
    "reason",
    "type",
    "__type",
    "error_type",
    "errorType",
    "status",
)
"""The members that hold a code or type of the error, the most specific first."""
STATUS_MEMBERS = ("code", "status_code", "statusCode", "http_code", "status", "http_status")
PARAM_MEMBERS = ("param", "field", "parameter")

_TAG = re.compile(r"<[^<>]*>")
_UNSHOWN = ("script", "style")
_PYTHON_BYTES = re.compile(r"b(?=['\"][\[{])")


class UnwrappedError(NamedTuple):
    """An error of a server, without its wrappings."""

    words: tuple[str, ...] = ()
    """Its codes and types, the most specific first."""
    message: str = ""
    """Its sentences, or the text of a body that is not JSON; "" if there is none."""
    param: str = ""
    """The member of the body that it complains about."""
    status: int = 0
    """The HTTP status in the error itself, which may differ from that of a stream; 0 if there is none."""


def read_error(body: bytes) -> UnwrappedError:
    """The error in the body of an error response."""
    try:
        return find_error(json_text.decode(body))
    except json_text.Malformed:
        return _read_text(body[: 4 * MAX_TEXT].decode("utf-8", "replace").lstrip("\ufeff")[:MAX_TEXT])


def find_error(value: Any) -> UnwrappedError:
    """The error in a JSON value that is one, or holds one."""
    found = _Findings()
    found.search(value, MAX_WRAPPINGS)
    return UnwrappedError(tuple(found.words), "; ".join(found.sentences), found.param, found.status)


def _read_text(text: str) -> UnwrappedError:
    lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    inner = _decoded("\n".join(lines) if lines else text)
    if inner is not None:
        return find_error(inner)
    return UnwrappedError(message=_shown(text))


def _shown(text: str) -> str:
    """The visible text of a page; other text as it is."""
    text = text.strip()
    if not text.startswith("<"):
        return text
    for name in _UNSHOWN:
        first, *others = text.split(f"<{name}")
        text = first + "".join(other.partition(f"</{name}>")[2] for other in others)
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())


def _decoded(text: str) -> Any:
    """The JSON object or list in a text, or None."""
    text = _PYTHON_BYTES.sub("", text.strip()[:MAX_TEXT], 1).strip("'\"")
    if not text.startswith(("{", "[")):
        return None
    try:
        value = json_text.decode(text.encode("utf-8", "surrogatepass"))
    except json_text.Malformed:
        return None
    return value if isinstance(value, dict | list) else None


class _Findings:
    """The findings so far, the innermost first."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.sentences: list[str] = []
        self.param = ""
        self.status = 0
        self._looked_at = 0

    def search(self, value: Any, depth: int) -> None:
        self._looked_at += 1
        if depth == 0 or self._looked_at > MAX_VALUES:
            return
        if isinstance(value, str):
            self._search_text(value, depth)
        elif isinstance(value, list):
            for item in value[:MAX_ENTRIES]:
                self.search(item, depth - 1)
        elif isinstance(value, dict):
            self._search_object(value, depth)

    def _search_text(self, text: str, depth: int) -> None:
        inner = _decoded(text)
        if inner is not None:
            self.search(inner, depth - 1)
        else:
            self._add_sentence(_shown(json_text.text_of(text[:MAX_TEXT])))

    def _search_object(self, error: dict[str, Any], depth: int) -> None:
        for name in WRAPPINGS:
            if name in error:
                self.search(error[name], depth - 1)
        location = _location(error)
        for name in SENTENCE_MEMBERS:
            value = error.get(name)
            if isinstance(value, str) and location:
                value = f"{location}: {value}"
            self.search(value, depth - 1)
        if not self.sentences:
            self.search(error.get("title"), depth - 1)
        if isinstance(by_name := error.get("errors"), dict) and not self.sentences:
            for name, sentences in list(by_name.items())[:MAX_ENTRIES]:
                self.search([f"{name[:256]}: {text}" for text in _texts(sentences)], depth - 1)
        for word in _words(error):
            self._add_word(word)
        self.param = self.param or next((text for name in PARAM_MEMBERS if (text := _text(error.get(name)))), "")
        self.status = self.status or next(
            (status for name in STATUS_MEMBERS if (status := _status(error.get(name)))), 0
        )

    def _add_sentence(self, sentence: str) -> None:
        known = any(sentence in other for other in self.sentences)
        if sentence and not known and len(self.sentences) < MAX_ENTRIES:
            self.sentences.append(sentence)

    def _add_word(self, word: str) -> None:
        if word not in self.words and len(self.words) < MAX_ENTRIES:
            self.words.append(word)


def _words(error: dict[str, Any]) -> Iterator[str]:
    if "status_msg" in error:
        # Other servers use the same numbers with other meanings.
        yield f"minimax_{error.get('status_code')}"
    for name in WORD_MEMBERS:
        word = _text(error.get(name))
        if word:
            # AWS: `com.amazonaws.bedrock#ValidationException:http://…`.
            yield word.rpartition("#")[2].partition(":")[0]


def _texts(value: Any) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)][:MAX_ENTRIES]


def _location(error: dict[str, Any]) -> str:
    """The path of a member that FastAPI refuses: `["body", "messages", 0, "role"]`."""
    path = json_text.items_of(error.get("loc"))[:MAX_ENTRIES]
    return ".".join(str(step) for step in path if isinstance(step, str | int))[:256]


def _text(value: Any) -> str:
    return json_text.text_of(value)[:MAX_TEXT]


def _status(value: Any) -> int:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else 0
