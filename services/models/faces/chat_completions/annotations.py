"""Sources of an answer's text → the annotations of a message.

Chat Completions knows one kind, citations of web pages; the passages of documents that Anthropic cites have no place.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from proto import models_pb2
from services.shared.json_text import encode

URL_CITATION = "url_citation"


class _UrlCitation(msgspec.Struct):
    url: str
    title: str = ""
    start_index: int | None = None
    end_index: int | None = None


class _Source(msgspec.Struct):
    """A source in a provider's form: OpenAI's of Chat Completions, flat as in Responses, or Anthropic's."""

    type: str = ""
    url_citation: _UrlCitation | None = None
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(msgspec.Struct):
    type: str
    url_citation: _UrlCitation


_sources = msgspec.json.Decoder(list[msgspec.Raw])
_source = msgspec.json.Decoder(_Source)


def annotations_of(message: models_pb2.ChatMessage) -> bytes:
    """The annotations of an answer as JSON; b"" without any."""
    annotations: list[_Annotation] = []
    start = 0
    for part in message.parts:
        if part.citations_json:
            annotations += _annotations(part, start)
        start += len(part.text)
    return encode(annotations) if annotations else b""


def _annotations(part: models_pb2.ContentPart, start: int) -> Iterator[_Annotation]:
    """The citations of web pages in a part whose text begins at `start`; those without a place are of all its text."""
    for source in _read(part.citations_json):
        cited = source.url_citation
        if cited is None and source.url:
            cited = _UrlCitation(source.url, source.title or "", source.start_index, source.end_index)
        if cited is None:
            continue
        first = 0 if cited.start_index is None else cited.start_index
        last = len(part.text) if cited.end_index is None else cited.end_index
        yield _Annotation(URL_CITATION, _UrlCitation(cited.url, cited.title, start + first, start + last))


def _read(citations_json: str) -> Iterator[_Source]:
    try:
        written = _sources.decode(citations_json)
    except (msgspec.MsgspecError, RecursionError):
        return
    for raw in written:
        try:
            yield _source.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            continue
