"""The parser of responses: the same result however the bytes of a connection are cut."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.models.transport.response_parser import Phase, ProtocolError, ResponseParser
from tests.rows import for_each

RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 1\r\nx: 2\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nT: 1\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "until it closes": b"HTTP/1.0 200 OK\r\n\r\nhello",
}


def parse(data: bytes, cuts: list[int]) -> tuple[ResponseParser, bytes, bool]:
    """The parser after all pieces, the body, and whether more may follow."""
    parser = ResponseParser()
    parser.expect()
    body = b""
    places = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(places):
        if start < end and parser.feed(memoryview(data)[start:end]):
            body += parser.take()
    parser.end()
    return parser, body, parser.is_reusable


@given(name=st.sampled_from(sorted(RESPONSES)), cuts=st.lists(st.integers(0, 120), max_size=8))
def test_response_is_the_same_however_it_is_cut(name: str, cuts: list[int]) -> None:
    data = RESPONSES[name]
    parser, body, is_reusable = parse(data, [cut for cut in cuts if cut < len(data)])
    assert (parser.phase, parser.status, body) == (Phase.COMPLETE, 200, b"hello")
    assert is_reusable is (name != "until it closes")
    if name == "length":
        assert parser.fields[b"x"] == b"1, 2"


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=4))
def test_bytes_of_any_kind_end_in_an_answer_or_in_an_error_of_the_protocol(data: bytes, cuts: list[int]) -> None:
    try:
        parser, body, _ = parse(b"HTTP/1.1 200 OK\r\n" + data, cuts)
    except ProtocolError:
        return
    assert len(body) <= len(data)
    assert not parser.waiting


@for_each(
    ("data", "is_reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
    ],
)
def test_another_response_may_follow_one_that_is_framed_beyond_doubt(data: bytes, is_reusable: bool) -> None:
    assert parse(data, [])[2] is is_reusable


def test_progress_is_a_head_some_of_a_body_or_its_end() -> None:
    parser = ResponseParser()
    parser.expect()
    pieces = [b"HTTP/1.1 200 OK\r\nTransfer-Enc", b"oding: chunked\r\n\r\n", b"1", b"\r\n", b"a", b"\r\n0\r\n", b"\r\n"]
    assert [parser.feed(memoryview(piece)) for piece in pieces] == [False, True, False, False, True, False, True]
