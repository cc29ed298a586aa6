"""Discovery: the providers' own lists of models, requested in the background at the start and every hour.

Nothing waits for it. A provider that cannot be asked is taken as its last list described it, and asked again.

Sources: https://platform.openai.com/docs/api-reference/models/list, https://platform.claude.com/docs/en/api/models/list
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.models.catalog.lifecycle import Today, today_utc
from services.models.catalog.listings import ListedModel, ListUnavailable
from services.models.catalog.provider_registry import Provider
from services.models.catalog.vendor_models import VendorModels
from services.models.transport.api_roots import RootSearch
from services.models.transport.base import Transport
from services.shared.backoff import Backoff
from services.shared.errors import LimitExceeded, PlatformError, PreconditionFailed
from services.shared.json_text import decoding_work
from services.shared.logs import Log
from services.shared.offload import run_in_thread_if_large

LIST_SECONDS = 10.0
"""Time limit for a whole list, with all its pages."""

MAX_PAGES = 10
MAX_MODELS = 2000
"""Limit for the models of one provider: several times as many as the largest resellers list."""

WORK_PER_MODEL = 10_000
"""The work of building the description of a model, in bytes of plain text that take as long."""

EVERY_HOUR = Backoff(interval=3600.0, first_retry=30.0)


class Refused(Exception):
    """A response with another status than 200."""


class Discovery:
    """Keeps `models` equal to the providers' lists. `close` ends it, and cancels a running request."""

    def __init__(
        self,
        models: VendorModels,
        client: Transport,
        log: Log,
        backoff: Backoff = EVERY_HOUR,
        today: Today = today_utc,
    ) -> None:
        self._models = models
        self._client = client
        self._log = log
        self._backoff = backoff
        self._today = today
        self._learning = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._missing: dict[str, str] = {}
        """The replacements that were logged as not listed, by the model that each replaces."""

    def start(self, providers: Sequence[Provider]) -> None:
        """Begins to request the lists of these providers."""
        for provider in providers:
            self._tasks.append(asyncio.create_task(self._follow(provider), name=f"discover {provider.vendor.name}"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, provider: Provider) -> None:
        failures = 0
        while True:
            problem = await self._refresh(provider)
            if problem and not failures:
                self._log.warning("models not discovered", provider=provider.vendor.name, reason=problem)
            failures = failures + 1 if problem else 0
            await asyncio.sleep(self._backoff.pause(failures))

    async def _refresh(self, provider: Provider) -> str:
        """Requests and stores the provider's list. Returns the reason of a failure, or ""."""
        try:
            async with asyncio.timeout(LIST_SECONDS):
                listed = await self._ask(provider)
            count = await self._learn(provider, listed)
        except TimeoutError:
            return "TIMEOUT"
        except ListUnavailable:
            return "BAD_RESPONSE"
        except Refused as refusal:
            return f"HTTP_STATUS_{refusal}"
        except (PreconditionFailed, LimitExceeded) as refusal:
            return refusal.reason
        except PlatformError:
            return "CONNECT_FAILED"
        except Exception as error:
            # Discovery goes on after an unexpected list.
            self._log.error("discovery failed unexpectedly", error=error, provider=provider.vendor.name)
            return "UNEXPECTED"
        self._log.info("models discovered", provider=provider.vendor.name, count=count)
        self._report_missing(provider)
        return ""

    async def _learn(self, provider: Provider, listed: Sequence[ListedModel]) -> int:
        # One at a time, because each builds the whole directory from the newest lists of all providers.
        async with self._learning:
            work = WORK_PER_MODEL * len(listed)
            return await run_in_thread_if_large(work, self._models.learn, provider.vendor, listed, self._today())

    async def _ask(self, provider: Provider) -> list[ListedModel]:
        """The whole list. Raises ListUnavailable, Refused, and what `Transport.get` raises."""
        listing = provider.vendor.adapter.listing
        listed: list[ListedModel] = []
        count, token = 0, ""
        search = RootSearch(provider.api_roots, listing.path)
        for _ in range(MAX_PAGES):
            body = await self._ask_page(provider, listing.query(token), search)
            page = await run_in_thread_if_large(decoding_work(body), listing.read, body)
            count += len(page.entries)
            if count > MAX_MODELS:
                break
            listed += listing.models(page)
            if not page.next_page or page.next_page == token:
                return listed
            token = page.next_page
        raise ListUnavailable("it has no end")

    async def _ask_page(self, provider: Provider, query: str, search: RootSearch) -> bytes:
        while True:
            async with self._client.get(search.url + query, provider.headers) as answer:
                if answer.status == 200:
                    search.confirm(by_success=True)
                    return await answer.read_start()
            if answer.status not in (404, 405) or not search.try_next():
                raise Refused(answer.status)

    def _report_missing(self, provider: Provider) -> None:
        missing = dict(self._models.missing_replacements(provider.vendor))
        for model, replacement in missing.items():
            if self._missing.get(model) != replacement:
                self._log.warning("replacement is not listed", model=model, replacement=replacement)
        self._missing = {**self._missing, **missing}
