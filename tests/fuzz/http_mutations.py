"""Changes in the HTTP around a body: its head, its framing, how it is packed."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable

from tests.fuzz.byte_changes import flipped

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


def in_http(rng: random.Random, body: bytes, *, as_stream: bool, changes: list[str]) -> tuple[bytes, bool]:
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
    makers: tuple[Callable[[], tuple[bytes, str]], ...] = (
        lambda: (packed, "gzip"),
        lambda: (packed, "gzip"),
        lambda: (packed[: rng.randrange(len(packed))], "gzip"),
        lambda: (flipped(rng, packed), "gzip"),
        lambda: (packed + gzip.compress(b""), "gzip"),
        lambda: (packed + packed, "gzip"),
        lambda: (packed + b"garbage", "gzip"),
        lambda: (zlib.compress(body), "gzip"),
        lambda: (zlib.compress(body), "deflate"),
        lambda: (body, "gzip"),
        lambda: (packed, "identity"),
        lambda: (packed, "br"),
        lambda: (gzip.compress(packed), "gzip, gzip"),
        lambda: (_padded(b"\n", rng.choice((10**5, 10**6)), body), "gzip"),
        lambda: (_padded(b": a\n", rng.choice((10**4, 10**5)), body), "gzip"),
        lambda: (_padded(b"data: " + b"a" * 10**6 + b"\n\n", 1, body), "gzip"),
    )
    return rng.choice(makers)()


def _padded(filler: bytes, times: int, body: bytes) -> bytes:
    return gzip.compress(filler * times + body, 1)


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
    return flipped(rng, head) + payload


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
