"""Forwarded bytes: the work on them grows with their size alone, however they arrive and whatever is in them."""

from __future__ import annotations

import json
import time

from proto import models_pb2
from services.models.providers import forwarding
from services.models.providers.base import Conversation, Forwarded

MANY_SECONDS = 2.0
"""Many times what linear work takes; work that grows with the square of the size takes longer by far."""


def test_long_event_in_short_pieces() -> None:
    forwarded = Forwarded("chat_completions", b"{}", {})
    relay = forwarding._Relay(Conversation(models_pb2.ChatRequest(model="m"), (), forwarded=forwarded))
    begun = time.process_time()
    for _ in range(8192):
        relay.take(b"x" * 1024)
        assert relay.release(is_failed=False, is_done=False) == b""
    relay.take(b"\n\n")
    assert len(relay.release(is_failed=False, is_done=False)) == 8192 * 1024 + 2
    assert time.process_time() - begun < MANY_SECONDS


def test_name_among_many_members_of_that_name() -> None:
    inner = [{"model": "a"}] * 100_000
    body = json.dumps({"model": "a", "first": inner, "second": "x" * 8_000_000}).encode()
    begun = time.process_time()
    assert forwarding._with_name(body, "bb") == body.replace(b'"a"', b'"bb"', 1)
    assert time.process_time() - begun < MANY_SECONDS


def test_name_behind_many_members_of_that_name() -> None:
    body = json.dumps({"first": [{"model": "a"}] * 1000, "model": "a"}).encode()
    changed = json.loads(forwarding._with_name(body, "b"))
    assert changed == {"first": [{"model": "a"}] * 1000, "model": "b"}
