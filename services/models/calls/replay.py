"""Replay: a kept answer as the chunks of a stream."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from proto import models_pb2


def replay(response: models_pb2.ChatResponse) -> Iterator[models_pb2.ChatChunk]:
    """The chunks of a complete answer: one for each part, and the last with the whole response."""
    index = 0
    for index, chunk in enumerate(_parts(response.message), 1):
        chunk.index = index - 1
        yield chunk
    yield models_pb2.ChatChunk(
        index=index, finish_reason=response.finish_reason, usage=response.usage, response=response
    )


def _parts(message: models_pb2.ChatMessage) -> Iterator[models_pb2.ChatChunk]:
    if not message.parts:
        yield from _short_form(message)
        return
    calls = itertools.count()
    for part in message.parts:
        kind = part.WhichOneof("kind")
        if kind == "text":
            yield models_pb2.ChatChunk(token=part.text)
        elif kind == "tool_call":
            yield _call(next(calls), part.tool_call)
        elif kind == "reasoning" and part.reasoning.text:
            yield models_pb2.ChatChunk(reasoning=part.reasoning.text)
        if kind in (None, "refusal") or part.HasField("provider_state"):
            yield models_pb2.ChatChunk(completed_part=part)


def _short_form(message: models_pb2.ChatMessage) -> Iterator[models_pb2.ChatChunk]:
    if message.content:
        yield models_pb2.ChatChunk(token=message.content)
    for place, call in enumerate(message.tool_calls):
        yield _call(place, call)


def _call(place: int, call: models_pb2.ToolCall) -> models_pb2.ChatChunk:
    delta = models_pb2.ToolCallDelta(index=place, id=call.id, name=call.name, arguments_json=call.arguments_json)
    return models_pb2.ChatChunk(tool_call_delta=delta)
