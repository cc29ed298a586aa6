"""Messages as dicts, and the methods that the SDK adds to them."""

from __future__ import annotations

import html
import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from genai_platform import (
    Attempt,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    ContentPart,
    Media,
    ModelSource,
    Notice,
    Session,
    Timing,
    TokenUsage,
    ToolCall,
    to_dict,
)
from genai_platform.requests import build_chat_request

USAGE = TokenUsage(prompt_tokens=37, completion_tokens=10, total_tokens=47, cost_nano_usd=1_230_000)


def test_dict_has_numbers_as_numbers_and_the_fields_own_names() -> None:
    response = ChatResponse(
        text="Hi.",
        usage=USAGE,
        source=ModelSource.MODEL_SOURCE_BUILT_IN,
        timing=Timing(total=timedelta(seconds=1.5)),
        attempts=[Attempt(model="m", http_status=503)],
        message=ChatMessage(role="assistant", parts=[ContentPart(media=Media(data=b"\xff"))]),
    )
    told = to_dict(response)
    assert told["usage"]["cost_nano_usd"] == 1_230_000
    assert told["usage"]["estimated"] is False
    assert "cached_prompt_tokens" not in told["usage"]
    assert "prompt" not in told
    assert (told["source"], told["timing"], told["session_next_sequence"]) == ("built_in", {"total": 1.5}, 0)
    assert told["attempts"][0]["http_status"] == 503
    assert told["message"]["parts"][0]["media"]["data"] == "/w=="
    assert json.loads(json.dumps(told)) == told


def test_dict_has_maps_and_times() -> None:
    session = Session(metadata={"a": "b"}, create_time=datetime(2026, 1, 2, tzinfo=UTC))
    assert to_dict(session)["metadata"] == {"a": "b"}
    assert to_dict(session)["create_time"] == "2026-01-02T00:00:00Z"


def test_dict_of_a_request_is_taken_back() -> None:
    request = build_chat_request(
        "Hi", {"model": "m", "tools": [{"name": "f"}], "tool_choice": "required", "timeouts": {"total": 3}}
    )
    assert build_chat_request(None, to_dict(request)) == request
    assert isinstance(request, ChatRequest)


def test_cost_is_in_dollars_or_not_known() -> None:
    assert USAGE.cost_usd == pytest.approx(0.00123)
    assert TokenUsage(cost_nano_usd=0).cost_usd == 0
    assert TokenUsage(prompt_tokens=5).cost_usd is None
    assert ChatResponse(usage=USAGE).usage.cost_usd == USAGE.cost_usd


def test_media_of_a_file_has_its_content_type_and_name(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(b"png")
    assert Media.from_file(path) == Media(data=b"png", mime_type="image/png", filename="cat.png")
    assert Media.from_file(str(path), mime_type="image/webp", detail="low") == Media(
        data=b"png", mime_type="image/webp", filename="cat.png", detail="low"
    )
    with pytest.raises(
        ValueError, match=r"media type of cat\.unknown is not known by its ending; give it as mime_type="
    ):
        Media.from_file(tmp_path / "cat.unknown")
    with pytest.raises(FileNotFoundError):
        Media.from_file(tmp_path / "dog.png")


def test_answer_is_short_in_a_console() -> None:
    response = ChatResponse(text="Hello! " * 100, model="m", finish_reason="stop", usage=USAGE)
    assert repr(response) == (
        "<ChatResponse 'Hello! Hello! Hello! Hello! Hello! Hello! Hello! Hello! Hell…', "
        "m, stop, 37 + 10 tokens, $0.001230>"
    )
    called = ChatResponse(tool_calls=[ToolCall(name="f"), ToolCall(name="g")], warnings=[Notice(code="A")])
    assert repr(called) == "<ChatResponse '', 2 tool calls, 1 warning>"


def test_answer_in_a_notebook_is_its_formatted_text_above_its_facts() -> None:
    response = ChatResponse(
        text="# Title\n\n*So* | `a[0] < b`\n\n1. do\n\n   ```python\n   if a < b:\n\n       c()\n   ```\n" + "x" * 500,
        model="a_b",
        finish_reason="stop",
        usage=USAGE,
        tool_calls=[ToolCall(name="f", arguments_json='{"a": 1}')],
        warnings=[Notice(message="<i>")],
    )
    shown = response._repr_markdown_()
    assert shown.startswith("# Title\n\n*So* | <code>")
    assert html.unescape(shown) == (
        "# Title\n\n*So* | <code>a[0] < b</code>\n\n1. do\n\n   <pre><code>if a < b:\n\n    c()</code></pre>\n"
        + "x" * 500
        + '\n\n<pre><code>f({"a": 1})</code></pre>'
        + "\n\n<small>a_b · stop · 1 tool call · 37 + 10 tokens · $0.001230 · 1 warning</small>"
        + "\n\n<small>⚠ <i></small>"
    )
    assert ChatResponse()._repr_markdown_() == ""


def test_no_answer_writes_into_the_page_of_a_notebook() -> None:
    """Neither a tag, nor a link or an image, which are loaded or lead elsewhere, by whatever code surrounds it."""
    pieces = ["<script>", "![i](http://e.example/i.png)", "[l](javascript:f)", "[l]: javascript:f"]
    pieces += ["`", "``", "```", "~~~", "\\", "\n", "\n\n", "- ", "> ", "   ", "    ", "$$", "word", "&lt;", "*", "|"]
    chooser = random.Random(1)
    for _ in range(3000):
        text = "".join(chooser.choices(pieces, k=chooser.randint(1, 12)))
        response = ChatResponse(text=text, model=text, tool_calls=[ToolCall(name=text, arguments_json=text)])
        shown = response._repr_markdown_()
        left = re.sub(r"</?(?:pre|code|small)>", "", shown)
        assert "<" not in left, text
        assert "[" not in left, text
