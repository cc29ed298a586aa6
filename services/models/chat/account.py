"""The account of a chat: its usage, until the ledger has it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from proto import models_pb2
from services.models.chat.system_prompt import Prompted
from services.models.ledger.ledger import Ledger
from services.models.ledger.records import (
    OK,
    PRICE_NOT_LISTED,
    PRICE_NOT_REGISTERED,
    USAGE_INCOMPLETE,
    UsageRecord,
    hash_end_user,
)
from services.models.providers.base import Target
from services.models.providers.usage import Counts, counts_of
from services.shared.call import Call
from services.shared.identity import NOBODY
from services.shared.rpc import CallEnd

MAX_COUNT = 2**63 - 1
"""The largest count of a message."""

SUMMED = (
    *("prompt_tokens", "completion_tokens", "cached_prompt_tokens", "cache_write_tokens", "reasoning_tokens"),
    "cost_nano_usd",
)
"""The fields of a usage that the ledger sums up."""


class Accounts:
    """Opens the accounts of chats. `price_list` names the list of the vendors' prices."""

    def __init__(self, ledger: Ledger, price_list: str) -> None:
        self._ledger = ledger
        self._price_list = price_list

    def open(self, prompted: Prompted, call: Call) -> Account:
        """The account of a chat. Raises Unavailable LEDGER_FULL."""
        self._ledger.outbox.check_room()
        return Account(self._ledger, prompted, call, self._price_list)


class Account:
    """The usage of one chat, with that of its attempts that broke off."""

    def __init__(self, ledger: Ledger, prompted: Prompted, call: Call, price_list: str) -> None:
        self.is_open = False
        """Whether the chat has begun, and is not recorded yet."""
        self._ledger = ledger
        self._prompted = prompted
        self._call = call
        self._price_list = price_list
        self._target: Target | None = None
        self._usages: list[models_pb2.TokenUsage] = []
        self._counts: Counts | None = None
        """The counts of all of them, if they have been read."""
        self._user: Target | None = None
        """The target of the newest usage."""
        self._begun: UsageRecord | None = None
        """The record of the call as it began."""

    @property
    def has_usage(self) -> bool:
        return bool(self._usages)

    @property
    def usages(self) -> int:
        """The number of attempts whose usage is known."""
        return len(self._usages)

    @property
    def usage(self) -> models_pb2.TokenUsage:
        """The usage of all attempts; its cost is not set if that of one is not known."""
        return _total(self._usages)

    @property
    def counts(self) -> Counts:
        """The same as numbers."""
        if self._counts is None:
            self._counts = counts_of(self.usage)
        return self._counts

    def counts_after(self, usages: int) -> Counts:
        """The same without the first attempts."""
        return counts_of(_total(self._usages[usages:])) if usages else self.counts

    def begin(self, target: Target) -> None:
        """Notes that a request is about to be sent. The first one is known to the ledger from now on."""
        self._target = target
        if self.is_open:
            return
        self.is_open = True
        self._begun = self._describe(target)
        self._ledger.outbox.begin(self._begun)

    def add(self, usage: models_pb2.TokenUsage, counts: Counts | None = None) -> None:
        """Adds the usage of an attempt; `counts` if they have been read."""
        self._counts = None if self._usages else counts
        self._usages.append(usage)
        self._user = self._target

    def replace_newest(self, usage: models_pb2.TokenUsage) -> None:
        """Puts another usage in the place of the newest attempt's."""
        self._counts = None
        self._usages[-1] = usage

    def void(self) -> None:
        """Closes the account of a chat that has asked no provider."""
        self.is_open = False
        self._ledger.outbox.void(self._call.call_id)

    async def close(
        self,
        attempts: int,
        end: CallEnd | None = None,
        *,
        target: Target | None = None,
        first_output_seconds: float | None = None,
    ) -> None:
        """Records the chat, before its caller has its end. `target` is the one that an error is about, if that is not
        the last one."""
        served = target or self._target
        assert served
        assert self._begun
        self.is_open = False
        counts = self.counts
        unpriced = self._why_unpriced(served) if counts.nano_usd is None else ""
        await self._ledger.outbox.end(
            msgspec.structs.replace(
                self._begun,
                at=time.time(),
                provider=served.provider,
                model_served=served.registered_model or served.model,
                input=counts.prompt,
                output=counts.completion,
                cache_read=counts.cached,
                cache_write=counts.written,
                reasoning=counts.reasoning,
                cost_nano_usd=counts.nano_usd,
                price_as_of="" if unpriced or served.registered_model else self._price_list,
                unpriced=unpriced,
                estimated=counts.are_estimated,
                attempts=attempts,
                status=end.code if end else OK,
                reason=end.reason if end else "",
                first_chunk_ms=None if first_output_seconds is None else round(first_output_seconds * 1000),
                duration_ms=round(self._call.elapsed_seconds() * 1000),
            )
        )

    def _why_unpriced(self, served: Target) -> str:
        """Why the cost is not known."""
        [*earlier, usage] = self._usages
        is_whole = not earlier and not usage.not_at_list_price and not usage.long_cache_write_tokens
        # The rates must be those of the model that the record names.
        if not is_whole or self._user is None or _model_of(self._user) != _model_of(served):
            return USAGE_INCOMPLETE
        return PRICE_NOT_REGISTERED if served.registered_model else PRICE_NOT_LISTED

    def _describe(self, target: Target) -> UsageRecord:
        """The record of the call before its answer."""
        call, request, prompt = self._call, self._prompted.conversation.request, self._prompted.prompt
        identity, tags = call.identity or NOBODY, request.tags
        record = UsageRecord(
            call_id=call.call_id,
            at=time.time(),
            request_id=call.request_id,
            team_id=identity.team_id,
            project_id=identity.project_id,
            key_id=identity.key_id,
            user_id=identity.user_id,
            end_user_hash=hash_end_user(request.end_user_id) if request.end_user_id else "",
            session_id=request.session_id,
            model_asked=request.model,
            model_served=target.registered_model or target.model,
            provider=target.provider,
            # Those of the key are the operator's, and not the caller's to change.
            tags={**tags, **identity.tags} if tags else identity.tags,
            attempts=1,
        )
        if prompt is None:
            return record
        return msgspec.structs.replace(
            record, prompt_name=prompt.name, prompt_version=prompt.version, prompt_label=prompt.label
        )


def _model_of(target: Target) -> tuple[str, str, str]:
    return target.provider, target.model, target.registered_model


def _total(usages: Sequence[models_pb2.TokenUsage]) -> models_pb2.TokenUsage:
    """The sum of usages. Its cost is known if that of each is."""
    if len(usages) == 1:
        return usages[0]
    total = models_pb2.TokenUsage(cost_nano_usd=0)
    for usage in usages:
        for name in SUMMED:
            setattr(total, name, min(getattr(total, name) + getattr(usage, name), MAX_COUNT))
        total.estimated |= usage.estimated
    if not all(usage.HasField("cost_nano_usd") for usage in usages):
        total.ClearField("cost_nano_usd")
    return total
