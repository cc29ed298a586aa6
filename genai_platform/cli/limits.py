"""`genai limits`: limits on requests, tokens, calls at a time and money."""

from __future__ import annotations

from typing import NamedTuple

import click

from genai_platform.cli.access import call, read_all
from genai_platform.cli.output import Columns, output_option, quiet_option, say, words, write_records
from genai_platform.cli.parameters import NANO, read_amount, reason_option
from genai_platform.v1.access_pb2 import (
    DeleteLimitRequest,
    DeleteLimitResponse,
    ListLimitsRequest,
    ListLimitsResponse,
    SetLimitRequest,
)
from genai_platform.v1.identity_pb2 import LimitRule

RESOURCES = {"requests": "requests", "tokens": "tokens", "concurrent": "concurrent", "usd": "nano_usd"}


class Scope(NamedTuple):
    """The level of a limit, and the one of it."""

    kind: str
    id: str


def _amount(limit: LimitRule) -> str:
    return f"{limit.amount / NANO:.12g} usd" if limit.resource == "nano_usd" else f"{limit.amount} {limit.resource}"


COLUMNS: Columns = {
    "ID": lambda limit: limit.id,
    "SCOPE": lambda limit: f"{limit.scope_kind}:{limit.scope_id}" if limit.scope_id else limit.scope_kind,
    "AMOUNT": _amount,
    "PER": lambda limit: limit.window,
    "MODELS": lambda limit: limit.model_glob or "*",
    "WARNS AT": lambda limit: ",".join(f"{percent}%" for percent in limit.soft_percents),
    "ACTION": lambda limit: limit.action,
}


@click.group(no_args_is_help=True)
def limits() -> None:
    """Limits: all that match a call apply, and the tightest refuses it."""


@limits.command("set")
@click.argument("resource", type=click.Choice(list(RESOURCES)))
@click.argument("amount")
@click.option("--per", "window", default="", help="min, hour, day, week, month or total; nothing for concurrent.")
@click.option("--org", is_flag=True, help="Count all callers together.")
@click.option("--team", help="Count this team; * counts each by itself.")
@click.option("--project", help="Count this project; * counts each by itself.")
@click.option("--key", help="Count this key; * counts each by itself.")
@click.option("--user", help="Count this user; * counts each by itself.")
@click.option("--end-user", help="Count this end_user_id of requests; * counts each by itself.")
@click.option("--model", default="", help="Models that it counts: a name with *; by default all.")
@click.option("--burst", default=0, help="Requests or tokens that may come at once; by default the amount.")
@click.option("--warn-at", "percents", type=int, multiple=True, help="Percent at which to warn; may be repeated.")
@click.option("--warn-only", is_flag=True, help="Count, and refuse nothing.")
@click.option("--id", "limit_id", default="", help="Id: a limit with it is replaced, and what was used stays counted.")
@reason_option
@quiet_option
@output_option
def set_limit(
    resource: str,
    amount: str,
    window: str,
    org: bool,
    team: str | None,
    project: str | None,
    key: str | None,
    user: str | None,
    end_user: str | None,
    model: str,
    burst: int,
    percents: tuple[int, ...],
    warn_only: bool,
    limit_id: str,
    reason: str,
    quiet: bool,
    output: str | None,
) -> None:
    """Set a limit: genai limits set usd 50 --per month --team search"""
    scope = _scope(
        {"org": "" if org else None, "team": team, "project": project, "key": key, "user": user, "end_user": end_user}
    )
    limit = LimitRule(
        id=limit_id,
        scope_kind=scope.kind,
        scope_id=scope.id,
        model_glob=model,
        resource=RESOURCES[resource],
        window=window,
        amount=read_amount(amount, in_usd=resource == "usd"),
        burst=burst,
        soft_percents=percents,
        action="warn" if warn_only else "refuse",
    )
    made = call(SetLimitRequest(limit=limit, reason=reason), LimitRule)
    write_records([made], {"ID": COLUMNS["ID"]} if quiet else COLUMNS, "tsv" if quiet else output)


@limits.command("list")
@click.option(
    "--scope", default="", help="Only those of this level, such as team, or of this one, such as team:search."
)
@output_option
def list_limits(scope: str, output: str | None) -> None:
    """List limits."""
    kind, _, scope_id = scope.partition(":")
    request = ListLimitsRequest(scope_kind=kind, scope_id=scope_id)
    write_records(read_all(request, ListLimitsResponse, "limits"), COLUMNS, output)


@limits.command()
@click.argument("limit_id", metavar="ID")
@reason_option
def delete(limit_id: str, reason: str) -> None:
    """Delete a limit."""
    call(DeleteLimitRequest(limit_id=limit_id, reason=reason), DeleteLimitResponse)
    say(f"the limit {limit_id} is deleted")


def _scope(given: dict[str, str | None]) -> Scope:
    found = [Scope(kind, scope_id) for kind, scope_id in given.items() if scope_id is not None]
    if len(found) != 1:
        options = words(f"--{kind.replace('_', '-')}" for kind in given)
        raise click.UsageError(f"a limit has one scope: give one of {options}")
    return found[0]
