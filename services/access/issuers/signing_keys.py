"""The signing keys of an issuer: fetched when a token needs them, and kept while the issuer is away."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

import jwt

from services.access.issuers.settings import Issuer
from services.shared.errors import Unavailable
from services.shared.logs import Log

FRESH_SECONDS = 3600.0
"""Age from which on keys are fetched again, while the old ones serve."""

STALE_SECONDS = 24 * 3600.0
"""Age up to which keys serve while the issuer is away."""

UNKNOWN_KEY_SECONDS = 60.0
"""Pause between two fetches for keys that are unknown: anybody can write an id of a key."""

RETRY_SECONDS = 5.0
"""Pause after a fetch that has failed."""

FETCH_SECONDS = 5.0
MAX_BYTES = 1024 * 1024

Fetch = Callable[[str], bytes]


class SigningKeys:
    """The keys of one issuer."""

    def __init__(
        self, issuer: Issuer, log: Log, clock: Callable[[], float] = time.monotonic, fetch: Fetch | None = None
    ) -> None:
        self._issuer = issuer
        self._log = log
        self._clock = clock
        self._fetch = fetch or fetch_document
        self._keys: list[jwt.PyJWK] = []
        self._fetched_at = -STALE_SECONDS
        self._tried_at = -STALE_SECONDS
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of a token; None for one that the issuer does not have.

        Raises Unavailable AUTH_UNAVAILABLE while the issuer's keys cannot be had.
        """
        age = self._clock() - self._fetched_at
        if age > STALE_SECONDS:
            self._keys = []
        found = self._look_up(key_id, algorithm)
        if found is None and self._may_fetch(UNKNOWN_KEY_SECONDS if self._keys else RETRY_SECONDS):
            await self._refresh()
            found = self._look_up(key_id, algorithm)
        elif age > FRESH_SECONDS and self._may_fetch(RETRY_SECONDS):
            self._begin()
        if not self._keys:
            raise Unavailable(
                "the issuer of the token cannot be asked for its keys, so nobody can tell whether it is valid; try"
                " again",
                reason="AUTH_UNAVAILABLE",
                retry_after=RETRY_SECONDS,
            )
        return found

    async def close(self) -> None:
        if self._fetching:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _look_up(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        fitting = [key for key in self._keys if key.algorithm_name == algorithm]
        if key_id is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.key_id == key_id), None)

    def _may_fetch(self, pause: float) -> bool:
        return self._fetching is not None or self._clock() - self._tried_at >= pause

    def _begin(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._load())
            self._fetching.add_done_callback(self._end)
        return self._fetching

    def _end(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _refresh(self) -> None:
        # One fetch for all that wait; a caller who leaves does not end it for the others.
        await asyncio.shield(self._begin())

    async def _load(self) -> None:
        try:
            self._keys = await asyncio.to_thread(self._fetch_keys)
        except (OSError, HTTPException, ValueError, jwt.PyJWTError) as error:
            self._log.warning("the keys of an issuer could not be fetched", issuer=self._issuer.issuer, error=error)
            return
        self._fetched_at = self._clock()

    def _fetch_keys(self) -> list[jwt.PyJWK]:
        address = self._issuer.jwks_uri or self._discover()
        keys = jwt.PyJWKSet.from_dict(_read_object(self._fetch(address)))
        return [key for key in keys if key.public_key_use in (None, "sig")]

    def _discover(self) -> str:
        document = _read_object(self._fetch(self._issuer.discovery_uri))
        # OpenID Connect Discovery 1.0, 4.3: it must be that of this issuer.
        if document.get("issuer") != self._issuer.issuer:
            raise ValueError("the discovery document is that of another issuer")
        return self._issuer.model_validate({**self._issuer.model_dump(), "jwks_uri": document.get("jwks_uri")}).jwks_uri


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def fetch_document(address: str) -> bytes:
    """The document at an address, which is asked in a thread. Raises OSError, HTTPException or ValueError."""
    opener = urllib.request.build_opener(_NoRedirects)
    request = urllib.request.Request(address, headers={"accept": "application/json"})  # noqa: S310 settings check it
    with opener.open(request, timeout=FETCH_SECONDS) as response:
        data: bytes = response.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"the document has more than {MAX_BYTES} bytes")
    return data


def _read_object(data: bytes) -> dict[str, Any]:
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("the document is no JSON object")
    return document
