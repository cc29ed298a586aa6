"""The same bytes, however they are cut and whatever ends their lines, are the same answer."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from proto import models_pb2
from services.models.providers.base import Dialect
from services.models.providers.errors.faults import Fault
from services.models.transport.sse import EventStream
from tests.rows import for_each, row
from tests.scripted_upstream import event
from tests.wire.adapter import Adapter
from tests.wire.adapters import ADAPTERS, every_dialect

TRANSCRIPTS = Path(__file__).parent / "transcripts"
READERS = {folder: adapter for adapter in ADAPTERS for folder in adapter.transcripts}
"""The adapter that reads the streams of each folder."""
CASES = sorted(str(path.relative_to(TRANSCRIPTS).with_suffix("")) for path in TRANSCRIPTS.glob("*/*.sse"))

every_folder = for_each("folder", READERS)


class Decoded(NamedTuple):
    """A stream as its reader saw it: the pieces, neighbours joined, and the whole."""

    pieces: list[tuple[str, Any]]
    response: models_pb2.ChatResponse


def decode(dialect: Dialect, reads: Iterable[bytes]) -> Decoded:
    events, decoder = EventStream(), dialect.decoder()
    decoder.answer.state_owner = dialect.name
    chunks = []
    for data in reads:
        decoder.feed(events.feed(data))
        chunks += decoder.answer.drain_chunks()
    assert decoder.finished
    decoder.answer.complete()
    chunks += decoder.answer.drain_chunks()
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    return Decoded(joined(chunks), decoder.answer.response())


def joined(chunks: list[models_pb2.ChatChunk]) -> list[tuple[str, Any]]:
    pieces = [piece(chunk) for chunk in chunks]
    return [
        (kind, "".join(text for _, text in group) if isinstance(group[0][1], str) else [part for _, part in group])
        for kind, group in ((kind, list(group)) for kind, group in itertools.groupby(pieces, lambda piece: piece[0]))
    ]


def piece(chunk: models_pb2.ChatChunk) -> tuple[str, Any]:
    if chunk.HasField("tool_call_delta"):
        delta = chunk.tool_call_delta
        return f"call {delta.index} {delta.id} {delta.name}", delta.arguments_json
    if chunk.HasField("completed_part"):
        return "part", chunk.completed_part
    return ("reasoning", chunk.reasoning) if chunk.reasoning else ("text", chunk.token)


def cases_in(folder: str) -> list[str]:
    found = [case for case in CASES if case.startswith(f"{folder}/")]
    assert found
    return found


@functools.cache
def transcript(case: str) -> bytes:
    return (TRANSCRIPTS / f"{case}.sse").read_bytes()


def dialect_of(case: str) -> Dialect:
    return READERS[case.partition("/")[0]].target("http://localhost").dialect


@functools.cache
def whole(case: str) -> Decoded:
    return decode(dialect_of(case), [transcript(case)])


def test_every_folder_has_a_reader_and_names_its_source() -> None:
    folders = [path for path in TRANSCRIPTS.iterdir() if path.is_dir()]
    assert {folder.name for folder in folders} == READERS.keys()
    for folder in folders:
        assert "https://" in (folder / "README.md").read_text(encoding="utf-8"), folder.name


@every_dialect
def test_every_dialect_has_transcripts(adapter: Adapter) -> None:
    assert adapter.transcripts


@every_folder
def test_transcript_gives_the_answer_beside_it(folder: str) -> None:
    for case in cases_in(folder):
        expected = (TRANSCRIPTS / f"{case}.txtpb").read_text(encoding="utf-8")
        with row(case):
            assert whole(case).response == text_format.Parse(expected, models_pb2.ChatResponse())


@every_folder
def test_pieces_join_to_the_answer(folder: str) -> None:
    for case in cases_in(folder):
        pieces, response = whole(case)
        with row(case):
            assert "".join(text for kind, text in pieces if kind == "text") == response.text
            for index, call in enumerate(response.tool_calls):
                told = [(kind, text) for kind, text in pieces if kind.startswith(f"call {index} ")]
                assert told[0][0] == f"call {index} {call.id} {call.name}"
                assert "".join(text for _, text in told) == call.arguments_json


@every_folder
def test_cut_in_two_anywhere_it_is_the_same(folder: str) -> None:
    for case in cases_in(folder):
        with row(case):
            check_cut_in_two(case)


def check_cut_in_two(case: str) -> None:
    """A decoder sees only events, and how many came first; tests/unit/test_event_stream.py cuts within them."""
    data, dialect = transcript(case), dialect_of(case)
    for ended in re.finditer(b"\n\n", data):
        for position in (ended.end() - 1, ended.end()):
            assert decode(dialect, [data[:position], data[position:]]) == whole(case), position


@every_folder
def test_byte_by_byte_with_any_line_end_it_is_the_same(folder: str) -> None:
    for case, line_end in itertools.product(cases_in(folder), (b"\n", b"\r\n", b"\r")):
        data = transcript(case).replace(b"\n", line_end)
        with row(case, line_end):
            assert decode(dialect_of(case), (data[at : at + 1] for at in range(len(data)))) == whole(case)


@every_folder
def test_event_by_event_it_is_the_same(folder: str) -> None:
    for case in cases_in(folder):
        reads = [data + b"\r\n\r\n" for data in transcript(case).split(b"\n\n")]
        with row(case):
            assert decode(dialect_of(case), reads) == whole(case)


@given(
    case=st.sampled_from(CASES),
    positions=st.lists(st.floats(0, 1), max_size=30),
    line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_cut_in_many_pieces_it_is_the_same(case: str, positions: list[float], line_end: bytes) -> None:
    data = transcript(case).replace(b"\n", line_end)
    cuts = sorted({0, len(data), *(int(position * len(data)) for position in positions)})
    assert decode(dialect_of(case), [data[start:end] for start, end in itertools.pairwise(cuts)]) == whole(case)


@every_folder
def test_without_its_end_no_transcript_is_whole(folder: str) -> None:
    for case in cases_in(folder):
        data = transcript(case)
        with row(case):
            end = min(data.index(mark) for mark in READERS[folder].speech.end_marks if mark in data)
            events, decoder = EventStream(), dialect_of(case).decoder()
            decoder.feed(events.feed(data[:end]))
            assert not decoder.finished


@for_each("case", ["openai/text", "openai_responses/text", "anthropic/text"])
def test_what_follows_the_last_event_is_not_read(case: str) -> None:
    """However it arrives: in the same read as the last event, or later."""
    late = transcript(case) + b"data: {\n\n"
    assert decode(dialect_of(case), [transcript(case) + late]) == whole(case)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=6,
)


def damaged(value: Any, damage: Any, where: Sequence[int]) -> Any:
    """The value, with something foreign at one place in it."""
    if not where or not isinstance(value, dict | list) or not value:
        return damage
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[where[0] % len(keys)]
    copy = value.copy()
    copy[key] = damaged(value[key], damage, where[1:])
    return copy


@given(
    case=st.sampled_from(CASES),
    number=st.integers(0, 40),
    where=st.lists(st.integers(0, 12), max_size=5),
    damage=json_values,
)
def test_foreign_values_give_an_answer_or_a_fault(case: str, number: int, where: list[int], damage: Any) -> None:
    """Whatever a server sends in place of what it should: no other exception leaves a decoder."""
    events = EventStream().feed(transcript(case))
    decoder = dialect_of(case).decoder()
    number %= len(events)
    changed = []
    for place, one in enumerate(events):
        if place == number and one.data.startswith(b"{"):
            text = event(damaged(json.loads(one.data), damage, where))
            changed += EventStream().feed(text.encode())
        else:
            changed.append(one)
    try:
        decoder.feed(changed)
    except Fault:
        return
    decoder.answer.complete()
    decoder.answer.drain_chunks()
    decoder.answer.response()
