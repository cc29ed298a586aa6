"""OpenAI's Responses as a server speaks it: one and the same answer as a body and as the events of a stream."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec

from services.models.providers.base import Target
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from tests.scripted_upstream import event
from tests.wire.adapter import Adapter, vendor_target
from tests.wire.dialects import ANSWER_ID, MODEL, USAGE, Call, Sample, Speech, Usage, encode

ENCRYPTED = "gAAAAB-encrypted"


class ResponsesSpeech(Speech):
    """Responses. An item is written alike in both verbs: what comes back of it must be the same bytes."""

    title = "Responses"
    terminal_words = (b"response.completed", b"response.incomplete")
    finish_reasons: ClassVar[dict[str, str]] = {
        "completed": "stop",
        "max_output_tokens": "length",
        "content_filter": "content_filter",
        "a_new_word": "other",
    }
    terminal_event = event("[DONE]")
    sdk_type = "openai_responses"

    def __init__(self) -> None:
        self._numbers: Iterator[int] = itertools.count()

    def body(self, sample: Sample) -> dict[str, Any]:
        return self.response(self.items(sample), sample.finish or "completed", sample.usage)

    def response(
        self, items: Sequence[dict[str, Any]], finish: str = "completed", usage: Usage | None = USAGE
    ) -> dict[str, Any]:
        """A response that has ended."""
        status, details = ("completed", None) if finish == "completed" else ("incomplete", {"reason": finish})
        ended = {"status": status, "error": None, "incomplete_details": details, "output": list(items)}
        return self._head() | ended | {"usage": responses_usage(usage) if usage else None}

    def items(self, sample: Sample) -> list[dict[str, Any]]:
        """The output of a response."""
        items = []
        if sample.reasoning:
            items.append(self.reasoning(["".join(sample.reasoning)]))
        if sample.text:
            items.append(self.message("".join(sample.text)))
        return items + [self.call(call) for call in sample.calls]

    def reasoning(self, summary: Sequence[str]) -> dict[str, Any]:
        texts = [{"type": "summary_text", "text": text} for text in summary]
        return {"id": "rs_1", "type": "reasoning", "summary": texts, "encrypted_content": ENCRYPTED}

    def message(self, text: str, **members: Any) -> dict[str, Any]:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        return self._message("msg_1", "completed", [part]) | members

    def call(self, call: Call, **members: Any) -> dict[str, Any]:
        return {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        } | members

    def custom_call(self, call: Call, **members: Any) -> dict[str, Any]:
        """A call of a tool that takes free text, which is the call's arguments here."""
        return {
            "id": f"ctc_{call.id}",
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "input": call.arguments,
        } | members

    # ---------------------------------------------------------------------------------------------------- streamed

    def opening(self) -> list[str]:
        return [*self._created(), *self._message_opening(0)]

    def piece(self, text: str) -> str:
        return self._text_piece(0, text)

    def ending(self, sample: Sample) -> list[str]:
        text = "".join(sample.text)
        items = [self.message(text)] if text else []
        return [step for item in items for step in self._message_ending(0, item)] + self.ended(items, sample)

    def events(self, sample: Sample) -> list[str]:
        events = self._created()
        items = self.items(sample)
        for index, item in enumerate(items):
            if item["type"] == "reasoning":
                events += self.reasoning_events(index, item, sample.reasoning)
            elif item["type"] == "message":
                events += self._message_opening(index)
                events += [self._text_piece(index, piece) for piece in sample.text]
                events += self._message_ending(index, item)
            else:
                events += self.call_events(index, item, sample.calls[index - len(items)].pieces)
        return events + self.ended(items, sample)

    def ended(self, items: Sequence[dict[str, Any]], sample: Sample) -> list[str]:
        """The terminal event."""
        response = self.response(items, sample.finish or "completed", sample.usage)
        return [self.named(f"response.{response['status']}", response=response)]

    def reasoning_events(self, index: int, item: dict[str, Any], pieces: Sequence[str]) -> list[str]:
        """A reasoning item whose summary is one text."""
        place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        part = item["summary"][0]
        return [
            self.item_event("added", index, item | {"summary": [], "encrypted_content": "gAAAAB-half"}),
            self.named("response.reasoning_summary_part.added", **place, part={"type": "summary_text", "text": ""}),
            *(self.named("response.reasoning_summary_text.delta", **place, delta=piece) for piece in pieces),
            self.named("response.reasoning_summary_text.done", **place, text=part["text"]),
            self.named("response.reasoning_summary_part.done", **place, part=part),
            self.item_event("done", index, item),
        ]

    def call_events(self, index: int, item: dict[str, Any], pieces: Sequence[str]) -> list[str]:
        """A call of a function, or of a custom tool."""
        place = {"item_id": item["id"], "output_index": index}
        member = "arguments" if item["type"] == "function_call" else "input"
        kind = f"response.{item['type']}_{member}"
        return [
            self.item_event("added", index, item | {"status": "in_progress", member: ""}),
            *(self.named(f"{kind}.delta", **place, delta=piece) for piece in pieces),
            self.named(f"{kind}.done", **place, **{"name": item["name"], member: item[member]}),
            self.item_event("done", index, item),
        ]

    def item_event(self, what: str, index: int, item: dict[str, Any]) -> str:
        """An item that begins (`added`) or is whole (`done`)."""
        return self.named(f"response.output_item.{what}", output_index=index, item=item)

    def named(self, kind: str, **members: Any) -> str:
        return event(written({"type": kind, "sequence_number": next(self._numbers), **members}), kind)

    def error(self, word: str, message: str) -> dict[str, Any]:
        return {"type": "error", "code": word, "message": message, "param": None, "sequence_number": 9}

    def path(self, model: str, *, stream: bool) -> str:
        return "/responses"

    def returned(self, body: Any) -> Any:
        mine = [item for item in body["input"] if item.get("role") != "user"]
        return [item for item in mine if item.get("type") != "function_call_output"]

    def expected(self, sample: Sample) -> Any:
        items = json.loads(encode(self.body(sample)))["output"]
        # Behind reasoning every item goes back just as it came: the vendor ties them together by their ids.
        return items if sample.reasoning else [_plain_item(item) for item in items]

    def _created(self) -> list[str]:
        self._numbers = itertools.count()
        response = self._head() | {"status": "in_progress", "error": None, "incomplete_details": None}
        response |= {"output": [], "usage": None}
        return [
            self.named("response.created", response=response),
            self.named("response.in_progress", response=response),
        ]

    def _message_opening(self, index: int) -> list[str]:
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        return [
            self.item_event("added", index, self._message("msg_1", "in_progress", [])),
            self.named("response.content_part.added", **_place(index), part=part),
        ]

    def _text_piece(self, index: int, text: str) -> str:
        return self.named("response.output_text.delta", **_place(index), delta=text, logprobs=[], obfuscation="x7f")

    def _message_ending(self, index: int, item: dict[str, Any]) -> list[str]:
        part = item["content"][0]
        return [
            self.named("response.output_text.done", **_place(index), text=part["text"], logprobs=[]),
            self.named("response.content_part.done", **_place(index), part=part),
            self.item_event("done", index, item),
        ]

    def _message(self, item_id: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _head(self) -> dict[str, Any]:
        """What every snapshot of a response has, and its type requires."""
        return {
            "id": ANSWER_ID,
            "object": "response",
            "created_at": 1,
            "model": MODEL,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }


def _plain_item(item: dict[str, Any]) -> dict[str, Any]:
    """An output item in the shortest form that Responses takes back."""
    if item["type"] == "message":
        return {"type": "message", "role": "assistant", "content": "".join(part["text"] for part in item["content"])}
    return {name: item[name] for name in ("type", "call_id", "name", "arguments")}


def _place(index: int) -> dict[str, Any]:
    return {"item_id": "msg_1", "output_index": index, "content_index": 0}


def written(value: Any) -> str:
    """JSON as `dialects.encode` writes it; with half a character in it, as the standard library does."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value)


def responses_usage(usage: Usage) -> dict[str, Any]:
    told: dict[str, Any] = {
        "input_tokens": usage.prompt,
        "output_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    }
    if usage.cached is not None:
        told["input_tokens_details"] = {"cached_tokens": usage.cached, "cache_write_tokens": usage.written or 0}
    if usage.thought is not None:
        told["output_tokens_details"] = {"reasoning_tokens": usage.thought}
    return told


def responses_target(url: str) -> Target:
    return dataclasses.replace(vendor_target("openai", "gpt-5.1")(url), dialect=OPENAI_RESPONSES)


ADAPTERS = [
    Adapter(
        "openai-responses",
        "openai",
        ResponsesSpeech(),
        responses_target,
        ("openai_responses",),
        stands_for_dialect=True,
    )
]
