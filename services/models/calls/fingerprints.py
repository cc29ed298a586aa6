"""Fingerprints of requests: hashes of their content. Those of large requests are taken in a thread."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from proto import models_pb2
from services.shared.offload import run_in_thread_if_large
from services.shared.rpc import Call


async def fingerprint(
    request: models_pb2.ChatRequest, call: Call, *, without: Sequence[str] = (), beside: Sequence[str] = ()
) -> str:
    """The fingerprint of a request without the fields of these names, and of other texts `beside` it."""
    size = sum(map(len, beside)) + (call.reservation.size if call.reservation else 0)
    return await run_in_thread_if_large(size, _fingerprint, request, without, beside)


def _fingerprint(request: models_pb2.ChatRequest, without: Sequence[str], beside: Sequence[str]) -> str:
    if without:
        compared = models_pb2.ChatRequest()
        compared.CopyFrom(request)
        for name in without:
            compared.ClearField(name)
        request = compared
    digest = hashlib.sha256()
    for text in beside:
        data = text.encode()
        digest.update(len(data).to_bytes(8))
        digest.update(data)
    digest.update(request.SerializeToString(deterministic=True))
    return digest.hexdigest()
