"""The servicer of UsageService: what was used, and the calls that run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from google.protobuf.duration_pb2 import Duration

from proto import usage_pb2
from proto.identity_pb2 import LimitRule
from services.models.access.trust import ADMIN, TrustPolicy
from services.models.ledger.exports import export_lines
from services.models.ledger.ledger import Ledger
from services.models.ledger.reports import Reports, UsageQuery
from services.models.ledger.reprice import CurrentPrices, RepricedModel, Repricing
from services.models.ledger.rollups import Sums
from services.models.ledger.spending import Scope, Spending
from services.models.ledger.usage_requests import check_cancel, read_format, read_query, read_reprice_query
from services.models.ledger.windows import current_window
from services.models.limits.decisions import Standing
from services.models.limits.windows import FOREVER
from services.shared.call import Call
from services.shared.errors import Cancelled, NotFound, PermissionDenied
from services.shared.identity import NOBODY, Identity
from services.shared.page_tokens import Text, read_page_size, read_page_token, write_page_token
from services.shared.paging import cut_page
from services.shared.running_calls import PROCESS_CALLS, RunningCalls

SUM_NAMES = (
    *("calls", "failed_calls", "prompt_tokens", "completion_tokens", "cached_prompt_tokens", "reasoning_tokens"),
    *("cost_nano_usd", "unpriced_calls"),
)
"""The contract's names of the sums, in the order of `Sums`."""
assert len(SUM_NAMES) == len(fields(Sums))


Standings: TypeAlias = Callable[[Identity], Awaitable[Sequence[Standing]]]
"""Reads the limits of a caller as its next call finds them."""


def now_utc() -> datetime:
    return datetime.now(UTC)


class UsageServicer:
    """The calls of UsageService."""

    def __init__(
        self,
        ledger: Ledger,
        trust: TrustPolicy,
        standings: Standings,
        prices: CurrentPrices,
        running: RunningCalls = PROCESS_CALLS,
        now: Callable[[], datetime] = now_utc,
    ) -> None:
        self._ledger = ledger
        self._trust = trust
        self._standings = standings
        self._reports = Reports(ledger.store)
        self._spending = Spending(ledger)
        self._prices = prices
        self._repricing = Repricing(ledger.store, prices)
        self._running = running
        self._now = now

    # ------------------------------------------------------------------------------------------------- sums

    async def GetMyUsage(self, request: usage_pb2.GetMyUsageRequest, call: Call) -> usage_pb2.GetMyUsageResponse:
        self._refuse_strangers(call)
        await self._ledger.try_flush()
        identity, now = call.identity or NOBODY, self._now()
        today, filters = now.date(), {"key_id": identity.key_id} if call.identity else {}
        response = usage_pb2.GetMyUsageResponse(
            key_id=identity.key_id, project_id=identity.project_id, team_id=identity.team_id
        )
        for sums, first in ((response.today, today), (response.this_month, today.replace(day=1))):
            sums.CopyFrom(_sums(await self._reports.total(UsageQuery(first, today, filters=filters))))
        standings = {standing.rule.id: standing for standing in await self._standings(identity)}
        for limit in identity.limits:
            use = await self._limit_use(limit, identity, now)
            if limit.id in standings:
                _add_standing(use, standings[limit.id], now)
            response.limits.append(use)
        return response

    async def ListUsage(self, request: usage_pb2.ListUsageRequest, call: Call) -> usage_pb2.ListUsageResponse:
        query = self._read_query(request, call)
        size, after = read_page_size(request), read_page_token(request, list[Text])
        await self._ledger.try_flush()
        rows = await self._reports.page(query, after, size + 1)
        response = usage_pb2.ListUsageResponse(
            rows=[
                usage_pb2.UsageRow(
                    **dict(zip(query.columns, row.groups, strict=True)),
                    sums=_sums(row.sums),
                )
                for row in rows[:size]
            ]
        )
        if len(rows) > size:
            response.next_page_token = write_page_token(request, rows[size - 1].groups)
        return response

    async def ExportUsage(
        self, request: usage_pb2.ExportUsageRequest, call: Call
    ) -> AsyncIterator[usage_pb2.ExportUsageResponse]:
        query, export_format = self._read_query(request, call), read_format(request)
        await self._ledger.try_flush()
        async for data in export_lines((*query.columns, *SUM_NAMES), self._rows(query), export_format):
            yield usage_pb2.ExportUsageResponse(data=data)

    async def RepriceUsage(self, request: usage_pb2.RepriceUsageRequest, call: Call) -> usage_pb2.RepriceUsageResponse:
        self._refuse_strangers(call)
        query = read_reprice_query(request, self._now().date())
        await self._ledger.try_flush()
        models = await self._repricing.run(query, apply=request.apply)
        return usage_pb2.RepriceUsageResponse(
            models=[_repriced(*names, model) for names, model in sorted(models.items())],
            priced_calls=sum(model.calls for model in models.values()),
            cost_nano_usd=sum(model.cost_nano_usd for model in models.values()),
            unpriced_calls=sum(model.unpriced.total() for model in models.values()),
            price_list=self._prices.name,
            applied=request.apply,
        )

    async def _rows(self, query: UsageQuery) -> AsyncIterator[Sequence[Any]]:
        async for row in self._reports.all_rows(query):
            yield (*row.groups, *astuple(row.sums))

    def _read_query(self, request: usage_pb2.ListUsageRequest | usage_pb2.ExportUsageRequest, call: Call) -> UsageQuery:
        """The question of a request, about nothing that its caller may not see."""
        self._refuse_strangers(call)
        query = read_query(request, self._ledger.store.tag_keys, self._now().date())
        if _sees_all(call):
            return query
        assert call.identity
        own = call.identity.project_id
        if query.filters.get("project_id", own) != own:
            raise NotFound("there is no such project", reason="PROJECT_NOT_FOUND")
        mine = {"project_id": own} if own else {"project_id": "", "key_id": call.identity.key_id}
        return query._replace(filters={**query.filters, **mine})

    async def _limit_use(self, limit: LimitRule, identity: Identity, now: datetime) -> usage_pb2.LimitUse:
        use = usage_pb2.LimitUse(limit=limit)
        window = current_window(limit.window, now)
        if window and window.end:
            use.window_end.FromDatetime(window.end)
        scope_id = _scope_id(limit, identity)
        if window is None or scope_id is None:
            return use
        scope = Scope(limit.scope_kind, scope_id, model_glob=limit.model_glob)
        spent = await self._spending.shipped(scope, window.start)
        match limit.resource:
            case "requests":
                use.used = spent.calls
            case "tokens":
                use.used = spent.tokens
            case "nano_usd":
                use.used = spent.cost_nano_usd
        return use

    # ------------------------------------------------------------------------------------------------ calls

    async def ListCalls(self, request: usage_pb2.ListCallsRequest, call: Call) -> usage_pb2.ListCallsResponse:
        self._refuse_strangers(call)
        after = read_page_token(request, Text) or ""
        entries = ((each.call_id, _describe(each)) for each in self._running.after(after) if _may_see(call, each))
        page = cut_page(entries, request)
        return usage_pb2.ListCallsResponse(calls=page.entries, next_page_token=page.next_page_token)

    async def CancelCall(self, request: usage_pb2.CancelCallRequest, call: Call) -> usage_pb2.CancelCallResponse:
        self._refuse_strangers(call)
        check_cancel(request)
        running = self._running.find(request.call_id)
        if running is None or not _may_see(call, running):
            text = "no such call runs; it may have ended"
            raise NotFound(text, reason="CALL_NOT_FOUND")
        who = call.identity.key_id if call.identity else "the operator"
        text = "the call was ended by its project or an administrator; what was used until then is in the ledger"
        running.interrupt(Cancelled(text, reason="CALL_CANCELLED", logged={"cancelled_by": who}))
        return usage_pb2.CancelCallResponse()

    def _refuse_strangers(self, call: Call) -> None:
        """Raises PermissionDenied USAGE_NOT_SHOWN for a stranger without a key, who has no usage of its own."""
        if call.identity is None and self._trust.is_stranger(call):
            text = "usage and calls are shown to callers with a key, and to the operator"
            raise PermissionDenied(text, reason="USAGE_NOT_SHOWN")


def _add_standing(use: usage_pb2.LimitUse, standing: Standing, now: datetime) -> None:
    """Adds what the store of the limits says of one."""
    use.remaining = standing.remaining
    end = standing.charge.span.end
    if standing.charge.kind == "budget" and end != FOREVER:
        use.window_end.FromMicroseconds(end)
        use.resets_at.FromMicroseconds(end)
    elif standing.reset_seconds is not None and standing.charge.kind == "rate":
        use.resets_at.FromDatetime(now + timedelta(seconds=standing.reset_seconds))


def _sees_all(call: Call) -> bool:
    return call.identity is None or ADMIN in call.identity.scopes


def _may_see(call: Call, other: Call) -> bool:
    """Whether a caller may see, and end, another call."""
    if call.identity is None or ADMIN in call.identity.scopes:
        return True
    if other.identity is None:
        return False
    if call.identity.project_id:
        return call.identity.project_id == other.identity.project_id
    return call.identity.key_id == other.identity.key_id


def _describe(call: Call) -> usage_pb2.RunningCall:
    seconds = call.elapsed_seconds()
    return usage_pb2.RunningCall(
        call_id=call.call_id,
        request_id=call.request_id,
        method=call.method,
        model=call.log_fields.get("model", ""),
        provider=call.log_fields.get("provider", ""),
        age=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9)),
        chunks=call.chunks,
        key_id=call.identity.key_id if call.identity else "",
        project_id=call.project_id,
    )


def _repriced(provider: str, name: str, model: RepricedModel) -> usage_pb2.RepricedModel:
    return usage_pb2.RepricedModel(
        provider=provider,
        model=name,
        priced_calls=model.calls,
        cost_nano_usd=model.cost_nano_usd,
        unpriced=[
            usage_pb2.UnpricedCalls(reason=reason, calls=calls) for reason, calls in sorted(model.unpriced.items())
        ],
    )


def _scope_id(limit: LimitRule, identity: Identity) -> str | None:
    """The id of the scope that a limit counts for this caller; None if the ledger cannot tell."""
    own = {
        "org": "",
        "team": identity.team_id,
        "project": identity.project_id,
        "key": identity.key_id,
        "user": identity.user_id,
    }
    if limit.scope_kind not in own:
        return None
    return own[limit.scope_kind] if limit.scope_id in ("", "*") else limit.scope_id


def _sums(sums: Sums) -> usage_pb2.UsageSums:
    return usage_pb2.UsageSums(**dict(zip(SUM_NAMES, astuple(sums), strict=True)))
