"""The members of answers that the platform drops, each as an answer that has it and the notice that says so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

CHAT_COMPLETIONS, RESPONSES, MESSAGES = "Chat Completions", "Responses", "Messages"

Members = dict[str, Any]


class DroppedMember(NamedTuple):
    dialect: str
    name: str
    notice: str
    body: bytes | None
    """A whole answer; None where streams alone have it."""
    events: Sequence[bytes]
    """The data of the same as a stream."""


def dropped_members() -> Iterator[DroppedMember]:
    yield from _of_completions()
    yield from _of_responses()
    yield from _of_messages()


# ------------------------------------------------------------------------------------------------- chat completions


def _of_completions() -> Iterator[DroppedMember]:
    second = {"index": 1, "finish_reason": "stop"}
    said: Members = {"content": "Ho"}
    yield _completion("sound; its transcript becomes the text", "AUDIO_DROPPED", {"audio": {"id": "a", "data": "AAAA"}})
    yield DroppedMember(
        CHAT_COMPLETIONS,
        "further choices",
        "CHOICES_DROPPED",
        _json({"choices": [_choice("message", {}), {**second, "message": said}]}),
        [_json({"choices": [_choice("delta", {}), {**second, "delta": said}]}), b"[DONE]"],
    )
    yield _completion(
        "parts of unknown kinds in the content",
        "PART_DROPPED",
        {"content": [{"type": "text", "text": "Hi"}, {"type": "a"}]},
    )
    told: dict[str, Members] = {
        "results of moderation": {
            "moderation": {"output": {"type": "moderation_results", "results": [{"flagged": True}]}}
        },
        "sources beside the message": {"citations": ["https://a.example"]},
        "what was found, beside the message": {"search_results": [{"url": "https://a.example"}]},
        "further questions": {"related_questions": ["And then?"]},
        "images beside the message": {"images": [{"image_url": "https://a.example/a.png"}]},
        "logprobs of the prompt": {"prompt_logprobs": [None, {"1": {"logprob": -1}}]},
        "ids of the prompt's tokens": {"prompt_token_ids": [1, 2]},
    }
    for name, members in told.items():
        yield _completion(name, "MEMBERS_DROPPED", members=members)
    yield _completion("ids of the answer's tokens", "MEMBERS_DROPPED", in_choice={"token_ids": [1]})
    for count in ("audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"):
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {count: 2}}
        yield _completion(f"the count {count}", "COUNTS_DROPPED", members={"usage": usage})


def _completion(
    name: str,
    notice: str,
    message: Members | None = None,
    *,
    in_choice: Members | None = None,
    members: Members | None = None,
) -> DroppedMember:
    whole = _choice("message", message or {}) | (in_choice or {})
    piece = _choice("delta", message or {}) | (in_choice or {})
    body, event = _json({"choices": [whole], **(members or {})}), _json({"choices": [piece], **(members or {})})
    return DroppedMember(CHAT_COMPLETIONS, name, notice, body, [event, b"[DONE]"])


def _choice(member: str, message: Members) -> Members:
    return {"index": 0, member: {"content": "Hi", **message}, "finish_reason": "stop"}


# -------------------------------------------------------------------------------------------------------- responses


def _of_responses() -> Iterator[DroppedMember]:
    told: dict[str, tuple[str, Members]] = {
        "results of moderation": ("MEMBERS_DROPPED", {"moderation": {"input": {"type": "moderation_result"}}}),
        "why a prompt was not cached": ("MEMBERS_DROPPED", {"prompt_cache_diagnostics": {"type": "cache_hit"}}),
        "the count of tokens of images": ("COUNTS_DROPPED", {"tool_usage": {"image_gen": {"total_tokens": 9}}}),
    }
    for name, (notice, members) in told.items():
        response = _response(members)
        yield DroppedMember(RESPONSES, name, notice, _json(response), [_ended(response)])
    streamed: dict[str, tuple[str, Members]] = {
        "previews of images": ("PREVIEWS_DROPPED", {"type": "response.image_generation_call.partial_image"}),
        "sound, with its transcript": ("AUDIO_DROPPED", {"type": "response.audio.delta", "delta": "AAAA"}),
    }
    for name, (notice, event) in streamed.items():
        yield DroppedMember(RESPONSES, name, notice, None, [_json(event), _ended(_response({}))])


def _response(members: Members) -> Members:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    return {"status": "completed", "output": [said], **members}


def _ended(response: Members) -> bytes:
    return _json({"type": "response.completed", "response": response})


# --------------------------------------------------------------------------------------------------------- messages


def _of_messages() -> Iterator[DroppedMember]:
    dropped = [{"type": "thinking_dropped", "path": "messages.1.content.0", "reason": "model_binding_mismatch"}]
    told: dict[str, tuple[str, Members]] = {
        "why a prompt was not cached": ("MEMBERS_DROPPED", {"diagnostics": {"cache_miss_reason": {"type": "model"}}}),
        "what was cleared of the context": (
            "MEMBERS_DROPPED",
            {"context_management": {"applied_edits": [{"type": "a"}]}},
        ),
        "earlier thinking that was taken out": ("REASONING_DROPPED", {"input_transformations": dropped}),
    }
    for name, (notice, members) in told.items():
        yield _message(name, notice, members, {})
    counted: dict[str, Members] = {
        "counts of compactions and of other models": {"iterations": [{"type": "compaction", "output_tokens": 9}]},
    }
    for name, usage in counted.items():
        yield _message(name, "COUNTS_DROPPED", {}, usage)
    unknown = {"type": "content_block_delta", "index": 0, "delta": {"type": "a_new_delta", "a": 1}}
    events = [*_events({}, {})]
    yield DroppedMember(
        MESSAGES, "pieces of unknown kinds of a text", "PART_DROPPED", None, [*events[:2], _json(unknown), *events[2:]]
    )


def _message(name: str, notice: str, members: Members, usage: Members) -> DroppedMember:
    counts = {"input_tokens": 3, "output_tokens": 1, **usage}
    content = [{"type": "text", "text": "Hi"}]
    body = {"type": "message", "content": content, "stop_reason": "end_turn", "usage": counts, **members}
    return DroppedMember(MESSAGES, name, notice, _json(body), list(_events(members, counts)))


def _events(members: Members, usage: Members) -> Iterator[bytes]:
    yield _json({"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}})
    yield _json({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}})
    yield _json({"type": "content_block_stop", "index": 0})
    yield _json({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage, **members})
    yield _json({"type": "message_stop"})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
