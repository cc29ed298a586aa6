"""Webhook: tells a URL of the operator's about events, as JSON, beside the calls and never in their way.

An event waits in a bounded queue that the rules share, and is sent until the receiver has taken it, a few times. One
whose answer is lost is sent again, so each has an `id` by which a receiver can tell what it knows already.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator

from services.models.limits.event_queue import Event, EventQueue
from services.models.transport.base import HttpTimeouts
from services.models.transport.client import HttpClient
from services.models.transport.connector import Network
from services.models.transport.egress import NONE, EndpointPolicy
from services.shared.backoff import Backoff
from services.shared.errors import PlatformError
from services.shared.fair_quota import FairQuota
from services.shared.logs import Log

SIGNATURE_HEADER = "x-genai-signature"

MAX_WAITING = 256
"""Events that wait to be sent, beside the one that is being sent; for one more, one is given up."""

TRIES = 4
SEND_SECONDS = 5.0
"""Time within which the receiver must have taken an event."""

PAUSES = Backoff(interval=8.0, first_retry=0.5)
CLOSE_SECONDS = 2.0
"""Time for which the end of the process waits until all events are sent."""

AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 after which the same event may be taken later."""

STOPPED = "the service has stopped"


class Webhook:
    """A receiver of events. Open it with `start`, end it with `close`."""

    def __init__(
        self, url: str, key: str, log: Log, network: Network | None = None, seconds: float = SEND_SECONDS
    ) -> None:
        self._url = url
        self._key = key.encode()
        self._log = log
        self._seconds = seconds
        timeouts = HttpTimeouts(connect=seconds, answer=seconds, idle=seconds)
        endpoints = EndpointPolicy([NONE], [url])
        self._client = HttpClient(timeouts, endpoints=endpoints, connections=FairQuota(1), network=network)
        self._waiting = EventQueue(MAX_WAITING)
        self._arrival = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sending = asyncio.create_task(self._send_all())

    def tell(self, rule_id: str, event: Event) -> None:
        """Sends an event of a rule, with an `id`, later. Never waits or raises; what cannot be sent is logged."""
        displaced = self._waiting.add(rule_id, event)
        if displaced is not None:
            self._give_up(displaced, "too many wait")
        self._idle.clear()
        self._arrival.set()

    async def close(self) -> None:
        """Waits a moment until all is sent, and logs what is not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._idle.wait()
        if self._sending:
            self._sending.cancel()
            await asyncio.wait({self._sending})
        for event in self._waiting:
            self._give_up(event, STOPPED)
        await self._client.close()

    async def _send_all(self) -> None:
        while True:
            await self._arrival.wait()
            while self._waiting:
                await self._send(self._waiting.take())
            self._arrival.clear()
            self._idle.set()

    async def _send(self, event: Event) -> None:
        try:
            problem = await self._try_to_send(json.dumps(event, ensure_ascii=False).encode("utf-8", "replace"))
        except asyncio.CancelledError:
            self._give_up(event, STOPPED)
            raise
        if problem:
            self._give_up(event, problem)

    async def _try_to_send(self, body: bytes) -> str:
        """Sends a body until it is taken, a few times. Returns the last problem, "" if it was taken."""
        problem = ""
        for number in range(1, TRIES + 1):
            problem, may_help = await self._post(body)
            if not may_help or number == TRIES:
                break
            await asyncio.sleep(PAUSES.pause(number))
        return problem

    async def _post(self, body: bytes) -> tuple[str, bool]:
        """Sends a body once. Returns the problem, "" if there is none, and whether another try may help."""
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._client.post(self._url, self._headers(body), body)
        except TimeoutError:
            return "it did not answer in time", True
        except PlatformError as error:
            return error.reason, True
        if 200 <= response.status < 300:
            return "", False
        return f"HTTP {response.status}", response.status >= 500 or response.status in AGAIN

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "genai-platform"}
        if self._key:
            headers[SIGNATURE_HEADER] = f"sha256={hmac.new(self._key, body, hashlib.sha256).hexdigest()}"
        return headers

    def _give_up(self, event: Event, why: str) -> None:
        # The URL is left out: that of many receivers is a secret.
        self._log.warning("the webhook was not told of an event", event_id=event["id"], why=why)


@contextlib.asynccontextmanager
async def open_webhook(url: str, key: str, log: Log, network: Network | None = None) -> AsyncIterator[Webhook | None]:
    """Opens the webhook of a URL for the length of a block; without one there is none."""
    if not url:
        yield None
        return
    webhook = Webhook(url, key, log, network)
    webhook.start()
    try:
        yield webhook
    finally:
        await webhook.close()
