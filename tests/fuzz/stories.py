"""What an upstream says, written as the events of each dialect in the many ways in which servers write them.

Each event knows what it says and what it means for the end, so that whatever is left out, cut off or put between, it is
known what a reader must have heard, and whether it may take it for whole.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple


class Mark(Enum):
    """What an event means for the end of the answer."""

    FINISH = auto()
    """A finish reason: whole, unless more is said behind it."""
    END = auto()
    """Nothing behind it is read."""
    ERROR = auto()


class Piece(NamedTuple):
    """A piece of what is said: of a text, or of the name or the arguments of a call."""

    kind: str
    text: str
    call: int = 0


class Event(NamedTuple):
    value: Any
    """Its data: JSON, or bytes as they are."""
    name: str = ""
    says: tuple[Piece, ...] = ()
    mark: Mark | None = None


class Call(NamedTuple):
    name: str
    arguments: tuple[str, ...]


class Story(NamedTuple):
    """What is said, in the order in which it is: thoughts, text, calls."""

    thoughts: tuple[str, ...]
    texts: tuple[str, ...]
    calls: tuple[Call, ...]


def make_story(rng: random.Random) -> Story:
    words = iter(range(1000))
    texts = tuple(_word(rng, next(words)) for _ in range(rng.choice((0, 1, 1, 2, 5))))
    thoughts = tuple(_word(rng, next(words)) for _ in range(rng.choice((0, 0, 0, 1, 3))))
    calls = tuple(_call(rng, next(words)) for _ in range(rng.choice((0, 0, 0, 1, 2, 3))))
    return Story(thoughts, texts or (("" if thoughts or calls else "w"),), calls)


def _word(rng: random.Random, number: int) -> str:
    return rng.choice((f"w{number} ", f"w{number}\n\n", f"{number}\u2028", f"ö{number}", f"data: {number}\r\n", "a"))


def _call(rng: random.Random, number: int) -> Call:
    arguments = f'{{"n": {number}, "of": {{"text": "}}{{\\" [DONE]"}}}}'
    cuts = sorted(rng.sample(range(1, len(arguments)), rng.choice((0, 0, 1, 4))))
    pieces = [arguments[start:end] for start, end in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
    return Call(f"tool_{number}", rng.choice((tuple(pieces), tuple(pieces), ("{}",), ())))


# -------------------------------------------------------------------------------------------------- Chat Completions


def chat_events(rng: random.Random, story: Story) -> list[Event]:
    events = [_chunk({"role": "assistant", "content": ""})]
    name = rng.choice(("reasoning", "reasoning_content"))
    events += [_chunk({name: text}, says=(Piece("reasoning", text),)) for text in story.thoughts]
    write = rng.choice(TEXT_WAYS)
    events += [write(text)._replace(says=(Piece("text", text),)) for text in story.texts]
    events += rng.choice(CALL_WAYS)(story.calls)
    if rng.random() < 0.3:
        place = rng.randrange(len(events))
        events[place] = _early(events[place])
    if rng.random() < 0.1:
        events = [_early(event) for event in events]
    events.append(_chunk({}, finish="tool_calls" if story.calls else "stop"))
    if rng.random() < 0.5:
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        events.append(Event({"id": "c", "model": "m", "choices": [], "usage": usage}))
    return [*events, Event(b"[DONE]", mark=Mark.END)]


def _chunk(delta: dict[str, Any], *, says: tuple[Piece, ...] = (), finish: str | None = None) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    value = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return Event(value, says=says, mark=Mark.FINISH if finish else None)


def _early(event: Event) -> Event:
    """The event with a finish reason, as some gateways send it with their first, or with every one."""
    choice = event.value["choices"][0] | {"finish_reason": "stop"}
    return event._replace(value=event.value | {"choices": [choice]}, mark=Mark.FINISH)


def _as_message(text: str) -> Event:
    event = _chunk({})
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": None}
    return event._replace(value=event.value | {"choices": [choice]})


def _as_text(text: str) -> Event:
    event = _chunk({})
    return event._replace(value=event.value | {"choices": [{"index": 0, "text": text}]})


TEXT_WAYS: tuple[Callable[[str], Event], ...] = (
    lambda text: _chunk({"content": text}),
    lambda text: _chunk({"content": text}),
    lambda text: _chunk({"role": "assistant", "content": text, "tool_calls": None, "refusal": None}),
    lambda text: _chunk({"content": [{"type": "text", "text": text}]}),
    _as_message,
    _as_text,
)


def _call_chunk(number: int, told: dict[str, Any], name: str = "", arguments: str = "") -> Event:
    says = (Piece("name", name, number), Piece("arguments", arguments, number))
    return _chunk({"tool_calls": [told]}, says=says)


def _usual_calls(calls: Sequence[Call]) -> Iterator[Event]:
    for number, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        yield _call_chunk(number, {"index": number, "id": f"c{number}", "function": function}, call.name)
        for piece in call.arguments:
            yield _call_chunk(number, {"index": number, "function": {"arguments": piece}}, arguments=piece)


def _interleaved_calls(calls: Sequence[Call]) -> Iterator[Event]:
    rows = [
        list(_usual_calls((*calls[:number], call)))[-1 - len(call.arguments) :] for number, call in enumerate(calls)
    ]
    for place in range(max(map(len, rows), default=0)):
        yield from (row[place] for row in rows if place < len(row))


def _all_at_index_0(calls: Sequence[Call]) -> Iterator[Event]:
    for event in _usual_calls(calls):
        told = event.value["choices"][0]["delta"]["tool_calls"][0]
        told["index"] = 0
        yield event


def _without_index(calls: Sequence[Call]) -> Iterator[Event]:
    for event in _usual_calls(calls):
        del event.value["choices"][0]["delta"]["tool_calls"][0]["index"]
        yield event


def _whole_calls(calls: Sequence[Call]) -> Iterator[Event]:
    """Each in one piece, without index and id."""
    for number, call in enumerate(calls):
        arguments = "".join(call.arguments)
        yield _call_chunk(number, {"function": {"name": call.name, "arguments": arguments}}, call.name, arguments)


def _repeated_names(calls: Sequence[Call]) -> Iterator[Event]:
    for event in _usual_calls(calls):
        told = event.value["choices"][0]["delta"]["tool_calls"][0]
        call = calls[told["index"]]
        told["id"], told["function"]["name"] = f"c{told['index']}", call.name
        yield event


def _names_in_pieces(calls: Sequence[Call]) -> Iterator[Event]:
    for number, call in enumerate(calls):
        start, end = call.name[:3], call.name[3:]
        yield _call_chunk(number, {"index": number, "id": f"c{number}", "function": {"name": start}}, start)
        yield _call_chunk(number, {"index": number, "function": {"name": end}}, end)
        for piece in call.arguments:
            yield _call_chunk(number, {"index": number, "function": {"arguments": piece}}, arguments=piece)


def _late_names(calls: Sequence[Call]) -> Iterator[Event]:
    for number, call in enumerate(calls):
        place = {"index": number, "id": f"c{number}"}
        for piece in call.arguments:
            yield _call_chunk(number, place | {"function": {"arguments": piece}}, arguments=piece)
        yield _call_chunk(number, place | {"function": {"name": call.name}}, call.name)


CALL_WAYS = (
    _usual_calls, _usual_calls, _interleaved_calls, _all_at_index_0, _without_index, _whole_calls, _repeated_names,
    _names_in_pieces, _late_names,
)  # fmt: skip


def chat_body(story: Story) -> dict[str, Any]:
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": call.name, "arguments": "".join(call.arguments)}}
        for number, call in enumerate(story.calls)
    ]
    message = {"role": "assistant", "content": "".join(story.texts), "reasoning_content": "".join(story.thoughts)}
    choice = {"index": 0, "message": message | {"tool_calls": calls}, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}


# ---------------------------------------------------------------------------------------------------------- Messages


def message_events(rng: random.Random, story: Story) -> list[Event]:
    usage = {"input_tokens": 3, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    events = [_named("message_start", message=message), _named("ping")]
    all_at_0, has_stops = rng.random() < 0.2, rng.random() < 0.8
    for number, (block, deltas) in enumerate(_blocks(story)):
        index = 0 if all_at_0 else number
        says = (Piece("name", block["name"], number),) if block["type"] == "tool_use" else ()
        events.append(_named("content_block_start", says, index=index, content_block=block))
        for piece, delta in deltas:
            said = Piece(piece.kind, piece.text, number)
            events.append(_named("content_block_delta", (said,), index=index, delta=delta))
        if has_stops or all_at_0:
            events.append(_named("content_block_stop", index=index))
    reason = "tool_use" if story.calls else "end_turn"
    events.append(_named("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 5}))
    return [*events, _named("message_stop", mark=Mark.END)]


def _blocks(story: Story) -> Iterator[tuple[dict[str, Any], list[tuple[Piece, dict[str, Any]]]]]:
    if story.thoughts:
        deltas = [(Piece("reasoning", text), {"type": "thinking_delta", "thinking": text}) for text in story.thoughts]
        yield {"type": "thinking", "thinking": ""}, deltas
    if any(story.texts):
        deltas = [(Piece("text", text), {"type": "text_delta", "text": text}) for text in story.texts]
        yield {"type": "text", "text": ""}, deltas
    for number, call in enumerate(story.calls):
        deltas = [
            (Piece("arguments", piece), {"type": "input_json_delta", "partial_json": piece})
            for piece in ("", *call.arguments)
        ]
        yield {"type": "tool_use", "id": f"c{number}", "name": call.name, "input": {}}, deltas


def _named(kind: str, says: tuple[Piece, ...] = (), mark: Mark | None = None, **members: Any) -> Event:
    return Event({"type": kind, **members}, kind, says, mark)


def message_body(story: Story) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    for block, deltas in _blocks(story):
        text = "".join(piece.text for piece, _ in deltas)
        if block["type"] == "tool_use":
            blocks.append(block | {"input": text})
        else:
            blocks.append(block | {block["type"]: text})
    usage = {"input_tokens": 3, "output_tokens": 5}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "usage": usage}
    return message | {"content": blocks, "stop_reason": "end_turn"}


# --------------------------------------------------------------------------------------------------------- Responses


def response_events(rng: random.Random, story: Story) -> list[Event]:
    head = {"id": "r", "object": "response", "model": "m", "status": "in_progress", "output": []}
    events = [_named("response.created", response=head)]
    numbered, all_at_0, has_output = rng.random() < 0.8, rng.random() < 0.15, rng.random() < 0.8
    for number, item in enumerate(response_body(story)["output"]):
        place: dict[str, Any] = {"output_index": 0 if all_at_0 else number} if numbered else {}
        about = place | {"item_id": item["id"]}
        says = (Piece("name", item["name"], number),) if item["type"] == "function_call" else ()
        begun = item | ({"arguments": ""} if says else {"content": []})
        events.append(_named("response.output_item.added", says, item=begun, **place))
        for kind, text, said in _item_pieces(story, item):
            piece = Piece(said, text, number)
            events.append(_named(kind, (piece,), delta=text, content_index=0, **about))
        if rng.random() < 0.8:
            events.append(_named("response.output_item.done", item=item, **place))
    ended = response_body(story)
    if not has_output:
        ended["output"] = []
    return [*events, _named("response.completed", mark=Mark.END, response=ended)]


def _item_pieces(story: Story, item: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    if item["type"] == "message":
        yield from (("response.output_text.delta", text, "text") for text in story.texts)
    elif item["type"] == "reasoning":
        yield from (("response.reasoning_text.delta", text, "reasoning") for text in story.thoughts)
    else:
        call = next(call for call in story.calls if call.name == item["name"])
        yield from (("response.function_call_arguments.delta", piece, "arguments") for piece in call.arguments)


def response_body(story: Story) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    if story.thoughts:
        thoughts = [{"type": "reasoning_text", "text": "".join(story.thoughts)}]
        items.append({"id": "rs", "type": "reasoning", "summary": [], "content": thoughts})
    if any(story.texts):
        parts = [{"type": "output_text", "text": "".join(story.texts), "annotations": []}]
        items.append({"id": "msg", "type": "message", "role": "assistant", "status": "completed", "content": parts})
    for number, call in enumerate(story.calls):
        told = {"id": f"fc{number}", "call_id": f"c{number}", "name": call.name, "arguments": "".join(call.arguments)}
        items.append({"type": "function_call", "status": "completed"} | told)
    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    return {"id": "r", "object": "response", "model": "m", "status": "completed", "output": items, "usage": usage}
