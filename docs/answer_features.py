"""The part of docs/features.md that tells what becomes of answers as servers really send them, found out by reading
them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from services.models.providers.anthropic.dialect import ANTHROPIC
from services.models.providers.base import Dialect
from services.models.providers.errors.faults import Fault
from services.models.providers.framing import read_body
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES

COLUMNS: dict[str, Dialect] = {
    "Chat Completions": OPENAI_COMPATIBLE,
    "Responses": OPENAI_RESPONSES,
    "Messages": ANTHROPIC,
}
DONE = "[DONE]"
FIND = {"name": "find", "arguments": '{"n":1}'}

Events = Sequence[Any] | str | None
"""Data of events, or a body as it is; None where a dialect has no such thing."""


class Sample(NamedTuple):
    title: str
    chat: Events
    responses: Events
    messages: Events


# --------------------------------------------------------------------------------------------------- Chat Completions


def delta(finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": members, "finish_reason": finish}]}


def call(name: str = "", arguments: Any = "", **members: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value != ""}
    return delta(tool_calls=[{"index": 0, "function": function, **members}])


def chat(*events: Any, usage: dict[str, Any] | None = None) -> list[Any]:
    counted = [{"choices": [], "usage": usage}] if usage else []
    return [*events, delta("stop"), *counted, DONE]


HI = delta(content="Hi")
WHOLE_CHAT = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}

# ---------------------------------------------------------------------------------------------------------- Responses


def message_item() -> dict[str, Any]:
    return {"id": "m", "type": "message", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}


def call_item(number: int = 0, arguments: Any = '{"n":1}') -> dict[str, Any]:
    told = {"call_id": f"c{number}", "name": "find", "arguments": arguments}
    return {"id": f"f{number}", "type": "function_call", **told}


def response(*items: dict[str, Any], usage: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": "completed", "output": list(items), "usage": usage} | members


def completed(*items: dict[str, Any], usage: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "response.completed", "response": response(*items, usage=usage)}


def done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


EARLY_ARGUMENTS = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"n":'}
WRITTEN = done(message_item())

# ----------------------------------------------------------------------------------------------------------- Messages


def block(index: int = 0, start: dict[str, Any] | None = None, *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    start = start or {"type": "text", "text": "Hi"}
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": piece} for piece in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def tool_use(arguments: Any, number: int = 0) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"c{number}", "name": "find", "input": arguments}


def messages(*events: Any, told: Any = None, usage: Any = None, reason: str = "end_turn") -> list[Any]:
    start = {"type": "message_start", "message": {"id": "m", "content": [], "usage": told or {"input_tokens": 3}}}
    ended = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage or {"output_tokens": 1}}
    return [start, *events, ended, {"type": "message_stop"}]


def text(index: int = 0) -> list[dict[str, Any]]:
    return block(index)


# ------------------------------------------------------------------------------------------------------------- samples

OVERLOADED = {"error": {"type": "overloaded_error", "message": "x"}}
NAMED_ERROR = "event: error\ndata: not JSON\n\n"


def samples() -> Iterator[Sample]:
    yield Sample("content behind a finish reason", [delta("stop"), *chat(HI)], None, None)
    yield Sample(
        "an error behind the content",
        [HI, delta("stop"), OVERLOADED, DONE],
        [WRITTEN, OVERLOADED, completed(message_item())],
        messages(*text(), OVERLOADED),
    )
    yield Sample(
        "an event named `error`, whatever its data",
        events_text([HI]) + NAMED_ERROR + events_text([DONE]),
        events_text([WRITTEN]) + NAMED_ERROR + events_text([completed(message_item())]),
        events_text(messages(*text())[:-1]) + NAMED_ERROR,
    )
    flat = {"object": "error", "message": "x", "code": 500}
    yield Sample("an object that says it is an error", [HI, flat, DONE], [WRITTEN, flat], messages(*text(), flat))
    yield Sample(
        "an error beside or inside the answer, with status 200",
        json.dumps({"choices": [WHOLE_CHAT["choices"][0] | OVERLOADED]}),
        json.dumps(response(message_item()) | OVERLOADED),
        json.dumps({"type": "message", "content": [{"type": "text", "text": "Hi"}]} | OVERLOADED),
    )
    sensitive = {"base_resp": {"status_code": 1027, "status_msg": "x"}}
    yield Sample(
        "a refusal of MiniMax beside the answer",
        [HI | sensitive, DONE],
        None,
        messages(*text(), {"type": "ping"} | sensitive),
    )
    yield Sample(
        "a text where a message or its parts belong",
        json.dumps({"choices": [{"message": "Hi", "finish_reason": "stop"}]}),
        json.dumps(response({"type": "message", "content": "Hi"})),
        json.dumps({"type": "message", "role": "assistant", "content": "Hi", "stop_reason": "end_turn"}),
    )
    yield Sample(
        "a word that says it failed",
        [HI, delta("network_error"), DONE],
        [WRITTEN, {"type": "response.failed", "response": response(status="failed", error=None)}],
        messages(*text(), reason="error"),
    )
    yield Sample("nothing but the end", [DONE], [DONE], [{"type": "message_stop"}])
    yield Sample("a whole message where a piece belongs", [WHOLE_CHAT, DONE], None, None)
    yield Sample("a choice without a message", json.dumps({"choices": [{"finish_reason": "length"}]}), None, None)
    yield Sample(
        "the last event without its blank line",
        events_text([HI, delta("stop")]).rstrip(),
        events_text([completed(message_item())]).rstrip(),
        events_text(messages(*text())).rstrip(),
    )
    yield Sample(
        "the last event cut in its JSON",
        events_text([HI, delta("stop")]).rstrip()[:-3],
        events_text([completed(message_item())]).rstrip()[:-3],
        events_text(messages(*text())).rstrip()[:-3],
    )
    yield Sample(
        "events without blank lines between them",
        events_text([HI, delta("stop"), DONE]).replace("\n\n", "\n"),
        events_text([WRITTEN, completed(message_item())]).replace("\n\n", "\n"),
        events_text(messages(*text())).replace("\n\n", "\n"),
    )
    yield Sample("`[DONE]` in place of the last event", None, [WRITTEN, DONE], [*messages(*text())[:-1], DONE])
    piece = {"type": "response.output_text.delta", "delta": "Hi"}
    yield Sample("pieces that do not say of which item", None, [piece, completed(message_item())], None)
    elsewhere = [piece | {"output_index": 1}, completed(message_item())]
    yield Sample("an item that stands elsewhere at the end", None, elsewhere, None)
    contradicted = [piece | {"delta": "Ho", "output_index": 0}, completed(message_item())]
    yield Sample("pieces that the whole contradicts", None, contradicted, None)
    yield Sample(
        "JSON without events, or on lines, whatever its label",
        "\n".join(map(json.dumps, [HI, delta("stop")])),
        json.dumps(response(message_item())),
        json.dumps({"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}),
    )


def call_samples() -> Iterator[Sample]:
    begun, rest = call("find", id="c0"), call(arguments='{"n":1}')
    yield Sample("a name in pieces", chat(call("fi", id="c0"), call("nd"), rest), None, None)
    yield Sample(
        "arguments before the name",
        chat(call(arguments='{"n":', id="c0"), call("find", "1}")),
        [EARLY_ARGUMENTS, done(call_item()), completed()],
        None,
    )
    grown = [call("find", '{"n"', id="c0"), call(arguments='{"n":1'), call(arguments='{"n":1}')]
    pieces = ({"type": "input_json_delta", "partial_json": piece} for piece in ('{"n"', '{"n":1', '{"n":1}'))
    yield Sample("all arguments so far in every piece", chat(*grown), None, messages(*block(0, tool_use({}), *pieces)))
    renamed = [call("find", id="c0"), call(arguments='{"n":', id="c1"), call(arguments="1}", id="c2")]
    yield Sample("another id in every piece", chat(*renamed), None, None)
    first = [call("find", "{}", id="c0"), call(arguments='{"n":1}')]
    pieces = ({"type": "input_json_delta", "partial_json": piece} for piece in ("{}", '{"n":1}'))
    yield Sample("an empty object before the arguments", chat(*first), None, messages(*block(0, tool_use({}), *pieces)))
    yield Sample(
        "half a call, and no reason to stop",
        [call("find", '{"n":', id="c0"), DONE],
        None,
        [
            *messages(*block(0, tool_use({}), {"type": "input_json_delta", "partial_json": '{"n":'}))[:-2],
            {"type": "message_stop"},
        ],
    )
    yield Sample(
        "arguments whose name never comes",
        chat(call(arguments='{"n":1}', id="c0")),
        [EARLY_ARGUMENTS, completed()],
        messages(*block(0, {"type": "tool_use", "id": "c0", "input": {"n": 1}})),
    )
    yield Sample(
        "no ids",
        chat(call("find"), rest),
        [done(call_item() | {"call_id": None}), completed()],
        messages(*block(0, tool_use({"n": 1}) | {"id": None})),
    )
    yield Sample(
        "one number for all",
        chat(begun, rest, call("find", id="c1"), rest),
        [done(call_item()), done(call_item(1)), completed()],
        messages(*block(0, tool_use({"n": 1})), *block(0, tool_use({"n": 1}, 1))),
    )
    yield Sample("no number", chat(*({"choices": [{"delta": {"tool_calls": [{"function": FIND}]}}]},)), None, None)
    yield Sample(
        "arguments as an object, or as a text of one",
        chat(call("find", {"n": 1}, id="c0")),
        [done(call_item(arguments={"n": 1})), completed()],
        messages(*block(0, tool_use('{"n":1}'))),
    )
    yield Sample(
        "blank arguments",
        chat(begun, call(arguments=" ")),
        [done(call_item(arguments=" ")), completed()],
        messages(*block(0, tool_use(None), {"type": "input_json_delta", "partial_json": ""})),
    )


def count_samples() -> Iterator[Sample]:
    def openai(**counts: Any) -> tuple[Events, Events]:
        return chat(HI, usage=counts), [WRITTEN, completed(usage=counts)]

    yield Sample(
        "counts, and zeros behind them",
        [{**HI, "usage": {"prompt_tokens": 9, "completion_tokens": 2}}, *chat(usage={"prompt_tokens": 0})],
        None,
        messages(*text(), told={"input_tokens": 9}, usage={"input_tokens": 0, "output_tokens": 2}),
    )
    yield Sample("a total beyond the two", *openai(prompt_tokens=9, completion_tokens=2, total_tokens=21), None)
    yield Sample("the other dialect's names", *openai(input_tokens=9, output_tokens=2), None)
    yield Sample(
        "in the choice",
        [
            {
                "choices": [
                    {
                        "delta": {"content": "Hi"},
                        "finish_reason": "stop",
                        "usage": {"prompt_tokens": 9, "completion_tokens": 2},
                    }
                ]
            },
            DONE,
        ],
        None,
        None,
    )
    yield Sample(
        "in `x_groq`",
        [{**delta("stop", content="Hi"), "x_groq": {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}}, DONE],
        None,
        None,
    )
    yield Sample(
        "in llama.cpp's `timings`",
        [{**delta("stop", content="Hi"), "timings": {"prompt_n": 5, "cache_n": 4, "predicted_n": 2}}, DONE],
        None,
        None,
    )
    yield Sample(
        "counts that contradict one another",
        *openai(prompt_tokens=9, completion_tokens=2, total_tokens=3),
        messages(*text(), told={"input_tokens": 9}, usage={"output_tokens": 2, "total_tokens": 3}),
    )


def events_text(events: Sequence[Any]) -> str:
    return "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events)


# --------------------------------------------------------------------------------------------------------------- page


def answer_lines() -> Iterator[str]:
    yield from _table(
        "Answers as servers send them",
        "*whole*: read as the answer that it is; otherwise the reason of the error.\n"
        "A cell is empty where a dialect has no such thing.",
        samples(),
        _outcome,
    )
    yield from _table("Calls as servers send them", "What the call comes to.", call_samples(), _calls)
    yield from _table(
        "Counts as servers tell them",
        "Tokens of the prompt and of the answer, and whether they have a cost.",
        count_samples(),
        _counts,
    )


def _table(title: str, told: str, rows: Iterator[Sample], outcome: Any) -> Iterator[str]:
    yield from [f"## {title}", "", told, "", f"| | {' | '.join(COLUMNS)} |", f"|{'---|' * (len(COLUMNS) + 1)}"]
    for row in rows:
        cells = [outcome(dialect, events) for dialect, events in zip(COLUMNS.values(), row[1:], strict=True)]
        yield f"| {row.title} | {' | '.join(cells)} |"


def _answer(dialect: Dialect, events: Events) -> Any:
    assert events is not None
    body = events if isinstance(events, str) else events_text(events)
    answer = read_body(dialect, body.encode())
    answer.complete()
    return answer


def _outcome(dialect: Dialect, events: Events) -> str:
    if events is None:
        return ""
    try:
        answer = _answer(dialect, events)
    except Fault as fault:
        return f"`{fault.reason}`"
    return "whole" if answer.response().text == "Hi" else "whole, without content"


def _calls(dialect: Dialect, events: Events) -> str:
    if events is None:
        return ""
    try:
        calls = _answer(dialect, events).response().tool_calls
    except Fault as fault:
        return f"`{fault.reason}`"
    if not all(called.name for called in calls):
        # As the exchange refuses it.
        return "`UPSTREAM_PROTOCOL_ERROR`"
    return ", ".join(f"`{called.name}({called.arguments_json.strip()})`" for called in calls)


def _counts(dialect: Dialect, events: Events) -> str:
    if events is None:
        return ""
    answer = _answer(dialect, events)
    told = f"{answer.usage.prompt_tokens} + {answer.usage.completion_tokens}"
    return told if answer.counts_agree else f"{told}, no cost"
