"""`genai usage`: what was used and what it cost, and the chats that run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from genai_platform.cli.output import Columns, moment, output_option, say, write_record, write_records
from genai_platform.cli.parameters import NANO
from genai_platform.cli.platforms import opened
from genai_platform.v1.usage_pb2 import LimitUse

GROUPS = {
    "day": "day",
    "team": "team_id",
    "project": "project_id",
    "key": "key_id",
    "user": "user_id",
    "provider": "provider",
    "model": "model",
    "tag": "tag_value",
}
"""The field of each group."""

SUMS: Columns = {
    "CALLS": lambda row: str(row.sums.calls),
    "FAILED": lambda row: str(row.sums.failed_calls),
    "INPUT": lambda row: str(row.sums.prompt_tokens),
    "OUTPUT": lambda row: str(row.sums.completion_tokens),
    "USD": lambda row: usd(row.sums.cost_nano_usd),
    "UNPRICED": lambda row: str(row.sums.unpriced_calls),
}

MINE: Columns = {
    "KEY": lambda mine: mine.key_id,
    "PROJECT": lambda mine: mine.project_id,
    "CALLS TODAY": lambda mine: str(mine.today.calls),
    "USD TODAY": lambda mine: usd(mine.today.cost_nano_usd),
    "CALLS THIS MONTH": lambda mine: str(mine.this_month.calls),
    "USD THIS MONTH": lambda mine: usd(mine.this_month.cost_nano_usd),
}

LIMITS: Columns = {
    "LIMIT": lambda use: use.limit.id,
    "OF": lambda use: f"{use.limit.scope_kind} {use.limit.scope_id}".strip(),
    "RESOURCE": lambda use: "usd" if _is_money(use) else use.limit.resource,
    "WINDOW": lambda use: use.limit.window,
    "USED": lambda use: _units(use, use.used) if use.HasField("used") else "-",
    "AMOUNT": lambda use: _units(use, use.limit.amount),
    "LEFT": lambda use: _units(use, use.remaining) if use.HasField("remaining") else "-",
    "RESETS": lambda use: moment(use.resets_at),
}

REPRICED: Columns = {
    "PROVIDER": lambda model: model.provider,
    "MODEL": lambda model: model.model,
    "PRICED": lambda model: str(model.priced_calls),
    "USD": lambda model: usd(model.cost_nano_usd),
    "UNPRICED": lambda model: ",".join(f"{each.reason}={each.calls}" for each in model.unpriced),
}

CALLS: Columns = {
    "CALL": lambda call: call.call_id,
    "METHOD": lambda call: call.method,
    "MODEL": lambda call: call.model,
    "PROVIDER": lambda call: call.provider,
    "SECONDS": lambda call: f"{call.age.ToMilliseconds() / 1000:.1f}",
    "CHUNKS": lambda call: str(call.chunks),
    "KEY": lambda call: call.key_id,
    "PROJECT": lambda call: call.project_id,
}

Command = TypeVar("Command", bound=Callable[..., Any])


def choosing(command: Command) -> Command:
    """Adds the options that choose usage."""
    options: tuple[Callable[[Command], Command], ...] = (
        click.option("--from", "from_day", help="First day, as 2026-11-30; by default the first of the month."),
        click.option("--to", "to_day", help="Last day; by default today, in UTC."),
        click.option("--by", "groups", default="day", help=f"Groups with commas between them: {', '.join(GROUPS)}."),
        click.option("--tag", "tag_key", help="Tag that `tag` groups by."),
        *(click.option(f"--{name}", f"{name}_id", help=f"Of this {name} only.") for name in ("team", "project", "key")),
        click.option("--model", help="Of this model only."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(no_args_is_help=True)
def usage() -> None:
    """Usage and costs, and the chats that run."""


@usage.command("list")
@choosing
@output_option
def list_usage(output: str | None, groups: str, **fields: Any) -> None:
    """List the sums of usage."""
    group_by = read_groups(groups)
    shown: Columns = {group.upper(): _field(GROUPS[group]) for group in group_by}
    with opened() as platform:
        write_records(platform.usage.list(group_by=group_by, **fields), {**shown, **SUMS}, output)


@usage.command()
@choosing
@click.option("--format", "export_format", type=click.Choice(["csv", "jsonl"]), default="csv", help="Format (csv).")
@click.argument("file", type=click.Path(dir_okay=False))
def export(file: str, export_format: str, groups: str, **fields: Any) -> None:
    """Write the sums of usage to a file, or to standard output for `-`."""
    group_by = read_groups(groups)
    with opened() as platform:
        target = sys.stdout if file == "-" else file
        rows = platform.usage.export(target, format=export_format, group_by=group_by, **fields)
    say(f"{rows} rows are written")


@usage.command()
@click.option("--from", "from_day", required=True, help="First day, as 2026-11-30.")
@click.option("--to", "to_day", help="Last day; by default today, in UTC.")
@click.option("--model", default="", help="Of these models only: a name, or several by *.")
@click.option("--apply", is_flag=True, help="Store the costs; without it they are only shown.")
@output_option
def reprice(output: str | None, **fields: Any) -> None:
    """Price calls that have no cost, by today's prices."""
    with opened() as platform:
        answer = platform.usage.reprice(**fields)
    write_records(answer.models, REPRICED, output)
    verb = "are" if answer.applied else "can be"
    say(
        f"{answer.priced_calls} calls {verb} priced by {answer.price_list} and registrations, at"
        f" {usd(answer.cost_nano_usd)} USD; {answer.unpriced_calls} stay without a price"
    )
    if answer.priced_calls and not answer.applied:
        say("nothing is changed yet; add --apply to store the costs")


@usage.command()
@output_option
def mine(output: str | None) -> None:
    """Show the usage of the key that is set, and its limits."""
    with opened() as platform:
        answer = platform.usage.mine()
    write_record(answer, MINE, output)
    if output not in ("json", "jsonl") and answer.limits:
        write_records(answer.limits, LIMITS, output)


@usage.command()
@output_option
def calls(output: str | None) -> None:
    """List the chats that run, in all replicas."""
    with opened() as platform:
        answer = platform.usage.list_calls()
    write_records(answer.calls, CALLS, output)
    if answer.unreached_replicas:
        say(f"{answer.unreached_replicas} replicas could not be asked; their calls are missing")


@usage.command()
@click.argument("call_id", metavar="CALL")
def cancel(call_id: str) -> None:
    """End a chat that runs."""
    with opened() as platform:
        platform.usage.cancel(call_id)
    say(f"the call {call_id} is ended")


def read_groups(text: str) -> list[str]:
    """The groups in an option. Raises click.BadParameter."""
    groups = [group for group in text.split(",") if group]
    if unknown := [group for group in groups if group not in GROUPS]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(GROUPS)}", param_hint="--by")
    return groups


def usd(nano_usd: int) -> str:
    """An amount in US dollars."""
    return f"{nano_usd / NANO:.6f}"


def _is_money(use: LimitUse) -> bool:
    return use.limit.resource == "nano_usd"


def _units(use: LimitUse, number: int) -> str:
    return usd(number) if _is_money(use) else str(number)


def _field(name: str) -> Callable[[Any], str]:
    return lambda row: str(getattr(row, name))
