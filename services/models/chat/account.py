"""The account of a chat: its usage, until the ledger has it."""

from __future__ import annotations

import time
from typing import Any

from proto import models_pb2
from services.models.chat.system_prompt import Prompted
from services.models.ledger.ledger import Ledger
from services.models.ledger.records import OK, UsageRecord, hash_end_user
from services.models.providers.base import Target
from services.shared.rpc import Call, CallEnd


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
        self._fields: dict[str, Any] = {}

    @property
    def has_usage(self) -> bool:
        return bool(self._usages)

    def begin(self, target: Target) -> None:
        """Notes that a request is about to be sent. The first one is known to the ledger from now on."""
        self._target = target
        if self.is_open:
            return
        self.is_open = True
        self._fields = self._describe()
        self._ledger.outbox.begin(UsageRecord(at=time.time(), attempts=1, **self._fields, **self._served(target)))

    def add(self, usage: models_pb2.TokenUsage) -> None:
        """Adds the usage of an attempt."""
        self._usages.append(usage)

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
        was_left: bool = False,
    ) -> None:
        """Records the chat, before its caller has its end.

        `target` is the one that an error is about, if that is not the last one. A chat that was left before its
        provider has said anything may have cost something.
        """
        served = target or self._target
        assert served
        self.is_open = False
        cost = self._cost(was_left=was_left)
        await self._ledger.outbox.end(
            UsageRecord(
                at=time.time(),
                attempts=attempts,
                status=end.code if end else OK,
                reason=end.reason if end else "",
                cost_nano_usd=cost,
                price_as_of="" if cost is None or served.registered_model else self._price_list,
                first_chunk_ms=None if first_output_seconds is None else round(first_output_seconds * 1000),
                duration_ms=round(self._call.elapsed_seconds() * 1000),
                **self._fields,
                **self._served(served),
                **self._counts(),
            )
        )

    def _cost(self, *, was_left: bool) -> int | None:
        """The cost of all attempts; None if that of one is not known."""
        if was_left and not self._usages:
            return None
        if not all(usage.HasField("cost_nano_usd") for usage in self._usages):
            return None
        return sum(usage.cost_nano_usd for usage in self._usages)

    def _counts(self) -> dict[str, Any]:
        usages = self._usages
        return {
            "input": sum(usage.prompt_tokens for usage in usages),
            "output": sum(usage.completion_tokens for usage in usages),
            "cache_read": sum(usage.cached_prompt_tokens for usage in usages),
            "cache_write": sum(usage.cache_write_tokens for usage in usages),
            "reasoning": sum(usage.reasoning_tokens for usage in usages),
            "estimated": any(usage.estimated for usage in usages),
        }

    def _served(self, target: Target) -> dict[str, Any]:
        return {"provider": target.provider, "model_served": target.registered_model or target.model}

    def _describe(self) -> dict[str, Any]:
        """The fields that are known before the answer."""
        request, call, prompt = self._prompted.conversation.request, self._call, self._prompted.prompt
        fields: dict[str, Any] = {
            "call_id": call.call_id,
            "request_id": call.request_id,
            "model_asked": request.model,
            "session_id": request.session_id,
            "tags": dict(request.tags),
        }
        if request.end_user_id:
            fields["end_user_hash"] = hash_end_user(request.end_user_id)
        if prompt:
            fields |= {"prompt_name": prompt.name, "prompt_version": prompt.version, "prompt_label": prompt.label}
        if identity := call.identity:
            fields |= {
                "team_id": identity.team_id,
                "project_id": identity.project_id,
                "key_id": identity.key_id,
                "user_id": identity.user_id,
            }
            # Those of the key are the operator's, and not the caller's to change.
            fields["tags"].update(identity.tags)
        return fields
