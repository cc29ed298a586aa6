"""Answers that are built to be misread: in every dialect they end as an answer or as a precise error, and as nothing
else."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.rows import row
from tests.scripted_upstream import Ending, answer, event_stream, raw
from tests.wire.adapters import ADAPTERS, Outcome, Subject, Verb, both_verbs, check_chunks, check_nothing_leaks
from tests.wire.dialects import Call, Sample, Usage, encode

DIALECTS = [adapter for adapter in ADAPTERS if adapter.name in ("openai", "openai-responses", "anthropic")]
every_dialect = pytest.mark.parametrize("adapter", DIALECTS, ids=lambda adapter: adapter.name)

FULL = Sample(
    text=["Hel", "lo"],
    reasoning=["why", " not"],
    calls=[Call("call_1", "lookup", ['{"a":', " 1}"])],
    usage=Usage(prompt=12, completion=7, cached=3, thought=2),
)

DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]

VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "zero": 0,
    "negative": -1,
    "fraction": 1.5,
    "beyond 64 bits": 2**70,
    "text": "x",
    "half a character": "\ud83d",
    "nul": "a\0b",
    "long word": "x" * 5000,
    "empty list": [],
    "list of lists": [[[]], [1], None],
    "empty object": {},
    "object": {"type": "x", "": {"": []}},
}

UNREADABLE: dict[str, Any] = {"beyond a double": 10**400, "second half": "\ude00x", "deep": DEEP}
"""What stops a reader of JSON, wherever it stands."""

ERRORS = {"UPSTREAM_PROTOCOL_ERROR", "OUTPUT_LIMIT", "UPSTREAM_STREAM_TRUNCATED", "UPSTREAM_SERVER_ERROR"}
"""What an answer may end in that is misshapen."""


def check(outcome: Outcome) -> None:
    """An answer that can be sent on, or an error that says what is wrong."""
    if outcome.error is None:
        assert outcome.response
        assert outcome.response.SerializeToString()
        if outcome.chunks:
            check_chunks(outcome.chunks)
        return
    check_nothing_leaks(outcome.error)
    assert outcome.error.reason in ERRORS
    assert outcome.error.metadata["provider"]


# -------------------------------------------------------------------------------- wrong types at every place there is


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values within a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield (*path, name)
        yield from places(member, (*path, name))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    holder = value
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = new
    return value


@every_dialect
async def test_wrong_value_at_any_place_of_a_whole_answer(subject: Subject) -> None:
    body = json.loads(encode(subject.speech.body(FULL)))
    for path, (name, new) in itertools.product(places(body), [*VALUES.items(), *UNREADABLE.items()]):
        subject.upstream.play(answer(json.dumps(replaced(body, path, new)).encode()))
        with row(name, path):
            check(await subject.ask("chat"))


@every_dialect
async def test_wrong_value_at_any_place_of_a_stream(subject: Subject) -> None:
    """Each place has some of the values: the next event, which is mostly like it, has the next ones."""
    events, values = subject.speech.events(FULL), itertools.cycle(VALUES.items())
    for number, text in enumerate(events):
        _, value = read_event(text)
        for path in places(value):
            for name, new in itertools.islice(values, 3):
                with row(name, text, path):
                    await check_stream(subject, events, number, path, new)


@every_dialect
async def test_what_cannot_be_read_in_any_event_of_a_stream(subject: Subject) -> None:
    events = subject.speech.events(FULL)
    for (name, new), (number, text) in itertools.product(UNREADABLE.items(), enumerate(events)):
        _, value = read_event(text)
        for path in [*places(value)][-1:]:
            with row(name, text):
                await check_stream(subject, events, number, path, new)


async def check_stream(subject: Subject, events: list[str], number: int, path: tuple[Any, ...], new: Any) -> None:
    """With another value at a place of one of its events."""
    head, value = read_event(events[number])
    changed = f"{head}{json.dumps(replaced(value, path, new))}\n\n"
    subject.upstream.play(event_stream("".join([*events[:number], changed, *events[number + 1 :]])))
    check(await subject.ask("chat_stream"))


def read_event(text: str) -> tuple[str, Any]:
    """What stands before the JSON of an event, and its value; None for the word that closes a stream."""
    head, _, data = text.partition("data: ")
    return f"{head}data: ", None if data.startswith("[DONE]") else json.loads(data)


# ------------------------------------------------------------------------------------------------ JSON that is none

RIGHT = "Hello"


def in_text(new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(b"Hello", b"Hello" + new)


MISSHAPEN: dict[str, tuple[Callable[[bytes], bytes], str | None]] = {
    "blanks around it": (lambda data: b" \t\r\n" + data + b"  ", RIGHT),
    "a byte order mark": (lambda data: b"\xef\xbb\xbf" + data, RIGHT),
    "members told twice": (lambda data: b'{"id":1,"choices":0,"content":0,"output":0,' + data[1:], RIGHT),
    "a member without a name": (lambda data: b'{"":null,' + data[1:], RIGHT),
    "names that only look alike": (lambda data: b'{"Choices":1,"\\u0000content":1,"output ":1,' + data[1:], RIGHT),
    "many members": (lambda data: b"{" + b",".join(b'"%d":0' % n for n in range(50_000)) + b"," + data[1:], RIGHT),
    "a text of another member": (lambda data: b'{"new":"' + b"x" * 200_000 + b'",' + data[1:], RIGHT),
    "numbers beyond all bounds": (
        lambda data: b'{"a":1e999,"b":-1e999,"c":1e-999,"d":' + b"9" * 5000 + b"," + data[1:],
        RIGHT,
    ),
    "half a character": (in_text(b"\\ud83d"), RIGHT + "\ufffd"),
    "half a character in UTF-8": (in_text(b"\xed\xa0\xbd"), RIGHT + "\ufffd"),
    "the wrong halves": (in_text(b"\\ude00\\ud83d"), RIGHT + "\ufffd\ufffd"),
    "a character by halves": (in_text(b"\\ud83d\\ude00"), RIGHT + "\U0001f600"),
    "escaped control characters": (in_text(b"\\u0000\\u001b"), RIGHT + "\0\x1b"),
    "control characters": (in_text(b"\0\x1b"), None),
    "cut UTF-8": (in_text(b"\xe4\xb8"), None),
    "UTF-8 of too many bytes": (in_text(b"\xc0\x80"), None),
    "UTF-8 beyond all characters": (in_text(b"\xf5\x80\x80\x80"), None),
    "Latin-1": (in_text(b"\xe9"), None),
    "a wrong escape": (in_text(b"\\x41"), None),
    "half an escape": (in_text(b"\\u12"), None),
    "no number": (lambda data: b'{"a":NaN,' + data[1:], None),
    "an endless number": (lambda data: b'{"a":-Infinity,' + data[1:], None),
    "a number with a zero before it": (lambda data: b'{"a":01,' + data[1:], None),
    "a comment": (lambda data: b"/* */" + data, None),
    "single quotes": (lambda data: data.replace(b'"', b"'"), None),
    "a comma at the end": (lambda data: data[:-1] + b",}", None),
    "something behind it": (lambda data: data + b"}", None),
    "two values": (lambda data: data + data, None),
    "half of it": (lambda data: data[: len(data) // 2], None),
    "a list around it": (lambda data: b"[" + data + b"]", None),
    "a text of it": (lambda data: json.dumps(data.decode()).encode(), None),
    "depth": (lambda data: b'{"a":' * 100_000 + data + b"}" * 100_000, None),
    "depth beside it": (lambda data: b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"," + data[1:], None),
    "values by the hundred thousand": (lambda data: b'{"a":[' + b"0," * 200_000 + b"0]," + data[1:], None),
}


@every_dialect
async def test_whole_answer_whose_json_is_odd(subject: Subject) -> None:
    for case, (change, text) in MISSHAPEN.items():
        body = change(encode(subject.speech.body(Sample(text=[RIGHT]))))
        subject.upstream.play(answer(body, headers={"Content-Type": "application/json"}))
        with row(case):
            check_text(await subject.ask("chat"), text)


@every_dialect
async def test_stream_whose_json_is_odd(subject: Subject) -> None:
    """The piece of text alone: what repeats it behind is right."""
    for case, (change, text) in MISSHAPEN.items():
        events = [one.encode() for one in subject.speech.events(Sample(text=[RIGHT]))]
        place = next(number for number, one in enumerate(events) if RIGHT.encode() in one)
        head, data = events[place].split(b"data: ")
        events[place] = head + b"data: " + change(data.strip()).replace(b"\n", b"\ndata: ") + b"\n\n"
        subject.upstream.play(event_stream(b"".join(events)))
        with row(case):
            check_text(await subject.ask("chat_stream"), text)


def check_text(outcome: Outcome, text: str | None) -> None:
    check(outcome)
    if text is None:
        assert outcome.error
        assert outcome.error.reason == "UPSTREAM_PROTOCOL_ERROR"
    else:
        assert outcome.response
        assert outcome.response.text == text


# ------------------------------------------------------------------------------------------------ HTTP that is none

OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n"
PROTOCOL, BROKEN, REDIRECT, REACHED = (
    "UPSTREAM_PROTOCOL_ERROR",
    "UPSTREAM_STREAM_INTERRUPTED",
    "UPSTREAM_REDIRECT",
    "UPSTREAM_UNREACHABLE",
)

ODD_HTTP: dict[str, tuple[str, str]] = {
    "a negative length": (OK + "Content-Length: -1\r\n\r\n{}", PROTOCOL),
    "a length in words": (OK + "Content-Length: 2 bytes\r\n\r\n{}", PROTOCOL),
    "a length beyond 64 bits": (OK + f"Content-Length: {2**70}\r\n\r\n{{}}", PROTOCOL),
    "a length of which little comes": (OK + f"Content-Length: {2**62}\r\n\r\n{{}}", BROKEN),
    "two lengths": (OK + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", PROTOCOL),
    "a length and chunks": (OK + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", PROTOCOL),
    "a negative chunk": (CHUNKED + "-2\r\n{}\r\n0\r\n\r\n", PROTOCOL),
    "a chunk beyond 64 bits": (CHUNKED + "fffffffffffffffff\r\n{}", PROTOCOL),
    "a chunk of which little comes": (CHUNKED + "7fffffffffffffff\r\n{}", BROKEN),
    "a chunk in words": (CHUNKED + "two\r\n{}\r\n0\r\n\r\n", PROTOCOL),
    "a chunk that is longer than it says": (CHUNKED + "1\r\n{}\r\n0\r\n\r\n", PROTOCOL),
    "no last chunk": (CHUNKED + "2\r\n{}\r\n", BROKEN),
    "an endless extension of a chunk": (CHUNKED + "2;" + "x" * 200_000, PROTOCOL),
    "endless trailers": (CHUNKED + "0\r\n" + "A: b\r\n" * 100_000, PROTOCOL),
    "headers by the thousand": ("HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 20_000, PROTOCOL),
    "a header of a MiB": ("HTTP/1.1 200 OK\r\nA: " + "b" * 2**20, PROTOCOL),
    "a name of a header of a MiB": ("HTTP/1.1 200 OK\r\n" + "A" * 2**20, PROTOCOL),
    "no end of the status line": ("HTTP/1.1 200 " + "O" * 2**20, PROTOCOL),
    "interim answers by the thousand": ("HTTP/1.1 102 Processing\r\n\r\n" * 20_000, PROTOCOL),
    "early hints by the thousand": ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 20_000, PROTOCOL),
    "an interim answer as the last": ("HTTP/1.1 100 Continue\r\n\r\n", REACHED),
    "another protocol": ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", PROTOCOL),
    "HTTP/2": ("\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80", PROTOCOL),
    "an older protocol": ("<html>Hello</html>", PROTOCOL),
    "a request": ("GET / HTTP/1.1\r\nHost: here\r\n\r\n", PROTOCOL),
    "a status of one digit": ("HTTP/1.1 2 OK\r\n\r\n", PROTOCOL),
    "a status of four digits": ("HTTP/1.1 2000 OK\r\n\r\n", PROTOCOL),
    "no status": ("HTTP/1.1 \r\n\r\n", PROTOCOL),
    "no content": ("HTTP/1.1 204 No Content\r\n\r\n", PROTOCOL),
    "an unknown packing": (OK + "Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", PROTOCOL),
    "packed twice": (OK + "Content-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\n{}", PROTOCOL),
    "what is not packed": (OK + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", PROTOCOL),
    **{
        f"a redirect by {status}": (
            f"HTTP/1.1 {status} Elsewhere\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n",
            REDIRECT,
        )
        for status, where in (
            (300, "/v2"),
            (301, "http://169.254.169.254/latest/meta-data"),
            (302, "file:///etc/passwd"),
            (303, "//other/v1"),
            (304, ""),
            (307, "http://127.0.0.1:1/v1"),
            (308, "javascript:alert(1)"),
            (399, "a" * 10_000),
        )
    },
}


@pytest.mark.parametrize("adapter", DIALECTS[:1], ids=lambda adapter: adapter.name)
@both_verbs
async def test_http_that_is_odd(subject: Subject, verb: Verb) -> None:
    """It ends the call with a precise error, and nothing of it becomes a part of the next answer."""
    for case, (sent, reason) in ODD_HTTP.items():
        subject.upstream.play(raw(sent.encode("latin-1"), ending=Ending.CUT))
        outcome = await subject.ask(verb)
        with row(case):
            assert outcome.error
            check_nothing_leaks(outcome.error)
            assert outcome.error.reason == reason
            assert (await subject.answered(Sample(text=[RIGHT]))).text == RIGHT


TYPES = [
    "",
    "text/plain",
    "text/html; charset=utf-16",
    "image/png",
    "application/x-ndjson",
    "x" * 10_000,
    "multipart/mixed; boundary=a",
    "application/json; charset=latin-1",
    "é/\xff",
]


@every_dialect
async def test_body_is_what_it_is_whatever_its_type_says(subject: Subject) -> None:
    for content_type in TYPES:
        headers = {"Content-Type": content_type}
        subject.upstream.play(answer(encode(subject.speech.body(Sample(text=[RIGHT]))), headers=headers))
        with row(content_type[:20]):
            check_text(await subject.ask("chat"), RIGHT)
