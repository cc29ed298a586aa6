"""The programs of this folder: a few seconds of chaos hold, and the history finds what must not happen."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.chaos import Tempo, chaos
from tests.faults.history import OK, History, Sending, StoredTurn
from tests.faults.logged_ends import CHATS, Ends, judge_ends, read_ends
from tests.faults.nemesis import FREEZE, KILL, STOP, Pauses
from tests.faults.orders import Order, answer_tokens, read_order, read_output
from tests.faults.soak import BLOCKS_LIMIT, JUDGED_MINUTES, SLOPE_LIMIT, WARM_UP_MINUTES, leak_sums
from tests.rows import for_each, row

CALL, TOKENS = "c1", 3
WHOLE = "".join(answer_tokens(CALL, 1, TOKENS))
QUICK = Tempo(Pauses(0.2, 0.5), Pauses(0.3, 0.6), Pauses(0.2, 0.4), Pauses(0.05, 0.3), deadline_seconds=1.5)


async def test_the_sums_hold_in_a_few_seconds_of_chaos(tmp_path: Path) -> None:
    result = await chaos(tmp_path, seconds=3.5, seed=3, tempo=QUICK, forked=True)
    assert [(each, result.violations) for each in result.sums if not each.holds] == []
    assert {KILL, STOP, FREEZE} & set(result.accidents)


# --------------------------------------------------------------------------------------------------- the history


def sending(**fields: Any) -> Sending:
    """A stream that ended well within its deadline."""
    well: dict[str, Any] = {
        "ended": 101.0,
        "wall_ended": 1001.0,
        "outcome": OK,
        "stream": True,
        "finals": 1,
        "tokens": TOKENS,
    }
    texts = {"text": WHOLE, "response_text": WHOLE, "response_id": "chat-1"}
    return Sending(CALL, "stream", 5.0, 100.0, **(well | texts | fields))


def broken_rules(*sendings: Sending, stored: list[StoredTurn] | None = None, **count: Any) -> set[str]:
    """The sums that do not hold of a history."""
    history = History()
    for each in sendings:
        history.start(each)
        if each.ended:
            history.end(each, f"prompt {each.number}")
    at_provider = {"requests": 1, "delivered": 1, "unanswered": 0, "running": 0, "ended": 1000.9}
    history.judge_providers({CALL: at_provider | count})
    if stored is not None:
        history.judge_session("s", stored)
    return {each.name for each in history.sums() if not each.holds}


ANOTHER = "".join(answer_tokens(CALL, 2, TOKENS))
TURN: dict[str, Any] = {"session_id": "s", "stored": True, "stream": False, "text": ""}
STORED = StoredTurn("prompt 0", WHOLE)
REPEATABLE: dict[str, Any] = {"request_id": "r", "kept": True}

WRONG = {
    "every call has ended": [sending(ended=0.0)],
    "each within its deadline and a second": [sending(ended=106.5)],
    "no status that no fault explains": [
        sending(outcome="INTERNAL", code="INTERNAL", text="", response_text="", finals=0)
    ],
    "an answer is whole, or an error": [sending(text=WHOLE[:-7], response_text=WHOLE[:-7])],
    "output is of one answer alone": [sending(outcome="LEFT", text="c1.1.0;c1.2.1;", response_text="", finals=0)],
    "nothing comes after the end": [sending(outcome="UNAVAILABLE", code="UNAVAILABLE")],
    "a request_id has one answer": [
        sending(**REPEATABLE),
        sending(**REPEATABLE, number=1, response_id="chat-2", text=ANOTHER, response_text=ANOTHER),
    ],
}


@for_each("rule", WRONG)
def test_the_history_finds_calls_that_go_wrong(rule: str) -> None:
    assert broken_rules(*WRONG[rule]) == {rule}


def test_the_history_finds_nothing_where_nothing_is_wrong() -> None:
    assert broken_rules(sending()) == set()
    assert broken_rules(sending(**TURN), stored=[STORED]) == set()
    assert broken_rules(sending(**TURN | {"stored": False, "outcome": "LEFT"}), stored=[]) == set()
    assert broken_rules(sending(**REPEATABLE), sending(**REPEATABLE, number=1)) == set()
    # A process that was away excuses what its callers cannot know.
    assert broken_rules(sending(disturbed=True), delivered=2, ended=1005.0) == set()


def test_the_history_finds_requests_of_which_there_are_too_many() -> None:
    rules: dict[str, dict[str, Any]] = {
        "at most 3 requests for a call": {"requests": 4},
        "at most one with output for a stream": {"requests": 2, "delivered": 2},
        "a request ends with its call": {"ended": 1002.5},
        "no request is left over at the providers": {"running": 1},
    }
    for rule, count in rules.items():
        with row(rule):
            assert broken_rules(sending(), **count) == {rule}
    assert broken_rules(sending(), requests=4, unanswered=1) == set()


def test_the_history_finds_turns_that_are_not_stored_as_they_were_told() -> None:
    first, second = sending(**TURN), sending(**TURN, number=1)
    later = StoredTurn("prompt 1", WHOLE)
    stored: dict[str, list[StoredTurn]] = {
        "lost": [STORED],
        "twice": [STORED, STORED, later],
        "in another order": [later, STORED],
        "of another text": [STORED, StoredTurn("prompt 1", WHOLE[:5])],
        "of nobody": [STORED, later, StoredTurn("prompt 2", WHOLE)],
    }
    assert broken_rules(first, second, stored=[STORED, later]) == set()
    for wrong, turns in stored.items():
        with row(wrong):
            assert broken_rules(first, second, stored=turns) == {"every told turn is stored once, whole, in order"}
    untold = sending(**TURN | {"stored": False, "outcome": "LEFT"})
    assert broken_rules(untold, stored=[StoredTurn("prompt 0", WHOLE[:5])]) == {
        "every told turn is stored once, whole, in order"
    }


# --------------------------------------------------------------------------------------------------- the logs


def ends(
    directory: Path, name: str, *lines: tuple[str, str], streams: dict[str, int] | None = None, tasks: int = 100
) -> Ends:
    """The ends in a log of lines about chats, by their ids and codes, and about other calls."""
    log = directory / f"{name}.log"
    rpc: dict[str, Any] = {"event": "rpc", "method": CHATS[0]}
    entries = [rpc | {"request_id": request, "code": code} for request, code in lines]
    entries.append(rpc | {"method": "ModelService/ListModels", "request_id": "r9", "code": "OK"})
    entries.append({"event": "draining", "tasks": tasks})
    entries.append({"event": "stopped", "streams": streams or {"started": 0, "running": 0}})
    log.write_text("".join(f"{json.dumps(entry, separators=(',', ':'))}\n" for entry in entries) + '{"event":"rp')
    return read_ends(name, log, whole=True)


def test_ends_in_the_logs_agree_with_what_callers_saw(tmp_path: Path) -> None:
    seen = {"gateway": Counter({"OK": 2, "LEFT": 1})}
    both = (("r1", "OK"), ("r2", "OK"))
    cases: dict[str, tuple[Any, Any, set[str]]] = {
        "all agree": ((*both, ("r3", "CANCELLED")), both, set()),
        "one that left before it came": (both, both, set()),
        "one twice": ((*both, both[0]), both, {"gateway has logged each end once"}),
        "one more than there were": (
            (*both, ("r3", "CANCELLED"), ("r4", "CANCELLED")),
            both,
            {"gateway has logged each end once"},
        ),
        "one that is missing": (both[:1], both, {"gateway has logged each end once"}),
        "one of no Model Service": (both, both[:1], {"what ended well at gateway did at a Model Service"}),
        "one twice at a Model Service": (both, (*both, both[0]), {"models has logged each end once"}),
    }
    for told, (of_gateway, of_models, broken) in cases.items():
        with row(told):
            gateway, models = ends(tmp_path, "gateway", *of_gateway), ends(tmp_path, "models", *of_models)
            assert {each.name for each in judge_ends([gateway], [models], seen) if not each.holds} == broken


def test_streams_that_processes_counted_have_ended_in_one_way_each(tmp_path: Path) -> None:
    rule = "each stream of gateway has ended"
    cases: dict[str, tuple[dict[str, int], set[str]]] = {
        "all ended": ({"started": 3, "running": 0, "complete": 2, "cancelled": 1}, set()),
        "one runs": ({"started": 3, "running": 1, "complete": 2}, {rule}),
        "one ended twice": ({"started": 3, "running": -1, "complete": 3, "cancelled": 1}, {rule}),
    }
    for told, (streams, broken) in cases.items():
        with row(told):
            gateway = ends(tmp_path, "gateway", streams=streams)
            sums = judge_ends([gateway], [ends(tmp_path, "models")], {"gateway": Counter()})
            assert {each.name for each in sums if not each.holds} == broken


# --------------------------------------------------------------------------------------------------- the rest


def test_an_order_comes_back_from_a_body_that_has_earlier_ones() -> None:
    first, last = Order("c1", 20, 5), Order("c2", 30, 20, "reset", 2)
    assert read_order(f"{first.prompt()} … {last.prompt()}".encode()) == last
    assert read_order(b"{}") is None


def test_an_output_is_of_one_answer_without_gaps() -> None:
    assert read_output(WHOLE) == (CALL, 1, TOKENS)
    assert [read_output(text) for text in ("", WHOLE + ANOTHER, "c1.1.1;", "c1.1.0;c1.1.2;", WHOLE[:-1])] == [None] * 5


def test_memory_that_grows_is_found_in_each_life_of_a_process() -> None:
    def process(life: int, mib: float) -> dict[str, Any]:
        return {"rss_mib": mib, "descriptors": 10, "threads": 5, "life": life, "state": "up"}

    def samples(rise_per_hour: float) -> list[dict[str, Any]]:
        minutes = range(int(WARM_UP_MINUTES + JUDGED_MINUTES) + 2)
        grown = [100 + (40 if minute < WARM_UP_MINUTES else 50) + rise_per_hour * minute / 60 for minute in minutes]
        return [
            {"t": 60 * minute, "processes": {"models": process(1, mib), "gateway": process(minute // 20, 50)}}
            for minute, mib in zip(minutes, grown, strict=True)
        ]

    for rise, leaks in ((SLOPE_LIMIT - 0.5, []), (SLOPE_LIMIT + 0.5, ["memory of models, life 1"])):
        taken = samples(rise)
        with row(rise):
            assert [each.name for each in leak_sums(taken, taken[0], taken[-1]) if not each.holds] == leaks
    before, after = (
        taken[0],
        {"processes": {"models": process(1, 100) | {"descriptors": 90}, "gateway": process(2, 50)}},
    )
    found = [each.name for each in leak_sums(taken[:1], before, after) if not each.holds]
    assert found == ["descriptors of models"]


def test_objects_are_judged_over_two_collections_of_all_garbage() -> None:
    def samples(rise_per_hour: float) -> list[dict[str, Any]]:
        """An hour of a process whose garbage is collected every half an hour, and fills up within ten minutes."""
        return [
            {
                "t": 60 * minute,
                "processes": {
                    "models": {
                        "rss_mib": 50.0,
                        "descriptors": 10,
                        "threads": 5,
                        "life": 1,
                        "state": "up",
                        "blocks": 1000 * (450 + min(minute % 30, 10) + rise_per_hour * minute / 60),
                    }
                },
            }
            for minute in range(60)
        ]

    for rise, leaks in ((0, []), (BLOCKS_LIMIT - 2, []), (BLOCKS_LIMIT + 2, ["Python objects of models, life 1"])):
        taken = samples(rise)
        with row(rise):
            assert [each.name for each in leak_sums(taken, taken[0], taken[-1]) if not each.holds] == leaks


def test_tasks_that_are_left_after_the_load_are_told(tmp_path: Path) -> None:
    for tasks, broken in ((100, set()), (5000, {"no task of gateway is left"})):
        sums = judge_ends([ends(tmp_path, "gateway", tasks=tasks)], [ends(tmp_path, "models")], {"gateway": Counter()})
        assert {each.name for each in sums if not each.holds} == broken
