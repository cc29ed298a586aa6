"""Answers in the framing in which servers and proxies really send them, whatever their labels say."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import zlib
from collections.abc import Callable

from tests.rows import row
from tests.scripted_upstream import Ending, Script, answer, raw
from tests.wire.adapters import (
    Outcome,
    Subject,
    Verb,
    both_verbs,
    check_chunks,
    every_adapter,
    every_anthropic_like,
    every_dialect,
    one_adapter,
)
from tests.wire.dialects import HELLO, Call, Sample, encode

TEXT = "".join(HELLO.text)
LABELS = ["text/event-stream", "application/json", "application/x-ndjson", "text/plain; charset=utf-8", ""]


def labelled(body: bytes, label: str) -> Script:
    return answer(body, headers={"Content-Type": label} if label else {})


async def asked(subject: Subject, body: bytes, label: str, verb: Verb = "chat_stream") -> Outcome:
    subject.upstream.play(labelled(body, label))
    return await subject.ask(verb)


def stream_of(subject: Subject, sample: Sample = HELLO) -> bytes:
    return "".join(subject.speech.events(sample)).encode()


# ---------------------------------------------------------------------------------------------------------- labels


@every_dialect
@both_verbs
async def test_answer_is_read_whatever_its_label(subject: Subject, verb: Verb) -> None:
    """Events, one JSON document in one line or in many, and one on each line, are told apart by how they begin."""
    body = subject.speech.body(HELLO)
    documents = [line.partition("data: ")[2] for line in stream_of(subject).decode().split("\n") if "data: {" in line]
    bodies = [
        stream_of(subject),
        b"\xef\xbb\xbf\r\n " + encode(body) + b"\n\n",
        json.dumps(body, indent=1).replace("\n", "\r\n").encode(),
        "\r\n".join(documents).encode(),
        "\n\n".join([*documents, ""]).encode(),
    ]
    for (number, sent), label in itertools.product(enumerate(bodies), LABELS):
        outcome = await asked(subject, sent, label, verb)
        with row(number, label):
            assert outcome.error is None
            assert outcome.response is not None
            assert (outcome.response.text, outcome.response.finish_reason) == (TEXT, "stop")
            if verb == "chat_stream":
                check_chunks(outcome.chunks)


@every_dialect
@both_verbs
async def test_error_is_read_whatever_its_label(subject: Subject, verb: Verb) -> None:
    error = subject.speech.error("overloaded_error", "canary")
    bodies = [encode(error), json.dumps(error, indent=2).encode(), b"data: " + encode(error)]
    for sent, label in itertools.product(bodies, LABELS):
        outcome = await asked(subject, sent, label, verb)
        with row(sent, label):
            assert outcome.error is not None
            assert outcome.error.reason == "UPSTREAM_OVERLOADED"


@every_adapter
async def test_documents_on_lines_come_as_they_arrive_and_are_not_whole_without_their_end(subject: Subject) -> None:
    sample = Sample(text=["one ", "two"])
    events = stream_of(subject, sample).decode().split("\n")
    lines = [line.partition("data: ")[2] + "\n" for line in events if line.startswith("data: {")]
    subject.upstream.play(labelled("".join(lines[:-1]).encode(), "application/json"))
    outcome = await subject.ask("chat_stream")
    if outcome.error is None:
        # Chat Completions tell usage last: behind the finish reason nothing else can be missing.
        assert outcome.response is not None
        assert outcome.response.text == "one two"
    else:
        assert "".join(chunk.token for chunk in outcome.chunks) == "one two"
    cut = "".join(lines).encode()
    outcome = await asked(subject, cut[: cut.index(b"two") + 1], "application/json")
    assert outcome.error is not None


# ---------------------------------------------------------------------------------------------------------- events


def crlf(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def mixed(data: bytes) -> bytes:
    ends = [b"\n", b"\r\n", b"\r"]
    lines = data.split(b"\n")
    return b"".join(line + (ends[place % 3] if line else b"\r") for place, line in enumerate(lines[:-1])) + lines[-1]


def in_lines(data: bytes) -> bytes:
    """Each event's JSON over several lines of data."""
    return data.replace(b'{"', b'{\ndata:"').replace(b'","', b'"\ndata: ,"')


DRESSES: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": crlf,
    "CR": lambda data: data.replace(b"\n", b"\r"),
    "mixed": mixed,
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "no space": lambda data: data.replace(b"data: ", b"data:"),
    "several lines of data": in_lines,
    "comments": lambda data: b": hello\n\n" + data.replace(b"data: ", b": ping\ndata: "),
    "ids and times": lambda data: data.replace(b"data: ", b"id: 1\0\nretry: 10\nretry: x\ndata: ").replace(
        b"\n\n", b"\nid\n\n"
    ),
    "names behind the data": lambda data: b"\n\n".join(
        b"\n".join(sorted(block.split(b"\n"))) for block in data.split(b"\n\n")
    ),
    "unknown names": lambda data: data.replace(b"event: ", b"x: "),
    "empty data between": lambda data: data.replace(b"\n\n", b"\n\ndata\n\ndata:\n\n"),
    "no blank line at the end": lambda data: data.rstrip(b"\n"),
    "one line end at the end": lambda data: data.rstrip(b"\n") + b"\n",
    "no blank lines": lambda data: data.replace(b"\n\n", b"\n"),
    "a prefix twice": lambda data: data.replace(b"data: ", b"data: data: "),
    "white space around the data": lambda data: data.replace(b"data: ", b"data: \t").replace(b"\n\n", b" \n\n"),
    "another word for the end": lambda data: data.replace(b"[DONE]", b'"[done]"'),
    "types as names alone": lambda data: re.sub(rb'(event: .*\ndata: \{)"type":"[^"]*",', rb"\1", data),
    "nothing between": lambda data: data.replace(
        b"\n\n", b'\n\ndata: null\n\ndata: ""\n\ndata: []\n\nevent: keepalive\ndata: ping\n\n'
    ),
}


@every_dialect
async def test_events_as_browsers_read_them(subject: Subject) -> None:
    sample = Sample(text=["Hel", "lo"], calls=[Call("a", "find", ['{"n":', " 1}"])])
    for name, dress in DRESSES.items():
        outcome = await asked(subject, dress(stream_of(subject, sample)), "text/event-stream")
        with row(name):
            assert outcome.error is None
            assert outcome.response is not None
            check_chunks(outcome.chunks)
            assert outcome.response.text == "Hello"
            # Arguments that are no text in their event have its line ends.
            assert [json.loads(call.arguments_json) for call in outcome.response.tool_calls] == [{"n": 1}]


@every_adapter
async def test_last_event_is_whole_without_its_blank_line_and_cut_in_its_json_it_is_not(subject: Subject) -> None:
    """What stands behind the last event of Chat Completions is not needed."""
    data = stream_of(subject, Sample(text=["Hello"], usage=None))
    for end in (b"\n", b"\r\n", b"\r", b""):
        outcome = await asked(subject, data.rstrip(b"\n").removesuffix(b"\n\ndata: [DONE]") + end, "text/event-stream")
        assert outcome.error is None
    last = data.rstrip(b"\n").removesuffix(b"\n\ndata: [DONE]")
    for missing in (1, 5):
        outcome = await asked(subject, last[:-missing], "text/event-stream")
        assert outcome.error is not None
        assert outcome.error.reason == "UPSTREAM_STREAM_TRUNCATED"


@every_anthropic_like
async def test_end_of_another_dialect_ends_what_has_a_reason_to_stop(subject: Subject) -> None:
    *events, ending, _ = subject.speech.events(HELLO)
    for told, reason in (([*events, ending], "OK"), (events, "UPSTREAM_STREAM_TRUNCATED")):
        outcome = await asked(subject, "".join([*told, "data: [DONE]\n\n"]).encode(), "text/event-stream")
        assert (outcome.error.reason if outcome.error else "OK") == reason


# ------------------------------------------------------------------------------------------------------------ HTTP

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def chunked(body: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    pieces = [body[start : start + 100] for start in range(0, len(body), 100)]
    framed = b"".join(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    return b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0" + extension + b"\r\n" + trailers + b"\r\n"


def plain(body: bytes, fields: bytes = b"") -> bytes:
    return OK + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

HTTP: dict[str, Callable[[bytes], bytes]] = {
    "extensions of chunks": lambda body: OK + chunked(body, b';name=value;x="y;z"'),
    "trailers": lambda body: OK + chunked(body, trailers=b"X-Checksum: abc\r\nX-Other: d\r\n"),
    "interim answers": lambda body: INTERIM + plain(body),
    "a length and chunks": lambda body: OK + b"Content-Length: 7\r\n" + chunked(body),
    "chunks and a length": lambda body: (
        OK + chunked(body).replace(b"chunked\r\n", b"chunked\r\nContent-Length: 7\r\n", 1)
    ),
    "folded lines": lambda body: plain(body, b"X-Long: one\r\n two\r\n\tthree\r\n"),
    "201": lambda body: plain(body).replace(b"200 OK", b"201 Created", 1),
    "the end of the connection": lambda body: OK + b"Connection: close\r\n\r\n" + body,
    "HTTP/1.0": lambda body: b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + body,
    "gzip": lambda body: plain(gzip.compress(body), b"Content-Encoding: gzip\r\n"),
    "gzip in chunks": lambda body: OK + b"Content-Encoding: gzip\r\n" + chunked(gzip.compress(body)),
    "members of gzip": lambda body: plain(
        b"".join(gzip.compress(part + b"\n\n") for part in body.split(b"\n\n")), b"Content-Encoding: gzip\r\n"
    ),
    "deflate": lambda body: plain(zlib.compress(body), b"Content-Encoding: deflate\r\n"),
    "deflate without a head": lambda body: plain(zlib.compress(body)[2:-4], b"Content-Encoding: deflate\r\n"),
}


@one_adapter
@both_verbs
async def test_http_as_proxies_write_it(subject: Subject, verb: Verb) -> None:
    """However it is cut, and the connection is used again only where nothing is in doubt."""
    for name, written in HTTP.items():
        data = written(stream_of(subject))
        for size in (len(data), 1):
            pieces = [data[start : start + size] for start in range(0, len(data), size)]
            subject.upstream.play(raw(*pieces, ending=Ending.CLOSE))
            outcome = await subject.ask(verb)
            with row(name, size):
                assert outcome.error is None
                assert outcome.response is not None
                assert outcome.response.text == TEXT


@one_adapter
async def test_connection_whose_framing_is_in_doubt_is_not_used_again(subject: Subject) -> None:
    data = HTTP["a length and chunks"](stream_of(subject))
    for _ in range(2):
        subject.upstream.play(raw(data))
        assert (await subject.ask("chat_stream")).error is None
    assert len(subject.upstream.connections) == 2
