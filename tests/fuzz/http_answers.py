"""Answers of upstreams as no upstream should give them: in their JSON, their events, their bytes, their HTTP."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.upstream import MODEL_LIST, SPEECHES, Last, Step
from tests.wire.dialects import HELLO, Call, Sample, Usage, encode

TRANSCRIPTS = Path(__file__).parents[1] / "wire" / "transcripts"
FOLDERS = {
    "/chat/completions": ("openai", "compatible", "llama.cpp", "vllm"),
    "/responses": ("openai_responses",),
    "/messages": ("anthropic",),
}

SECRET = "text-of-the-provider-0123456789"
"""Stands in errors of upstreams: no caller is told their words."""

CALLS = [Call("call_1", "find", ['{"n":', "1}"]), Call("call_2", "find", ["{}"])]
SAMPLES = (
    HELLO,
    Sample(text=["Hm"], reasoning=["First ", "this."], usage=Usage(10, 20, cached=3, thought=5)),
    Sample(text=["Let me see. "], calls=CALLS),
    Sample(calls=CALLS, reasoning=["So."]),
    Sample(text=["a" * 200] * 20, usage=None),
    Sample(),
)

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**40, -(2**63), 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", " ", "a", "0",
    "\0", "\ud800", "\udfff", "\u2028", "\U0001f600", "null", "stop", "[DONE]", SECRET, "a" * 5000, "\n\n",
    "data: x", [], {}, [None],
    [[]], [{}], {"": ""}, {"a": {"b": {}}}, ["a"] * 100, [{"index": 5}], {"type": "text"}, {"message": SECRET},
    [1, "a", None, {}],
)  # fmt: skip
TERMINAL_WORDS = {
    "/chat/completions": (b"finish_reason", b"[DONE]"),
    "/responses": (b"response.completed", b"response.incomplete"),
    "/messages": (b"message_stop",),
}
"""One of these stands in every stream that is whole."""

ODD_EVENTS = (
    b"\n", b"\n\n\n", b": ping\n\n", b":\n", b"data\n\n", b"data:\n\n", b"data: \n\n", b"data: {}\n\n",
    b"data: null\n\n", b"data: []\n\n",
    b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE] \n\n", b"event: done\n\n", b"event: error\ndata: {}\n\n",
    b"id: 1\nretry: 1\n\n",
    b"retry: 99999999999999999999\n\n", b"\xef\xbb\xbfdata: {}\n\n", b"data: {\ndata: }\n\n", b"foo: bar\n\n",
    b"data: {\"a\":\n\n",
    b"event: ping\ndata: {\"type\":\"ping\"}\n\n", b"data: \xff\xfe\n\n", b"\0\0\0",
    b"data: {\"error\":{\"message\":\"" + SECRET.encode() + b"\"}}\n\n",
    b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"" + SECRET.encode() + b"\"}}\n\n",
    b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", b"data: {\"choices\":[]}\n\n",
    b"data: {\"choices\":[{}]}\n\n",
    b"event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"x\"}}}\n\n",
    b"<html>\n\n", b"data: \"a\"\n\n",
)  # fmt: skip

STATUSES = (
    "200 OK", "200", "200 " + "a" * 500, "201 Created", "204 No Content", "206 Partial Content", "299 Odd",
    "301 Moved", "302 Found",
    "304 Not Modified", "400 Bad Request", "401 Unauthorized", "402 Payment", "403 Forbidden", "404 Not Found",
    "408 Timeout", "409 Conflict",
    "413 Too Large", "422 Unprocessable", "429 Too Many", "499 Odd", "500 Error", "501 No", "502 Bad", "503 Busy",
    "504 Late", "529 Over",
    "600 Odd", "999 Odd", "0 Odd", "-1 Odd", "2OO OK", "20000 OK", "100 Continue", "101 Switching Protocols",
    "103 Early Hints", "",
)  # fmt: skip
VERSIONS = ("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.9", "http/1.1", "ICY", "")
FIELDS = (
    "Content-Length: 5", "Content-Length: 0", "Content-Length: -1", "Content-Length: 99999999999999999999",
    "Content-Length: 5, 5",
    "Content-Length: +5", "Content-Length: 0x5", "Content-Length:", "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity", "Transfer-Encoding: CHUNKED", "Transfer-Encoding: chunked, chunked",
    "Content-Encoding: gzip",
    "Content-Encoding: deflate", "Content-Encoding: br", "Content-Encoding: zstd", "Content-Encoding: identity",
    "Content-Encoding: gzip, gzip",
    "Content-Encoding: x-gzip", "Content-Encoding:", "Content-Type: text/html",
    "Content-Type: application/json; charset=utf-16",
    "Content-Type:", "Connection: close", "Connection: keep-alive", "Connection: upgrade", "Upgrade: h2c",
    "Location: http://a.example/",
    "Retry-After: 1", "Retry-After: -1", "Retry-After: 1e400", "Retry-After: Fri, 99 Xxx 9999 99:99:99 GMT",
    "Retry-After: \xff",
    "Retry-After: Fri, 31 Dec 9999 23:59:59 -9999", "retry-after-ms: NaN", "x-request-id: \xff",
    "x-request-id: " + "a" * 3000, "request-id: a b",
    "X-A: " + "b" * 10_000, "X-A: " + "b" * 100_000, ": no name", "No colon", " folded: x", "X-A:\tb", "X\0A: b",
    "X-A: b\0c", "X-A: b\rc",
    "Keep-Alive: timeout=0", "Trailer: X-A", "Set-Cookie: a=b", "Date: x", "Content-Length: 1" + "0" * 5000,
)  # fmt: skip


class Answer(NamedTuple):
    """What is played, and what may follow from it."""

    steps: list[Step]
    has_end: bool
    """Whether an OK can be true: the body holds what ends an answer."""
    changes: str


def make_answer(rng: random.Random, path: str, *, streams: bool, timeout: float) -> Answer:
    """An answer to a request at this path; `timeout` is what its caller waits, in seconds."""
    changes: list[str] = []
    as_stream = streams if rng.random() < 0.95 else not streams
    body = _events(rng, path, changes) if as_stream else _whole(rng, path, changes)
    if rng.random() < 0.25:
        change = rng.choice(BODY_CHANGES)
        body = change(rng, body)
        changes.append(change.__name__.strip("_"))
    has_end = _has_end(path, body, as_stream=as_stream)
    # An error of its own is not an answer, whatever it says beside.
    data, framed = _http(rng, body, as_stream=as_stream, changes=changes)
    if not as_stream and not framed:
        has_end = has_end and _is_json(body)
    return Answer(_play(rng, data, timeout, changes), has_end, ", ".join(changes))


def make_list(rng: random.Random, timeout: float) -> Answer:
    """An answer to the question which models there are."""
    changes: list[str] = []
    body = _written(rng, _mutated(rng, json.loads(MODEL_LIST), rng.choice((0, 1, 2))))
    data, _ = _http(rng, body, as_stream=False, changes=changes)
    return Answer(_play(rng, data, timeout, changes), True, ", ".join(changes))


def _has_end(path: str, body: bytes, *, as_stream: bool) -> bool:
    return not as_stream or any(word in body for word in TERMINAL_WORDS[path])


def _is_json(body: bytes) -> bool:
    # Python takes it in any of Unicode's encodings, and so may others.
    for text in (body, body.decode(errors="replace").strip("\ufeff \t\r\n\0")):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            return True
    return False


# ------------------------------------------------------------------------------------------- the JSON of it


def _whole(rng: random.Random, path: str, changes: list[str]) -> bytes:
    kind = rng.random()
    speech = SPEECHES[path]
    if kind < 0.1:
        changes.append("an error")
        value: Any = speech.error(rng.choice(("invalid_request_error", "overloaded_error", "x", SECRET)), SECRET)
    else:
        value = json.loads(encode(speech.body(rng.choice(SAMPLES))))
    times = rng.choice((0, 1, 1, 2, 4))
    changes.append(f"{times} in the JSON")
    return _written(rng, _mutated(rng, value, times))


def _mutated(rng: random.Random, value: Any, times: int) -> Any:
    for _ in range(times):
        value = _mutate_json(rng, value)
    return value


def _mutate_json(rng: random.Random, value: Any) -> Any:
    """The value with one place in it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        return _mutate_member(rng, value, key)
    if isinstance(value, list) and value and rng.random() < 0.85:
        index = rng.randrange(len(value))
        changed = _mutate_json(rng, value[index])
        return rng.choice(
            (
                [*value[:index], changed, *value[index + 1 :]],
                [*value[:index], changed, *value[index + 1 :]],
                [*value[:index], *value[index + 1 :]],
                [*value, *[value[index]] * rng.choice((1, 10, 300))],
                value[::-1],
            )
        )
    kind = rng.random()
    if kind < 0.1 and isinstance(value, str):
        return rng.choice(
            (value[: len(value) // 2], value * 50, value + "\ud83d", "\udc00" + value, value.upper(), value + "\0")
        )
    if kind < 0.15:
        return rng.choice(([value], {"value": value}, [value] * 3, json.dumps(value)))
    if kind < 0.2:
        return _nested(rng.choice((10, 100, 500)), value)
    return rng.choice(ODD_VALUES)


def _mutate_member(rng: random.Random, value: dict[str, Any], key: str) -> dict[str, Any]:
    kind = rng.random()
    if kind < 0.12:
        return {name: member for name, member in value.items() if name != key}
    if kind < 0.18:
        return {
            **value,
            rng.choice(
                ("error", "type", "index", "id", "usage", "choices", "content", "", "\ud800", key.upper())
            ): rng.choice(ODD_VALUES),
        }
    return {**value, key: _mutate_json(rng, value[key])}


def _nested(depth: int, value: Any) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def _written(rng: random.Random, value: Any) -> bytes:
    text = json.dumps(value)
    kind = rng.random()
    if kind < 0.05:
        return rng.choice(("\ufeff", " \r\n", "[", ")]}',\n")).encode() + text.encode()
    if kind < 0.1:
        return text.encode() + rng.choice((b" ", b"\n", b"\0", b"{}", b",", b"x", b"\xff"))
    if kind < 0.13:
        return text.encode(rng.choice(("utf-16", "utf-32-le", "utf-7")))
    if kind < 0.16:
        return text.replace(":", ": " + " " * 500, 3).encode()
    if kind < 0.18:
        depth = rng.choice((100, 1000, 5000, 100_000))
        return b'{"choices":' + rng.choice((b"[", b'{"a":')) * depth
    if kind < 0.2:
        return (
            text[:-1].encode()
            + b',"x":'
            + rng.choice((b"1" * 5000, b"-", b"1e99999", b"01", b"NaN", b'"\xff"', b'"\\ud800"', b'"\n"'))
            + b"}"
        )
    return text.encode()


# ------------------------------------------------------------------------------------------ the events of it


def _transcripts() -> dict[str, list[bytes]]:
    return {
        path: [file.read_bytes() for folder in folders for file in sorted((TRANSCRIPTS / folder).glob("*.sse"))]
        for path, folders in FOLDERS.items()
    }


_TRANSCRIPTS = _transcripts()


def _events(rng: random.Random, path: str, changes: list[str]) -> bytes:
    if rng.random() < 0.5:
        stream = rng.choice(_TRANSCRIPTS[path])
    else:
        stream = "".join(SPEECHES[path].events(rng.choice(SAMPLES))).encode()
    events = [event + b"\n\n" for event in stream.replace(b"\r\n", b"\n").split(b"\n\n") if event]
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        change = rng.choice(EVENT_CHANGES)
        events = change(rng, events) or events
        changes.append(change.__name__.strip("_"))
    return b"".join(events)


def _change_data(rng: random.Random, events: list[bytes]) -> list[bytes]:
    """One place in the JSON of one event."""
    index = rng.randrange(len(events))
    head, mark, data = events[index].partition(b"data: ")
    try:
        value = json.loads(data)
    except ValueError:
        return events
    changed = head + mark + _written(rng, _mutate_json(rng, value)) + b"\n\n"
    return [*events[:index], changed, *events[index + 1 :]]


def _drop(rng: random.Random, events: list[bytes]) -> list[bytes]:
    index = rng.randrange(len(events))
    return events[:index] + events[index + rng.choice((1, 1, 3)) :]


def _cut(rng: random.Random, events: list[bytes]) -> list[bytes]:
    return events[: rng.randrange(len(events)) + 1]


def _double(rng: random.Random, events: list[bytes]) -> list[bytes]:
    index = rng.randrange(len(events))
    return events[:index] + [events[index]] * rng.choice((2, 2, 10, 300)) + events[index:]


def _swap(rng: random.Random, events: list[bytes]) -> list[bytes]:
    return rng.sample(events, len(events))


def _put_in(rng: random.Random, events: list[bytes]) -> list[bytes]:
    index = rng.randrange(len(events) + 1)
    return events[:index] + [rng.choice(ODD_EVENTS)] * rng.choice((1, 1, 1, 500)) + events[index:]


def _rename(rng: random.Random, events: list[bytes]) -> list[bytes]:
    index = rng.randrange(len(events))
    name = rng.choice(
        (b"", b"message", b"error", b"ping", b"message_stop", b"response.completed", b"\xff", b"a" * 2000)
    )
    return [*events[:index], b"event: " + name + b"\n" + events[index], *events[index + 1 :]]


def _other_lines(rng: random.Random, events: list[bytes]) -> list[bytes]:
    end = rng.choice((b"\r\n", b"\r", b"\n\r", b"\r\n\n"))
    return [event.replace(b"\n", end) for event in events]


def _unspaced(rng: random.Random, events: list[bytes]) -> list[bytes]:
    return [event.replace(b"data: ", rng.choice((b"data:", b"data:  ", b"data :", b"Data: "))) for event in events]


def _unended(rng: random.Random, events: list[bytes]) -> list[bytes]:
    return [*events[:-1], events[-1].rstrip(b"\n")]


EVENT_CHANGES: tuple[Callable[[random.Random, list[bytes]], list[bytes]], ...] = (
    _change_data, _change_data, _change_data, _drop, _cut, _double, _swap, _put_in, _rename, _other_lines, _unspaced,
    _unended,
)  # fmt: skip


# ------------------------------------------------------------------------------------------- the bytes of it


def _flip(rng: random.Random, body: bytes) -> bytes:
    changed = bytearray(body or b"\0")
    for _ in range(rng.choice((1, 1, 2, 10))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _insert(rng: random.Random, body: bytes) -> bytes:
    place = rng.randrange(len(body) + 1)
    return (
        body[:place]
        + rng.choice((b"\0", b"\xff", b"\n", b"\r", b'"', b"\\", b"\xed\xa0\x80", rng.randbytes(20)))
        + body[place:]
    )


def _fill(rng: random.Random, body: bytes) -> bytes:
    """A great deal of nothing."""
    filler = rng.choice(
        (b"\n", b"\r\n", b": a\n", b"\n\n", b" ", b"data\n\n", b"data: \n", b"id: 1\n", b"\0")
    ) * rng.choice((1000, 20_000))
    return filler + body if rng.random() < 0.5 else body + filler


def _nothing(rng: random.Random, body: bytes) -> bytes:
    return rng.choice(
        (b"", b"\n", b"null", b"<html><body>Bad gateway</body></html>", SECRET.encode(), rng.randbytes(500))
    )


BODY_CHANGES = (_flip, _truncate, _insert, _fill, _nothing)


# -------------------------------------------------------------------------------------------- the HTTP of it


def _http(rng: random.Random, body: bytes, *, as_stream: bool, changes: list[str]) -> tuple[bytes, bool]:
    """The bytes on the connection, and whether they are framed as HTTP does not allow, or packed."""
    kind = "text/event-stream" if as_stream else "application/json"
    fields = [f"Content-Type: {kind}"]
    status, version, odd = "200 OK", "HTTP/1.1", False
    if rng.random() < 0.2:
        status, odd = rng.choice(STATUSES), True
    if rng.random() < 0.05:
        version, odd = rng.choice(VERSIONS), True
    if rng.random() < 0.15:
        body, encoding = _packed(rng, body)
        fields.append(f"Content-Encoding: {encoding}")
        odd = True
    payload = body
    if rng.random() < 0.4:
        fields.append("Transfer-Encoding: chunked")
        payload, odd_chunks = _chunked(rng, body)
        odd = odd or odd_chunks
    elif rng.random() < 0.9:
        fields.append(f"Content-Length: {len(body)}")
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        fields.insert(rng.randrange(len(fields) + 1), rng.choice(FIELDS))
        odd = True
    if rng.random() < 0.02:
        fields += [f"X-{index}: {'a' * 50}" for index in range(rng.choice((50, 200, 2000)))]
        odd = True
    head = "\r\n".join([f"{version} {status}", *fields, "", ""]).encode("latin-1")
    data = head + payload
    if rng.random() < 0.12:
        change = rng.choice(HTTP_CHANGES)
        data, odd = change(rng, head, payload), True
        changes.append(change.__name__.strip("_"))
    changes.append(f"{version} {status[:12]} with {len(fields)} fields")
    return data, odd


def _packed(rng: random.Random, body: bytes) -> tuple[bytes, str]:
    packed = gzip.compress(body, 1)
    return rng.choice(
        (
            (packed, "gzip"),
            (packed, "gzip"),
            (packed[: rng.randrange(len(packed))], "gzip"),
            (_flip(rng, packed), "gzip"),
            (packed + gzip.compress(b""), "gzip"),
            (packed + packed, "gzip"),
            (packed + b"garbage", "gzip"),
            (zlib.compress(body), "gzip"),
            (zlib.compress(body), "deflate"),
            (body, "gzip"),
            (packed, "identity"),
            (packed, "br"),
            (gzip.compress(packed), "gzip, gzip"),
            (gzip.compress(b"\n" * rng.choice((10**5, 10**6)) + body, 1), "gzip"),
            (gzip.compress(b": a\n" * rng.choice((10**4, 10**5)) + body, 1), "gzip"),
            (gzip.compress(b"data: " + b"a" * 10**6 + b"\n\n" + body, 1), "gzip"),
        )
    )


def _chunked(rng: random.Random, body: bytes) -> tuple[bytes, bool]:
    size = rng.choice((len(body) or 1, len(body) // 3 + 1, len(body) // 50 + 1))
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    if rng.random() < 0.75:
        return b"".join([*chunks, b"0\r\n\r\n"]), False
    last = rng.choice(
        (b"", b"0\r\n", b"0\r\nX-A: b\r\n\r\n", b"0;a=b\r\n\r\n", b"00000\r\n\r\n",
        b"0\r\n" + b"X-A: b\r\n" * 3000 + b"\r\n", b"-1\r\n\r\n",
         b"ffffffffffffffff\r\n", b"fffffffffffffffff\r\n", b"g\r\n", b"\r\n", b"5\r\nabc",
         b"1" * 5000, b"0" * 5000 + b"\r\n\r\n",
         b"3;" + b"a" * 100_000 + b"\r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b" 3\r\nabc\r\n0\r\n\r\n",
         b"3\nabc\n0\n\n")
    )  # fmt: skip
    return b"".join([*chunks, last]), True


def _bare_lines(rng: random.Random, head: bytes, payload: bytes) -> bytes:
    return head.replace(b"\r\n", b"\n") + payload


def _informed(rng: random.Random, head: bytes, payload: bytes) -> bytes:
    early = rng.choice(
        (
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
            b"HTTP/1.1 101 Switch\r\n\r\n",
        )
    )
    return early * rng.choice((1, 2, 1000)) + head + payload


def _twice(rng: random.Random, head: bytes, payload: bytes) -> bytes:
    return (head + payload) * 2


def _flipped_head(rng: random.Random, head: bytes, payload: bytes) -> bytes:
    return _flip(rng, head) + payload


def _cut_anywhere(rng: random.Random, head: bytes, payload: bytes) -> bytes:
    data = head + payload
    return data[: rng.randrange(len(data))]


def _endless_head(rng: random.Random, head: bytes, payload: bytes) -> bytes:
    return head[:-2] + b"X-A: b\r\n" * rng.choice((100, 5000, 20_000))


def _no_head(rng: random.Random, head: bytes, payload: bytes) -> bytes:
    return rng.choice(
        (
            payload,
            b"\r\n" + head + payload,
            b"\x16\x03\x01\0\x05hello",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            rng.randbytes(200),
            b"",
        )
    )


HTTP_CHANGES = (_bare_lines, _informed, _twice, _flipped_head, _cut_anywhere, _cut_anywhere, _endless_head, _no_head)


def _play(rng: random.Random, data: bytes, timeout: float, changes: list[str]) -> list[Step]:
    """The bytes in pieces, with pauses, and an end."""
    kind = rng.random()
    if kind < 0.8 or not data:
        steps: list[Step] = [data]
    else:
        size = rng.choice((1, 2, 7, 100, 1000)) if len(data) < 3000 else max(len(data) // 20, 1)
        steps = []
        for start in range(0, len(data), size):
            # What is written without a turn of the loop between would be read as one.
            steps += [data[start : start + size], 0.0]
        if rng.random() < 0.3:
            steps.insert(rng.randrange(len(steps)), rng.choice((0.01, 0.05)))
    # Nearly all end the connection, or each whose framing promises more would wait until its deadline.
    if rng.random() < 0.985:
        steps.append(rng.choice((Last.CLOSE, Last.CLOSE, Last.CLOSE, Last.RESET)))
        if rng.random() < 0.5:
            steps.insert(-1, 0.005)
    else:
        changes.append("silence")
        steps.append(Last.SILENCE)
    return steps
