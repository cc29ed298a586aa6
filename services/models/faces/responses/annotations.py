"""Sources of a text in the form of OpenAI's annotations, as far as they are pages with an address.

https://platform.openai.com/docs/guides/tools-web-search#output-and-citations
"""

from __future__ import annotations

from typing import Any

from services.shared import json_text
from services.shared.json_text import items_of, object_of, text_of


def annotations_of(citations_json: str, length: int) -> list[bytes]:
    """The annotations of a text of this length, from the citations of any provider.

    Anthropic's citations are of the whole text block.
    """
    try:
        citations = items_of(json_text.decode(citations_json.encode()))
    except json_text.Malformed:
        return []
    return [json_text.encode(found) for citation in citations if (found := _annotation(object_of(citation), length))]


def _annotation(citation: dict[str, Any], length: int) -> dict[str, Any] | None:
    # Chat Completions has the members in an object of their own.
    source = object_of(citation.get("url_citation")) or citation
    url = text_of(source.get("url"))
    if not url:
        return None
    return {
        "type": "url_citation",
        "url": url,
        "title": text_of(source.get("title")),
        "start_index": _place(source.get("start_index"), 0),
        "end_index": _place(source.get("end_index"), length),
    }


def _place(value: Any, otherwise: int) -> int:
    count = json_text.count_of(value)
    return otherwise if count is None else count
