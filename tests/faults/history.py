"""The history of a load, and the rules that it must keep: each call is judged when it ends, and the whole at the end.

A call has one number for good, and is sent once; only a call under a `request_id` may be sent again, which is then
another sending of the same call.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.faults.orders import read_output

OK = "OK"
LATE_SECONDS = 1.0
ROUNDS_OF_AN_END = 4
"""Rounds of the load's own event loop, at most, from the end of a call to where its caller sees it."""
MAX_REQUESTS = 3
"""MODELS_MAX_ATTEMPTS: requests to providers for one chat."""
CLOSING_SECONDS = 1.0

WRONG_CODES = ("INTERNAL", "UNKNOWN", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "DATA_LOSS", "OUT_OF_RANGE")
"""Codes that no fault of a provider or a process excuses."""
PROTOCOL_ERROR = "UPSTREAM_PROTOCOL_ERROR"
"""The reason of INTERNAL that says that a provider broke its own protocol."""
SHOWN_VIOLATIONS = 20


@dataclass
class Sending:
    """A call as its caller saw it, once. Times are in seconds of the monotonic clock."""

    call: str
    kind: str
    deadline: float
    started: float
    tokens: int = 0
    number: int = 0
    """The sending of its call: 0 is the first."""
    stream: bool = False
    request_id: str = ""
    session_id: str = ""
    gateway: str = ""
    ended: float = 0.0
    wall_ended: float = 0.0
    """Its end in seconds since 1970."""
    outcome: str = ""
    """OK, LEFT where its caller left it, or the reason of its error."""
    code: str = ""
    text: str = ""
    """The output that came, token by token."""
    response_text: str = ""
    """The text of the response at the end."""
    response_id: str = ""
    finals: int = 0
    chunks_after_final: int = 0
    stored: bool = False
    """Whether it was told that its turn is stored."""
    kept: bool = False
    """Whether its answer is kept under the request_id; a warning says that it is not."""
    warnings: tuple[str, ...] = ()
    disturbed: bool = False
    """Whether a process on its way was away while it ran."""
    lag: float = 0.0
    """The time for which the load's own event loop was late while it ran, at most."""

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def tolerance(self) -> float:
        """The time by which its end may be seen late because the load itself was late."""
        return ROUNDS_OF_AN_END * self.lag


class StoredTurn(NamedTuple):
    """Two messages of a session, as they are stored."""

    prompt: str
    answer: str


class Sum(NamedTuple):
    """A rule that must hold: `broken` is how often it did not, and `told` says how much was looked at."""

    name: str
    told: str
    broken: int

    @property
    def holds(self) -> bool:
        return self.broken == 0


class _End(NamedTuple):
    """The end of a call's last sending, as its provider is judged by it."""

    time: float
    disturbed: bool
    tolerance: float
    streamed: bool
    """Whether each sending of the call was a stream. A whole answer is asked for again although output had come."""


@dataclass
class _Turns:
    """The turns of one session that were sent, in their order: the call, its prompt, and its answer if it was told."""

    sent: list[tuple[str, str, str | None]] = field(default_factory=list)


class History:
    """All calls of a load, of which only those are kept that run or that the end needs."""

    def __init__(self) -> None:
        self.running: dict[int, Sending] = {}
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.codes: Counter[str] = Counter()
        self.chats: dict[str, Counter[str]] = defaultdict(Counter)
        """The outcomes of chats through each gateway."""
        self.violations: list[tuple[str, str]] = []
        self.counted: Counter[str] = Counter()
        self.latest_end = 0.0
        self._broken: Counter[str] = Counter()
        self._sendings: Counter[str] = Counter()
        self._ends: dict[str, _End] = {}
        self._answers: dict[str, tuple[str, str]] = {}
        self._turns: dict[str, _Turns] = defaultdict(_Turns)

    def start(self, sending: Sending) -> None:
        self.running[id(sending)] = sending
        self.counted["started"] += 1
        self._sendings[sending.call] += 1

    def end(self, sending: Sending, prompt: str = "") -> None:
        """Judges a call. `prompt` is of those in a session."""
        del self.running[id(sending)]
        self.outcomes[sending.kind, sending.outcome] += 1
        self.codes[sending.code or sending.outcome] += 1
        self.counted["ended"] += 1
        self._judge_end(sending)
        if sending.tokens:
            self.chats[sending.gateway][sending.outcome] += 1
            self._judge_output(sending)
            self._add_end(sending)
        if sending.request_id and sending.kept:
            self._judge_repeat(sending)
        if sending.session_id:
            told = sending.response_text if sending.stored else None
            self._turns[sending.session_id].sent.append((sending.call, prompt, told))

    @property
    def session_ids(self) -> list[str]:
        return list(self._turns)

    # ------------------------------------------------------------------------------------------- one call

    def _add_end(self, sending: Sending) -> None:
        end = _End(sending.wall_ended, sending.disturbed, sending.tolerance, sending.stream)
        before = self._ends.get(sending.call, end)
        self._ends[sending.call] = _End(
            max(end.time, before.time),
            end.disturbed or before.disturbed,
            max(end.tolerance, before.tolerance),
            end.streamed and before.streamed,
        )

    def _judge_end(self, sending: Sending) -> None:
        late = sending.seconds - sending.deadline - sending.tolerance
        self.latest_end = max(self.latest_end, late)
        if late > LATE_SECONDS:
            self._break("deadline", f"{_told(sending)} ended {late:.2f} s after its deadline")
        if sending.code in WRONG_CODES and sending.outcome != PROTOCOL_ERROR:
            self._break("status", f"{_told(sending)} ended with {sending.code} {sending.outcome}")

    def _judge_output(self, sending: Sending) -> None:
        output = read_output(sending.text or sending.response_text)
        if sending.text or sending.response_text:
            self.counted["with output"] += 1
            if not output or output.call != sending.call:
                self._break("output", f"{_told(sending)} was given {_clip(sending.text or sending.response_text)}")
        if sending.outcome == OK:
            self.counted["whole"] += 1
            self.counted["not kept"] += "ANSWER_NOT_KEPT" in sending.warnings
            if not output or output.tokens != sending.tokens:
                self._break("whole", f"{_told(sending)} is OK with {_clip(sending.response_text)}")
            if sending.stream and (sending.finals != 1 or sending.text != sending.response_text):
                self._break("whole", f"{_told(sending)} had {sending.finals} ends, or two texts")
        if sending.chunks_after_final or (sending.outcome not in (OK, "LEFT") and sending.finals):
            told = f"{sending.chunks_after_final} chunks and {sending.code} {sending.outcome}"
            self._break("after the end", f"{_told(sending)} had {told} after its end")

    def _judge_repeat(self, sending: Sending) -> None:
        answer = (sending.response_id, sending.response_text)
        first = self._answers.setdefault(sending.request_id, answer)
        self.counted["repeatable"] += 1
        if first != answer:
            self._break("repeated", f"{_told(sending)}: {answer[0]} is not the first answer, {first[0]}")

    # ------------------------------------------------------------------------------------------- all calls

    def judge_providers(self, calls: Mapping[str, Mapping[str, Any]]) -> None:
        """Judges what the providers were sent: their counts by call."""
        for call, count in calls.items():
            sendings = self._sendings[call]
            self.counted["requests"] += count["requests"]
            self.counted["delivered"] += count["delivered"]
            if count["requests"] - count["unanswered"] > MAX_REQUESTS * sendings:
                self._break("attempts", f"{call}: {count['requests']} requests for {sendings} sendings")
            if count["running"]:
                self._break("left over", f"{call}: {count['running']} requests run at the end")
            if end := self._ends.get(call):
                self._judge_requests(call, count, end)

    def _judge_requests(self, call: str, count: Mapping[str, Any], end: _End) -> None:
        """Judges the output and the ends of a call's requests, unless a process was away on its way."""
        if end.disturbed:
            self.counted["excused"] += 1
            return
        if end.streamed and count["delivered"] > self._sendings[call]:
            self._break("delivered", f"{call}: {count['delivered']} requests had output")
        late = count["ended"] - end.time - end.tolerance
        if late > CLOSING_SECONDS:
            self._break("closed", f"{call}: a request ran {late:.2f} s longer than its call")

    def judge_session(self, session_id: str, stored: Sequence[StoredTurn]) -> None:
        """Judges what is stored in a session: each turn that was told, whole, once and in its place."""
        sent = self._turns[session_id].sent
        self.counted["stored turns"] += len(stored)
        places = {prompt: index for index, (_, prompt, _) in enumerate(sent)}
        order = [places.get(turn.prompt, -1) for turn in stored]
        if order != sorted(set(order)) or -1 in order:
            self._break("turns", f"session {session_id} has the turns {order} of {len(sent)}")
        answers = {turn.prompt: turn.answer for turn in stored}
        for call, prompt, told in sent:
            answer = answers.get(prompt)
            self.counted["told turns"] += told is not None
            if told is not None and answer != told:
                self._break("turns", f"session {session_id}: the turn of {call} is {'other' if answer else 'lost'}")
            if told is None and answer is not None:
                self.counted["turns stored untold"] += 1
                output = read_output(answer)
                if not output or output.call != call:
                    self._break("turns", f"session {session_id}: the turn of {call} is stored as {_clip(answer)}")

    def judge_connections(self, running: int, connections: int, idle_limit: int) -> None:
        """Judges what is open at the providers after the load."""
        self.counted["connections left"] = connections
        self.counted["connections allowed"] = idle_limit
        if running:
            self._break("left over", f"{running} requests run at the providers after the load")
        if connections > idle_limit:
            self._break("connections", f"{connections} connections to the providers are open after the load")

    def sums(self) -> list[Sum]:
        """What must hold, with its numbers."""
        for sending in self.running.values():
            self._break("ended", f"{_told(sending)} never ended")
        self.running.clear()
        by_outcome: Counter[str] = Counter()
        for (_, outcome), count in self.outcomes.items():
            by_outcome["OK" if outcome == OK else "left" if outcome == "LEFT" else "failed"] += count
        counted = self.counted
        return [
            self._sum(
                "every call has ended",
                f"{counted['started']} started = {by_outcome['OK']} OK + {by_outcome['failed']} failed"
                f" + {by_outcome['left']} left",
                "ended",
            ),
            self._sum(
                "each within its deadline and a second",
                f"the latest {max(self.latest_end, 0):.2f} s after it",
                "deadline",
            ),
            self._sum("the load itself has not failed", f"{counted['started']} calls", "load"),
            self._sum("no status that no fault explains", f"{dict(self.codes.most_common())}", "status"),
            self._sum("an answer is whole, or an error", f"{counted['whole']} whole answers", "whole"),
            self._sum("output is of one answer alone", f"{counted['with output']} with output", "output"),
            self._sum("nothing comes after the end", f"{counted['with output']} with output", "after the end"),
            self._sum(
                "a request_id has one answer",
                f"{counted['repeatable']} answers, {len(self._answers)} ids, {counted['not kept']} not kept",
                "repeated",
            ),
            self._sum(
                f"at most {MAX_REQUESTS} requests for a call",
                f"{counted['requests']} requests for {len(self._ends)} calls",
                "attempts",
            ),
            self._sum(
                "at most one with output for a stream",
                f"{counted['delivered']} with output; {counted['excused']} calls met a process that was away",
                "delivered",
            ),
            self._sum("a request ends with its call", f"within {CLOSING_SECONDS:.0f} s", "closed"),
            self._sum(
                "every told turn is stored once, whole, in order",
                f"{counted['told turns']} told + {counted['turns stored untold']} untold"
                f" = {counted['stored turns']} stored in {len(self._turns)} sessions",
                "turns",
            ),
            self._sum("no request is left over at the providers", "0 run", "left over"),
            self._sum(
                "no connection is open but idle ones",
                f"{counted['connections left']} open, {counted['connections allowed']} may be",
                "connections",
            ),
        ]

    def note(self, rule: str, told: str) -> None:
        """Records a violation that others have found."""
        self._break(rule, told)

    def broken(self, rule: str) -> int:
        return self._broken[rule]

    def _sum(self, name: str, told: str, rule: str) -> Sum:
        return Sum(name, told, self._broken[rule])

    def _break(self, rule: str, told: str) -> None:
        self._broken[rule] += 1
        if self._broken[rule] <= SHOWN_VIOLATIONS:
            self.violations.append((rule, told))


def _told(sending: Sending) -> str:
    stream = " stream" if sending.stream else ""
    told = f"{sending.kind}{stream}, sending {sending.number} through {sending.gateway}, {sending.seconds:.2f} s"
    return f"{sending.call} ({told}{', disturbed' if sending.disturbed else ''})"


def _clip(text: str) -> str:
    return repr(text if len(text) < 120 else f"{text[:60]}…{text[-60:]}")
