"""`genai audit`: the log of all changes of access."""

from __future__ import annotations

import click

from genai_platform.cli.access import call, read_all
from genai_platform.cli.ending import fail
from genai_platform.cli.output import Columns, moment, output_option, say, write_records
from genai_platform.v1.access_pb2 import (
    ListAuditEventsRequest,
    ListAuditEventsResponse,
    VerifyAuditEventsRequest,
    VerifyAuditEventsResponse,
)

COLUMNS: Columns = {
    "SEQ": lambda event: str(event.seq),
    "TIME": lambda event: moment(event.time),
    "ACTOR": lambda event: f"{event.actor_kind}:{event.actor_id}",
    "ADDRESS": lambda event: event.source_ip,
    "ACTION": lambda event: event.action,
    "OBJECT": lambda event: event.object_id,
    "REASON": lambda event: event.reason,
}


@click.group(no_args_is_help=True)
def audit() -> None:
    """The audit log: who has changed what, and why."""


@audit.command("list")
@click.option("--kind", default="", help="Only those of team, project, user, key, limit, binding or audit.")
@click.option("--object", "object_id", default="", help="Only those of the object with this id.")
@click.option("--actor", default="", help="Only those of this key, subject or operator.")
@click.option("-n", "--limit", type=click.IntRange(1), help="At most so many; by default all.")
@output_option
def list_events(kind: str, object_id: str, actor: str, limit: int | None, output: str | None) -> None:
    """List events, newest first. JSON has what was changed, before and after."""
    request = ListAuditEventsRequest(object_kind=kind, object_id=object_id, actor_id=actor)
    write_records(read_all(request, ListAuditEventsResponse, "events", limit), COLUMNS, output)


@audit.command()
def verify() -> None:
    """Compute all hashes again. Prints the hash of the last event: keep it elsewhere, and compare it the next time."""
    found = call(VerifyAuditEventsRequest(), VerifyAuditEventsResponse)
    if found.broken_seq:
        fail(f"the event {found.broken_seq} is missing or was changed; the {found.events} before it are as written")
    older = f", from number {found.first_seq} on; older ones were deleted" if found.first_seq > 1 else ""
    say(f"all {found.events} events are as they were written{older}")
    click.echo(found.head_hash)
