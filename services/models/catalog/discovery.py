"""What the providers themselves list, asked for in the background: at the start, and every hour from then on.

Nothing waits for it. A provider that cannot be asked is taken as its last list described it, and asked again.

Sources: https://platform.openai.com/docs/api-reference/models/list, https://platform.claude.com/docs/en/api/models/list
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from services.models.catalog.lifecycle import Today, today_utc
from services.models.catalog.provider_registry import Provider
from services.models.catalog.vendor_lists import MAX_MODELS, NoList, ToldModel, read_page
from services.models.catalog.vendor_models import VendorModels
from services.models.transport.api_roots import RootSearch
from services.models.transport.base import Transport
from services.shared.backoff import pause_after
from services.shared.errors import LimitExceeded, PlatformError, PreconditionFailed
from services.shared.json_text import decoding_work
from services.shared.logs import Log
from services.shared.offload import run_in_thread_if_large

LIST_SECONDS = 10.0
"""For a whole list, all its pages."""

PAGE_LIMIT = 1000
MAX_PAGES = 10

WORK_PER_MODEL = 10_000
"""How many bytes of plain text take as long as it takes to describe a model anew."""


class Pace(NamedTuple):
    """How often providers are asked, in seconds."""

    usual: float = 3600.0
    first_retry: float = 30.0
    """After the first failure. The pause doubles with each further one, up to `usual`."""
    spread: float = 0.2
    """Every pause is longer or shorter by up to this share, so that replicas do not fall into step."""

    def pause(self, failures: int) -> float:
        """The time until the next question after this many failures in a row."""
        return pause_after(failures, usual=self.usual, first_retry=self.first_retry, spread=self.spread)


class Refused(Exception):
    """A provider that answers with another status than 200."""


class Discovery:
    """Keeps `models` at what the providers list. `close` ends it, in the middle of a question if need be."""

    def __init__(
        self,
        models: VendorModels,
        client: Transport,
        log: Log,
        pace: Pace | None = None,
        today: Today = today_utc,
    ) -> None:
        self._models = models
        self._client = client
        self._log = log
        self._pace = pace or Pace()
        self._today = today
        self._learning = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._missing: dict[str, str] = {}
        """The replacements that were reported missing, by the model whose place they take."""

    def start(self, providers: Sequence[Provider]) -> None:
        """Begins to ask them."""
        for provider in providers:
            self._tasks.append(asyncio.create_task(self._follow(provider), name=f"discover {provider.vendor}"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, provider: Provider) -> None:
        failures = 0
        while True:
            problem = await self._refresh(provider)
            if problem and not failures:
                self._log.warning("models not discovered", provider=provider.vendor, reason=problem)
            failures = failures + 1 if problem else 0
            await asyncio.sleep(self._pace.pause(failures))

    async def _refresh(self, provider: Provider) -> str:
        """Learns the provider's list. Returns why it could not, as a stable word, or nothing."""
        try:
            async with asyncio.timeout(LIST_SECONDS):
                told = await self._ask(provider)
            await self._learn(provider, told)
        except TimeoutError:
            return "TIMEOUT"
        except NoList:
            return "BAD_RESPONSE"
        except Refused as refusal:
            return f"HTTP_STATUS_{refusal}"
        except (PreconditionFailed, LimitExceeded) as refusal:
            return refusal.reason
        except PlatformError:
            return "CONNECT_FAILED"
        except Exception as error:
            # One bad list must not be the last.
            self._log.error("discovery failed unexpectedly", error=error, provider=provider.vendor)
            return "UNEXPECTED"
        self._log.info("models discovered", provider=provider.vendor, count=len(told))
        self._report_missing(provider)
        return ""

    async def _learn(self, provider: Provider, told: Sequence[ToldModel]) -> None:
        # One at a time: each makes the whole directory anew of what all providers have told by then.
        async with self._learning:
            work = WORK_PER_MODEL * len(told)
            await run_in_thread_if_large(work, self._models.learn, provider.vendor, told, self._today())

    async def _ask(self, provider: Provider) -> list[ToldModel]:
        """The whole list. Raises NoList, Refused, and what `Transport.get` raises."""
        told: list[ToldModel] = []
        after = ""
        search = RootSearch(provider.api_roots, "/models")
        for _ in range(MAX_PAGES):
            body = await self._ask_page(provider, after, search)
            page = await run_in_thread_if_large(decoding_work(body), read_page, provider.vendor, body)
            told += page.models
            if len(told) > MAX_MODELS:
                break
            if not page.next_id or page.next_id == after:
                return told
            after = page.next_id
        raise NoList("it has no end")

    async def _ask_page(self, provider: Provider, after: str, search: RootSearch) -> bytes:
        while True:
            async with self._client.get(_url(provider, after, search.url), provider.headers) as answer:
                if answer.status == 200:
                    search.confirm()
                    return await answer.read_start()
            if answer.status not in (404, 405) or not search.try_next():
                raise Refused(answer.status)

    def _report_missing(self, provider: Provider) -> None:
        missing = dict(self._models.missing_replacements(provider.vendor))
        for model, replacement in missing.items():
            if self._missing.get(model) != replacement:
                self._log.warning("replacement is not listed", model=model, replacement=replacement)
        self._missing = {**self._missing, **missing}


def _url(provider: Provider, after: str, url: str) -> str:
    if provider.vendor != "anthropic":
        return url
    return f"{url}?limit={PAGE_LIMIT}" + (f"&after_id={quote(after, safe='')}" if after else "")
