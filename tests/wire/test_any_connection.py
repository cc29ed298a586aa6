"""Any response of a provider, in any framing, cut into any reads and broken at any place: the answer, or an error of
the platform's; the same for the same bytes; and the next request on the pool gets its own answer."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import zlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.models.providers.stream import StreamTimeouts
from services.models.transport.client import HttpClient
from services.shared import errors
from services.shared.event_loop import choose_loop
from tests.scripted_upstream import Ending, Script, ScriptedUpstream, raw
from tests.wire.adapters import ADAPTERS, Outcome, Subject, Verb
from tests.wire.dialects import Sample, encode

DIALECTS = {
    adapter.name: adapter
    for adapter in ADAPTERS
    if adapter.name in ("openai", "openai-responses", "anthropic-endpoint")
}
PATIENCE = StreamTimeouts(content=10.0, usage=10.0, close=10.0)
"""No clock may decide an example: each response ends by itself."""
HANG_SECONDS = 20.0
NEXT = Sample(text=["The next ", "answer."])

Framing = Literal["length", "chunks", "close", "close of HTTP/1.0"]
FRAMINGS: tuple[Framing, ...] = ("length", "chunks", "close", "close of HTTP/1.0")
KEPT_OPEN = ("length", "chunks")
"""Framings behind which another response may follow."""

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "deflate": zlib.compress,
}


@dataclass(frozen=True)
class Response:
    """A response that is whole, as a provider may write it."""

    dialect: str
    verb: Verb
    sample: Sample
    framing: Framing
    packing: str
    chunk_sizes: tuple[int, ...]

    @property
    def text(self) -> str:
        return "".join(self.sample.text)

    def encode(self) -> bytes:
        speech = DIALECTS[self.dialect].speech
        events = self.verb == "chat_stream"
        body = "".join(speech.events(self.sample)).encode() if events else encode(speech.body(self.sample))
        body = PACKINGS[self.packing](body)
        fields = [f"Content-Type: {'text/event-stream' if events else 'application/json'}"]
        if self.packing:
            fields.append(f"Content-Encoding: {self.packing}")
        match self.framing:
            case "length":
                fields.append(f"Content-Length: {len(body)}")
            case "chunks":
                fields.append("Transfer-Encoding: chunked")
                body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*self._chunks(body), b""])
            case "close":
                fields.append("Connection: close")
        version = "HTTP/1.0" if self.framing == "close of HTTP/1.0" else "HTTP/1.1"
        return "\r\n".join([f"{version} 200 OK", *fields, "", ""]).encode() + body

    def _chunks(self, body: bytes) -> Iterator[bytes]:
        sizes = itertools.cycle(self.chunk_sizes)
        while body:
            size = next(sizes)
            yield body[:size]
            body = body[size:]


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1, max_size=4)
responses = st.builds(
    Response,
    dialect=st.sampled_from(sorted(DIALECTS)),
    verb=st.sampled_from(["chat", "chat_stream"]),
    sample=texts.map(lambda pieces: Sample(text=["So: ", *pieces])),
    framing=st.sampled_from(FRAMINGS),
    packing=st.sampled_from(sorted(PACKINGS)),
    chunk_sizes=st.lists(st.integers(1, 300), min_size=1, max_size=4).map(tuple),
)
shares = st.floats(0, 1, exclude_max=True)
"""Places in a response, as shares of its length."""
cuts = st.lists(shares, max_size=12)


class Damage(NamedTuple):
    """A change of the bytes of a response, at a place of it."""

    kind: Literal["flip", "drop", "insert", "repeat"]
    place: float
    value: int

    def apply(self, data: bytes) -> bytes:
        place = int(self.place * len(data))
        match self.kind:
            case "flip":
                return data[:place] + bytes([data[place] ^ (1 + self.value % 255)]) + data[place + 1 :]
            case "drop":
                return data[:place] + data[place + 1 + self.value % 16 :]
            case "insert":
                return data[:place] + bytes([self.value]) + data[place:]
            case "repeat":
                return data[: place + 1 + self.value % 16] + data[place:]


damages = st.builds(Damage, st.sampled_from(["flip", "drop", "insert", "repeat"]), shares, st.integers(0, 255))


def split(data: bytes, places: list[float]) -> list[bytes]:
    bounds = [0, *sorted({int(share * len(data)) for share in places}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds) if start < end]


class Client:
    """A client whose pool is the same for all examples of a test, and its provider."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.upstream = upstream
        self._transport = HttpClient()

    async def ask(self, dialect: str, verb: Verb, script: Script) -> Outcome:
        """The outcome of a chat that the provider answers so. Fails if it hangs, or ends in another exception."""
        self.upstream.requests.clear()
        self.upstream.play(script)
        subject = Subject(DIALECTS[dialect], self.upstream)
        subject.transport = self._transport
        outcome = await asyncio.wait_for(subject.ask(verb, PATIENCE), HANG_SECONDS)
        await asyncio.wait_for(self.upstream.requests[-1].finished.wait(), HANG_SECONDS)
        # What the provider has written last is read, too.
        for _ in range(3):
            await asyncio.sleep(0)
        # Over a connection that was reset, bytes may be lost that were sent: it looks as if no answer had begun.
        lost = script.ending is Ending.RESET and outcome.error is not None
        assert len(self.upstream.requests) == 1 or lost, "a generation was asked for twice"
        return outcome

    async def assert_body_is_incomplete(self, script: Script) -> None:
        """Fails unless the transport itself notices that a response is not whole."""
        self.upstream.play(script)
        with pytest.raises(errors.PlatformError):
            await asyncio.wait_for(self._transport.post(self.upstream.url, {}, b""), HANG_SECONDS)

    async def assert_next_is_answered(self, response: Response) -> None:
        """Fails unless the next chat gets its own answer."""
        whole = Response(response.dialect, response.verb, NEXT, "length", "", (1,))
        outcome = await self.ask(whole.dialect, whole.verb, raw(whole.encode()))
        assert text_of(outcome) == whole.text

    async def close(self) -> None:
        await self._transport.close()


def text_of(outcome: Outcome) -> str | None:
    """The text of a whole answer, None for an error."""
    if outcome.error:
        assert isinstance(outcome.error, errors.PlatformError)
        return None
    assert outcome.response
    if outcome.chunks:
        assert "".join(chunk.token for chunk in outcome.chunks) == outcome.response.text
    return outcome.response.text


def summary(outcome: Outcome) -> tuple[str, str]:
    """All that the caller gets, however it was cut into chunks: the text, and the reason of the error."""
    error = outcome.error
    return "".join(chunk.token for chunk in outcome.chunks) or text_of(outcome) or "", error.reason if error else ""


@contextlib.contextmanager
def on_one_loop() -> Iterator[tuple[Callable[[Coroutine[Any, Any, None]], None], Client]]:
    """A loop that stands still while hypothesis chooses, and a client on it."""
    with asyncio.Runner(loop_factory=choose_loop()) as runner:
        upstream = ScriptedUpstream()
        runner.run(upstream.__aenter__())
        client = Client(upstream)
        try:
            yield runner.run, client
        finally:
            runner.run(client.close())
            runner.run(upstream.__aexit__(None, None, None))


def test_whole_response_is_the_answer_however_it_is_framed_and_cut() -> None:
    with on_one_loop() as (run, client):

        async def check(response: Response, places: list[float]) -> None:
            kept_open = response.framing in KEPT_OPEN
            script = raw(*split(response.encode(), places), ending=Ending.CLEAN if kept_open else Ending.CLOSE)
            outcome = await client.ask(response.dialect, response.verb, script)
            assert text_of(outcome) == response.text
            connection = client.upstream.requests[0].connection
            await client.assert_next_is_answered(response)
            assert (client.upstream.requests[0].connection is connection) == kept_open

        @settings(max_examples=80)
        @given(responses, cuts)
        def examples(response: Response, places: list[float]) -> None:
            run(check(response, places))

        examples()


def test_response_that_is_cut_off_is_the_whole_answer_or_an_error() -> None:
    with on_one_loop() as (run, client):

        async def check(response: Response, end: float, places: list[float], ending: Ending) -> None:
            data = response.encode()
            script = raw(*split(data[: 1 + int(end * (len(data) - 1))], places), ending=ending)
            outcome = await client.ask(response.dialect, response.verb, script)
            assert text_of(outcome) in (None, response.text)
            assert response.text.startswith("".join(chunk.token for chunk in outcome.chunks))
            if response.framing in KEPT_OPEN or response.packing:
                await client.assert_body_is_incomplete(script)
            await client.assert_next_is_answered(response)

        @settings(max_examples=80)
        @given(responses, shares, cuts, st.sampled_from([Ending.CUT, Ending.RESET]))
        def examples(response: Response, end: float, places: list[float], ending: Ending) -> None:
            run(check(response, end, places, ending))

        examples()


def test_damaged_response_ends_alike_however_it_is_cut_and_spoils_no_other() -> None:
    with on_one_loop() as (run, client):

        async def check(response: Response, damage: list[Damage], places: list[float]) -> None:
            data = response.encode()
            for change in damage:
                data = change.apply(data)
            ends = []
            for pieces in ([data], split(data, places)):
                outcome = await client.ask(response.dialect, response.verb, raw(*pieces, ending=Ending.CUT))
                ends.append(summary(outcome))
                await client.assert_next_is_answered(response)
            # What stands before a place that cannot be unpacked is there only if it was read before.
            failed = any(reason for _, reason in ends)
            assert ends[0] == ends[1] or (response.packing and failed)

        @settings(max_examples=80)
        @given(responses, st.lists(damages, min_size=1, max_size=3), cuts)
        def examples(response: Response, damage: list[Damage], places: list[float]) -> None:
            run(check(response, damage, places))

        examples()


def test_what_comes_behind_a_response_is_never_the_next_answer() -> None:
    """A server that says that its response is shorter than it is, or that sends another one unasked."""
    with on_one_loop() as (run, client):

        async def check(response: Response, extra: bytes, places: list[float]) -> None:
            data = response.encode() + extra
            outcome = await client.ask(response.dialect, response.verb, raw(*split(data, places)))
            assert text_of(outcome) in (None, response.text)
            await client.assert_next_is_answered(response)

        unasked = responses.map(lambda response: response.encode())

        @settings(max_examples=60)
        @given(responses.filter(lambda response: response.framing in KEPT_OPEN), st.binary(min_size=1) | unasked, cuts)
        def examples(response: Response, extra: bytes, places: list[float]) -> None:
            run(check(response, extra, places))

        examples()
