"""Lists of models that are built to do harm: what asks for them ends with a result, and nothing else suffers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from services.models.catalog.discovery import MAX_MODELS
from services.models.health.probes import ModelProbe
from services.models.health.results import ProbeResult
from services.models.transport.base import MAX_START_BYTES
from services.models.transport.client import open_probing_client
from tests.scripted_upstream import Ending, Script, ScriptedUpstream, answer, json_answer, raw
from tests.services.event_loop import watched_loop
from tests.services.test_discovery import NEVER_AGAIN, Log, discovery
from tests.services.test_probes import ENDPOINTS, registered

HOLD_SECONDS = 0.1
"""CPU time of the loop's thread, the scripted server's included."""

LONG = "x" * 500_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


def listed(*entries: Any) -> Script:
    return json_answer({"object": "list", "data": list(entries)})


def endless(step: bytes) -> Callable[[], Script]:
    return lambda: Script(HEAD, [step * (65_536 // len(step))] * 1000)


# What comes, what a probe finds, and what discovery says; "" where it takes the list.
LISTS: dict[str, tuple[Callable[[], Script], str, str]] = {
    "blanks without end": (endless(b" "), "BAD_RESPONSE", "BAD_RESPONSE"),
    "entries without end": (endless(b'{"id":"a"},'), "BAD_RESPONSE", "BAD_RESPONSE"),
    "a name without end": (
        lambda: Script(HEAD, [b'{"data":[{"id":"', *[b"x" * 65_536] * 100]),
        "BAD_RESPONSE",
        "BAD_RESPONSE",
    ),
    "entries by the thousand": (
        lambda: answer(b'{"data":[' + b",".join(b'{"id":"model-%d"}' % number for number in range(40_000)) + b"]}"),
        "MODEL_NOT_SERVED",
        "BAD_RESPONSE",
    ),
    "one entry again and again": (lambda: listed(*[{"id": "gpt-x"}] * MAX_MODELS), "MODEL_NOT_SERVED", ""),
    "values by the hundred thousand": (
        lambda: answer(b'{"data":[' + b"[]," * 200_000 + b"[]]}"),
        "BAD_RESPONSE",
        "BAD_RESPONSE",
    ),
    "depth": (lambda: answer(b'{"data":' + b"[" * 400_000 + b"]" * 400_000 + b"}"), "BAD_RESPONSE", "BAD_RESPONSE"),
    "depth in an entry": (
        lambda: answer(b'{"data":[{"id":' + b"[" * 500 + b"]" * 500 + b"}]}"),
        "MODEL_NOT_SERVED",
        "",
    ),
    "long names": (lambda: listed({"id": LONG}, {"id": "gpt-x"}), "MODEL_NOT_SERVED", ""),
    "long values": (lambda: listed({"id": "gpt-x", "owned_by": LONG}), "MODEL_NOT_SERVED", ""),
    "names with control characters": (
        lambda: listed({"id": "gpt-\x1b[2J\r\nx"}, {"id": "gpt-\u202ex"}),
        "MODEL_NOT_SERVED",
        "",
    ),
    "names that are half a character": (lambda: listed({"id": "\ud83d"}, {"id": "gpt-\ude00"}), "MODEL_NOT_SERVED", ""),
    "names of other types": (
        lambda: listed(*({"id": value} for value in (None, 1, True, [], {}, 1.5))),
        "MODEL_NOT_SERVED",
        "",
    ),
    "entries of other types": (lambda: listed(None, 1, "gpt-x", [], [[{"id": "gpt-x"}]]), "MODEL_NOT_SERVED", ""),
    "names twice in an entry": (
        lambda: answer(b'{"data":[{"id":1,"id":"gpt-x"}],"data":[{"id":"gpt-y"}]}'),
        "MODEL_NOT_SERVED",
        "",
    ),
    "numbers beyond all bounds": (
        lambda: answer(
            b'{"data":[{"id":"gpt-x","max_model_len":%b,"meta":{"n_ctx":1e999},"shutdown_date":-1e999}]}'
            % (b"9" * 5000)
        ),
        "MODEL_NOT_SERVED",
        "",
    ),
    "no numbers": (lambda: answer(b'{"data":[{"id":"gpt-x","max_model_len":NaN}]}'), "BAD_RESPONSE", "BAD_RESPONSE"),
    "dates that are none": (lambda: listed({"id": "gpt-x", "shutdown_date": "9999999-99-99"}), "MODEL_NOT_SERVED", ""),
    "a byte order mark": (lambda: answer(b'\xef\xbb\xbf{"data":[{"id":"gpt-x"}]}'), "MODEL_NOT_SERVED", ""),
    "cut UTF-8": (lambda: answer(b'{"data":[{"id":"gpt-\xe4\xb8"}]}'), "BAD_RESPONSE", "BAD_RESPONSE"),
    "what is packed": (
        lambda: answer(gzip.compress(b"[" * 10_000_000), headers={"Content-Encoding": "gzip"}),
        "BAD_RESPONSE",
        "BAD_RESPONSE",
    ),
    "a negative length": (
        lambda: raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", ending=Ending.CUT),
        "BAD_RESPONSE",
        "CONNECT_FAILED",
    ),
    "interim answers by the thousand": (
        lambda: raw("HTTP/1.1 102 Processing\r\n\r\n" * 20_000, ending=Ending.CUT),
        "BAD_RESPONSE",
        "CONNECT_FAILED",
    ),
    "headers by the thousand": (
        lambda: raw("HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 20_000, ending=Ending.CUT),
        "BAD_RESPONSE",
        "CONNECT_FAILED",
    ),
    "a redirect": (
        lambda: answer(b"", status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"}),
        "HTTP_STATUS",
        "HTTP_STATUS_302",
    ),
    "a long error": (
        lambda: answer(b'{"error":' + b"[" * 2 * MAX_START_BYTES, status=503),
        "HTTP_STATUS",
        "HTTP_STATUS_503",
    ),
}


@pytest.mark.usefixtures("patient_probes")
@pytest.mark.parametrize("case", LISTS)
async def test_probe_of_a_hostile_list_ends_with_a_result(upstream: ScriptedUpstream, case: str) -> None:
    script, reason, _ = LISTS[case]
    upstream.play(script())
    async with watched_loop() as loop:
        result = await ModelProbe(registered(f"{upstream.url}/v1")).ask(open_probing_client(ENDPOINTS.operators))
    assert result.reason == reason
    check_shown(result)
    assert loop.longest < HOLD_SECONDS
    assert {request.path for request in upstream.requests} <= {"/v1/models", "/models"}


def check_shown(result: ProbeResult) -> None:
    """What callers are told is short and readable, and nothing of a stranger's."""
    assert result.message.isprintable()
    assert result.message.isascii()
    assert len(result.message) < 1000
    if result.listed:
        assert result.listed.context_window is None
        assert all(len(name) <= 128 and name.isascii() for name in result.listed.served_names)


@pytest.mark.parametrize("case", LISTS)
async def test_discovery_of_a_hostile_list_goes_on(upstream: ScriptedUpstream, case: str) -> None:
    script, _, reason = LISTS[case]
    upstream.play(script())
    log = Log()
    async with watched_loop() as loop, discovery(upstream.url, log, NEVER_AGAIN) as models:
        [told] = await log.wait("models not discovered" if reason else "models discovered")
        assert told.get("reason", "") == reason
        assert models.find("gpt-4o")
    assert loop.longest < HOLD_SECONDS
    assert len(json.dumps(log.entries())) < 10_000
    assert "unexpected" not in json.dumps(log.entries())
