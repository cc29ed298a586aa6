"""What the fuzzer of HTTP/2 sends on its connections: each case is the same for the same seed and number."""

from __future__ import annotations

import functools
import gzip
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from docs.feature_requests import USER
from proto import models_pb2, sessions_pb2
from tests.fuzz.byte_changes import flipped
from tests.fuzz.fuzzed_platform import NAMES
from tests.fuzz.odd_headers import MODELS, ODD_CONTENT_TYPES, ODD_NAMES, ODD_PATHS, ODD_TIMEOUTS, ODD_VALUES, SESSIONS
from tests.support.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Field,
    frame,
    grpc_message,
    header_block,
    headers,
    integer,
    literal,
    opening,
)

CHAT = models_pb2.ChatRequest(model="gpt-4o", messages=[USER]).SerializeToString()

CALLS = (
    (MODELS + b"ListModels", models_pb2.ListModelsRequest(page_size=1).SerializeToString()),
    (MODELS + b"Chat", CHAT),
    (MODELS + b"ChatStream", CHAT),
    (MODELS + b"GetPrompt", models_pb2.GetPromptRequest(name="a").SerializeToString()),
    (SESSIONS + b"GetSession", sessions_pb2.GetSessionRequest(session_id="a").SerializeToString()),
    (SESSIONS + b"ListMemories", sessions_pb2.ListMemoriesRequest(user_id="a").SerializeToString()),
    (b"/grpc.health.v1.Health/Check", b""),
)
"""Calls that are answered at once."""

BOMBS = ((b"\0", 10**5), (b"\0", 10**6), (b"\0", 10**7), (b"\x12\0", 10**4), (b"\x12\0", 10**5), (b"\xff", 10**6))
"""What unpacks to so many bytes, so many times."""

MAX_FLOOD = 2000
DRIBBLED_SECONDS = 0.002


@dataclass
class H2Case:
    """What is written on one connection to one process, and which streams must then be answered."""

    number: int
    target: str
    kind: str
    writes: list[bytes] = field(default_factory=list)
    pause: float = 0.0
    """Between two writes, in seconds."""
    expected: list[int] = field(default_factory=list)
    resets: bool = False
    """Whether the connection ends by RST."""
    timeout: float | None = None
    changes: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(map(len, self.writes))

    def describe(self, seed: int) -> str:
        data = b"".join(self.writes)
        shown = data.hex() if len(data) <= 16_384 else f"{data[:8192].hex()}… {len(data):,} bytes in all"
        return "\n".join(
            [
                f"python -m tests.fuzz frames --seed {seed} --only {self.number}",
                f"{self.kind} at {self.target}, {len(self.writes)} writes, {self.pause} s between them",
                *self.changes,
                f"bytes: {shown}",
            ]
        )


def h2_case(seed: int, number: int) -> H2Case:
    rng = random.Random(f"{seed}:{number}")
    make = rng.choices(MAKERS, MAKER_WEIGHTS)[0]
    case = H2Case(number, rng.choice(NAMES), make.__name__.strip("_"), resets=rng.random() < 0.2)
    make(rng, case)
    if case.kind != "connection" and rng.random() < 0.03:
        _dribble(case)
    return case


def _dribble(case: H2Case) -> None:
    """A slow sender: the same bytes, a few at a time."""
    data = b"".join(case.writes)
    step = max(len(data) // 40, 1)
    case.writes = [data[start : start + step] for start in range(0, len(data), step)]
    case.pause = DRIBBLED_SECONDS


def _call(rng: random.Random, target: str) -> tuple[list[Field], bytes]:
    """The header fields and the message of a call that `target` answers at once."""
    path, message = rng.choice(CALLS)
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"127.0.0.1"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"grpc-timeout", b"2S"),
    ]
    return fields, message


def _request(stream: int, block: bytes, body: bytes, *, end: bool = True) -> bytes:
    return headers(stream, block) + frame(DATA, END_STREAM if end else 0, stream, body)


# --------------------------------------------------------------------------------------------- headers


def _metadata(rng: random.Random, case: H2Case) -> None:
    """Whole calls with odd header fields, several on one connection."""
    written = [opening()]
    for index in range(rng.choice((1, 1, 2, 4))):
        stream = 1 + 2 * index
        fields, message = _call(rng, case.target)
        for _ in range(rng.choice((1, 1, 2, 3))):
            fields = _change_fields(rng, fields)
        case.changes.append(_shown(fields))
        written.append(_request(stream, header_block(fields), grpc_message(message)))
        case.expected.append(stream)
    case.writes = [b"".join(written)]


def _shown(fields: list[Field]) -> str:
    """The fields of a call, the first of many."""
    shown = ", ".join(f"{name[:40]!r}: {value[:60]!r}" for name, value in fields[:12])
    return f"  {len(fields)} fields: {shown}"


def _change_fields(rng: random.Random, fields: list[Field]) -> list[Field]:
    kind = rng.randrange(12)
    if kind <= 2:
        return [*fields, (rng.choice(ODD_NAMES), rng.choice(ODD_VALUES))]
    if kind == 3:
        return [*fields, (rng.choice((b"x-a", b"x-b-bin", b"x-request-id")), rng.choice(ODD_VALUES))]
    if kind <= 5:
        return _with(fields, b":path", rng.choice(ODD_PATHS))
    if kind == 6:
        return _with(fields, b"grpc-timeout", rng.choice(ODD_TIMEOUTS))
    if kind == 7:
        return _with(fields, b"content-type", rng.choice(ODD_CONTENT_TYPES))
    if kind == 8:
        name = rng.choice((b":method", b":scheme", b":authority", b"te"))
        return _with(fields, name, rng.choice((*ODD_VALUES, b"GET", b"PUT", b"CONNECT", b"https", b"deflate")))
    if kind == 9:
        dropped = rng.randrange(len(fields))
        return fields[:dropped] + fields[dropped + 1 :]
    if kind == 10:
        doubled = rng.choice(fields)
        place = rng.randrange(len(fields) + 1)
        return [*fields[:place], doubled, *fields[place:]]
    return _fill(rng, fields)


def _fill(rng: random.Random, fields: list[Field]) -> list[Field]:
    """Many fields, or large ones, or all of them in another order."""
    if rng.random() < 0.3:
        return rng.sample(fields, len(fields))
    count, size = rng.choice(
        ((50, 10), (200, 30), (1000, 5), (3000, 2), (3, 3000), (5, 8000), (1, 60_000), (20, 16_000))
    )
    value = rng.choice((b"a", b"\xff", b"%", b" ")) * size
    return [*fields, *((b"x-%d" % index, value) for index in range(count))]


def _with(fields: list[Field], name: bytes, value: bytes) -> list[Field]:
    return [(field, value if field == name else old) for field, old in fields]


def _unknown_method(rng: random.Random, case: H2Case) -> None:
    """Methods that nobody has asked for before."""
    written = [opening()]
    for index in range(rng.choice((1, 5, 20))):
        stream = 1 + 2 * index
        fields, message = _call(rng, case.target)
        service = rng.choice((MODELS, SESSIONS, b"/genai_platform.v1.TurnService/", b"/a.b.%d/" % rng.getrandbits(40)))
        path = service + b"m%d" % rng.getrandbits(60) + b"x" * rng.choice((0, 0, 1000))
        written.append(_request(stream, header_block(_with(fields, b":path", path)), grpc_message(message)))
        case.expected.append(stream)
    case.writes = [b"".join(written)]


def _header_block(rng: random.Random, case: H2Case) -> None:
    """Header blocks that no encoder writes."""
    fields, message = _call(rng, case.target)
    block = header_block(fields)
    extra = rng.choice(
        (
            b"\x80",
            integer(rng.choice((62, 100, 2**31, 2**62)), 7, 0x80),
            integer(rng.choice((0, 4096, 4097, 2**20, 2**32)), 5, 0x20),
            b"\xff" * rng.choice((2, 12, 200)),
            literal(b"x-a", b"b", 0x40) * 200,
            literal(b"x-a", b"b" * 4000, 0x40) + b"\xbe" * 300,
            # One byte each, for as many fields as that.
            literal(b"x", b"b", 0x40) + b"\xbe" * rng.choice((2000, 20_000, 200_000)),
            b"\x00\x03x-a" + integer(rng.choice((1, 100, 2**31)), 7) + b"b",
            b"\x00\x83\xff\xff\xff\x01b",
            b"\x40\x82" + rng.randbytes(2) + b"\x84" + rng.randbytes(4),
            rng.randbytes(rng.choice((1, 10, 100))),
        )
    )
    block = rng.choice((block + extra, extra + block, block[: rng.randrange(len(block))], flipped(rng, block)))
    size = rng.choice((1, 7, 100, 16_384))
    case.writes = [opening() + headers(1, block, frame_size=size) + frame(DATA, END_STREAM, 1, grpc_message(message))]


# -------------------------------------------------------------------------------------------- messages


def _message(rng: random.Random, case: H2Case) -> None:
    """Whole calls whose messages are framed or packed as they should not be."""
    fields, message = _call(rng, case.target)
    encoding = rng.choice((None, b"gzip", b"deflate", b"identity", b"snappy", b"", b"gzip,gzip", b"\xff"))
    if encoding is not None:
        fields.append((b"grpc-encoding", encoding))
    body = _odd_body(rng, message)
    pieces = _pieces(rng, body)
    frames = [_data(rng, 1, piece, end=index == len(pieces) - 1) for index, piece in enumerate(pieces)]
    case.writes = [opening() + headers(1, header_block(fields)), *frames]
    case.expected = [1]


def _odd_body(rng: random.Random, message: bytes) -> bytes:
    if rng.random() < 0.5:
        return _packed_body(rng, message)
    return rng.choice(
        (
            b"",
            b"\0",
            grpc_message(message)[:-1],
            grpc_message(message, length=len(message) + 1),
            grpc_message(message, length=rng.choice((2**31 - 1, 2**31, 2**32 - 1, 64 * 2**20))),
            grpc_message(message, length=max(len(message) - 1, 0)),
            grpc_message(message, flag=1),
            grpc_message(message, flag=rng.choice((2, 3, 128, 255))),
            grpc_message(b"", flag=1),
            grpc_message(message) * rng.choice((2, 3, 100)),
            grpc_message(message) + b"\0\0\0",
            grpc_message(b"") * 1000,
            grpc_message(rng.randbytes(100)),
            grpc_message(flipped(rng, message or b"a")),
        )
    )


def _packed_body(rng: random.Random, message: bytes) -> bytes:
    if rng.random() < 0.4:
        return grpc_message(_bomb(*rng.choice(BOMBS)), flag=1)
    packed = gzip.compress(message)
    odd = rng.choice((packed, packed[:-4], flipped(rng, packed), packed + b"more", packed * 2, zlib.compress(message)))
    return grpc_message(odd, flag=1)


@functools.cache
def _bomb(piece: bytes, times: int) -> bytes:
    return gzip.compress(piece * times)


def _pieces(rng: random.Random, body: bytes) -> list[bytes]:
    if len(body) > 16_384:
        size = 16_384
    else:
        size = rng.choice((len(body) or 1, len(body) or 1, len(body) // 2 + 1, len(body) // 30 + 1))
    return [body[start : start + size] for start in range(0, len(body), size)] or [b""]


def _data(rng: random.Random, stream: int, piece: bytes, *, end: bool) -> bytes:
    flags = END_STREAM if end else 0
    if rng.random() < 0.1 and len(piece) < 16_000:
        padding = rng.choice((0, 1, 255))
        return frame(DATA, flags | PADDED, stream, bytes([padding]) + piece + bytes(padding))
    return frame(DATA, flags, stream, piece)


def _half_call(rng: random.Random, case: H2Case) -> None:
    """Calls that are begun and left: without a message, with half of one, with trailers, reset."""
    written = [opening()]
    for index in range(rng.choice((1, 3, 10))):
        stream = 1 + 2 * index
        fields, message = _call(rng, case.target)
        block, body = header_block(fields), grpc_message(message)
        written.append(
            rng.choice(
                (
                    headers(stream, block),
                    headers(stream, block, end=True),
                    _request(stream, block, body[: len(body) // 2], end=False),
                    _request(stream, block, body, end=False),
                    _request(stream, block, body, end=False)
                    + headers(stream, header_block([(b"x-a", b"b")]), end=True),
                    headers(stream, block) + headers(stream, header_block([(b"grpc-status", b"0")]), end=True),
                    _request(stream, block, body) + frame(DATA, 0, stream, b"more"),
                    _request(stream, block, body) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08"),
                    _request(stream, block, body, end=False) + frame(RST_STREAM, 0, stream, rng.randbytes(4)),
                    headers(stream, block) + frame(HEADERS, END_STREAM, stream, b""),
                )
            )
        )
    case.writes = [b"".join(written)]


# ---------------------------------------------------------------------------------------------- frames


def _frames(rng: random.Random, case: H2Case) -> None:
    """A connection on which frames come as they should not."""
    fields, message = _call(rng, case.target)
    written = [opening(_settings(rng))]
    if rng.random() < 0.7:
        written.append(_request(1, header_block(fields), grpc_message(message)))
    written += [_odd_frame(rng, fields) for _ in range(rng.choice((1, 2, 5, 20)))]
    data = b"".join(written)
    case.writes = [flipped(rng, data) if rng.random() < 0.2 else data]


def _settings(rng: random.Random) -> bytes:
    if rng.random() < 0.6:
        return b""
    entries = b""
    for _ in range(rng.choice((1, 3, 50))):
        kind = rng.choice((1, 2, 3, 4, 5, 6, 8, 0xFE03, 0, 0xFFFF))
        entries += kind.to_bytes(2, "big") + rng.choice(
            (0, 1, 2, 100, 16_383, 16_384, 2**24, 2**31, 2**32 - 1)
        ).to_bytes(4, "big")
    return entries


def _odd_frame(rng: random.Random, fields: list[Field]) -> bytes:
    stream = rng.choice((0, 1, 2, 3, 5, 7, 2**31 - 1, 2**31 + 1, 99))
    block = header_block(fields)
    number = rng.choice((0, 1, 100, 2**31 - 1, 2**31, 2**32 - 1)).to_bytes(4, "big")
    return rng.choice(
        (
            frame(rng.randrange(12), rng.randrange(256), stream, rng.randbytes(rng.choice((0, 1, 4, 5, 8, 9, 100)))),
            frame(rng.choice((13, 64, 255)), rng.randrange(256), stream, rng.randbytes(rng.choice((0, 100, 16_384)))),
            frame(rng.randrange(10), 0, stream, b"", length=rng.choice((1, 16_385, 2**24 - 1))),
            frame(WINDOW_UPDATE, 0, stream, number),
            frame(SETTINGS, rng.choice((0, ACK)), stream, _settings(rng)),
            frame(PING, rng.choice((0, ACK)), stream, rng.randbytes(rng.choice((7, 8, 9)))),
            frame(RST_STREAM, 0, stream, number),
            frame(PRIORITY, 0, stream, stream.to_bytes(4, "big") + b"\x10"),
            frame(GOAWAY, 0, stream, number + b"\0\0\0\0" + b"why" * rng.choice((0, 100))),
            frame(PUSH_PROMISE, END_HEADERS, stream, b"\0\0\0\x02" + block),
            frame(CONTINUATION, rng.choice((0, END_HEADERS)), stream, block),
            frame(DATA, rng.choice((0, END_STREAM, PADDED)), stream, rng.randbytes(rng.choice((0, 5, 1000)))),
            frame(HEADERS, END_HEADERS | END_STREAM, stream, block),
            frame(HEADERS, END_HEADERS | HAS_PRIORITY, stream, stream.to_bytes(4, "big") + b"\x10" + block),
            frame(HEADERS, END_HEADERS | PADDED, stream, b"\xff" + block),
            frame(HEADERS, 0, stream, block),
        )
    )


def _flood(rng: random.Random, case: H2Case) -> None:
    """The same cheap frames over and over."""
    fields, message = _call(rng, case.target)
    block, body = header_block(fields), grpc_message(message)
    count = rng.choice((100, 500, MAX_FLOOD))
    streams = range(1, 2 * count, 2)
    begun = headers(1, block)
    data = rng.choice(
        (
            lambda: frame(SETTINGS) * count,
            lambda: frame(SETTINGS, ACK) * count,
            lambda: frame(PING, 0, 0, b"\0" * 8) * count,
            lambda: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01") * count,
            lambda: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
            lambda: begun + frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\0"),
            lambda: begun + frame(DATA, 0, 1, b"") * count,
            lambda: begun + frame(DATA, PADDED, 1, b"\xff" + b"\0" * 255) * count,
            lambda: frame(PRIORITY, 0, 1, b"\0\0\0\x03\x10") * count,
            lambda: frame(HEADERS, 0, 1, block) + frame(CONTINUATION, 0, 1, b"") * count,
            lambda: frame(HEADERS, 0, 1, block) + frame(CONTINUATION, 0, 1, literal(b"x-a", b"b" * 1000)) * count,
            lambda: b"".join(headers(s, block) + frame(RST_STREAM, 0, s, b"\0\0\0\x08") for s in streams[:300]),
            lambda: b"".join(_request(s, block, body) + frame(RST_STREAM, 0, s, b"\0\0\0\x08") for s in streams[:300]),
            lambda: b"".join(headers(s, block) for s in streams[:300]),
            lambda: b"".join(headers(s, b"") for s in streams[:300]),
            lambda: frame(200, 0, 0, b"x" * 100) * count,
        )
    )()
    case.writes = [opening() + data]


def _connection(rng: random.Random, case: H2Case) -> None:
    """Connections that are none of HTTP/2."""
    case.writes = rng.choice(
        (
            [],
            [PREFACE],
            [PREFACE[: rng.randrange(len(PREFACE))]],
            [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"],
            [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
            [b"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"],
            [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(300)],
            [rng.randbytes(rng.choice((1, 100, 5000)))],
            [b"\0" * 5000],
            [PREFACE + PREFACE],
            [opening() + PREFACE],
            [PREFACE + rng.randbytes(200)],
            [PREFACE + frame(DATA, 0, 1, b"a")],
            [bytes([byte]) for byte in opening()],
        )
    )
    case.pause = DRIBBLED_SECONDS if len(case.writes) > 1 else 0.0


MAKERS: tuple[Callable[[random.Random, H2Case], None], ...] = (
    _metadata,
    _unknown_method,
    _header_block,
    _message,
    _half_call,
    _frames,
    _flood,
    _connection,
)
MAKER_WEIGHTS = (35, 5, 10, 20, 8, 15, 2, 5)
