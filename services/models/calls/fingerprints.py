"""Fingerprints of requests: hashes of their content. Those of large requests are taken in a thread."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

from proto import models_pb2
from services.shared.call import Call
from services.shared.offload import run_in_thread_if_large


async def fingerprint(
    request: models_pb2.ChatRequest, call: Call, *, without: Sequence[str] = (), beside: Sequence[str] = ()
) -> str:
    """The fingerprint of a request without the fields of these names, and of other texts `beside` it."""
    size = sum(map(len, beside)) + (call.reservation.size if call.reservation else 0)
    return await run_in_thread_if_large(size, _fingerprint, request, without, beside)


def _fingerprint(request: models_pb2.ChatRequest, without: Sequence[str], beside: Sequence[str]) -> str:
    fields = {field.name: value for field, value in request.ListFields() if field.name not in without}
    # One by one: serializing all of them at once would hold Python's lock for long.
    messages = fields.pop("messages", ())
    digest = hashlib.sha256(len(beside).to_bytes(8))
    for content in itertools.chain(
        map(str.encode, beside),
        (message.SerializeToString(deterministic=True) for message in messages),
        [models_pb2.ChatRequest(**fields).SerializeToString(deterministic=True)],
    ):
        digest.update(len(content).to_bytes(8))
        digest.update(content)
    return digest.hexdigest()
