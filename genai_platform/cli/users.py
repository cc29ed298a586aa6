"""`genai users`: users that keys belong to."""

from __future__ import annotations

import click

from genai_platform.cli.access import call, read_all
from genai_platform.cli.output import Columns, moment, output_option, say, write_records
from genai_platform.cli.parameters import reason_option
from genai_platform.v1.access_pb2 import CreateUserRequest, ListUsersRequest, ListUsersResponse, UpdateUserRequest, User

COLUMNS: Columns = {
    "ID": lambda user: user.id,
    "TEAM": lambda user: user.team_id,
    "EMAIL": lambda user: user.email,
    "ROLE": lambda user: user.role,
    "STATE": lambda user: "disabled" if user.disabled else "active",
    "CREATED": lambda user: moment(user.created_at),
}


@click.group(no_args_is_help=True)
def users() -> None:
    """Users: people and programs that keys belong to."""


@users.command()
@click.argument("user_id", metavar="ID")
@click.option("--team", default="", help="Team of the user.")
@click.option("--email", default="", help="Address.")
@click.option("--role", default="", help="admin, auditor or member; by default member.")
@click.option("--issuer", default="", help="Issuer of its tokens.")
@click.option("--subject", default="", help="Subject in these tokens.")
@reason_option
def create(user_id: str, team: str, email: str, role: str, issuer: str, subject: str, reason: str) -> None:
    """Create a user."""
    user = User(id=user_id, team_id=team, email=email, role=role, issuer=issuer, subject=subject)
    call(CreateUserRequest(user=user, reason=reason), User)
    say(f"the user {user_id} is created")


@users.command("list")
@click.option("--team", default="", help="Only those of this team.")
@output_option
def list_users(team: str, output: str | None) -> None:
    """List users."""
    write_records(read_all(ListUsersRequest(team_id=team), ListUsersResponse, "users"), COLUMNS, output)


@users.command()
@click.argument("user_id", metavar="ID")
@click.option("--email", help="Address.")
@click.option("--role", help="admin, auditor or member.")
@reason_option
def update(user_id: str, email: str | None, role: str | None, reason: str) -> None:
    """Change a user; what is not given stays as it is."""
    fields = [name for name, value in (("email", email), ("role", role)) if value is not None]
    if not fields:
        raise click.UsageError("nothing to change: give --email or --role")
    _update(User(id=user_id, email=email or "", role=role or ""), fields, reason)
    say(f"the user {user_id} is changed")


@users.command()
@click.argument("user_id", metavar="ID")
@reason_option
def disable(user_id: str, reason: str) -> None:
    """Refuse all keys of a user."""
    _update(User(id=user_id, disabled=True), ["disabled"], reason)
    say(f"the user {user_id} is disabled")


@users.command()
@click.argument("user_id", metavar="ID")
@reason_option
def enable(user_id: str, reason: str) -> None:
    """Accept the keys of a disabled user again."""
    _update(User(id=user_id), ["disabled"], reason)
    say(f"the user {user_id} is enabled")


def _update(user: User, fields: list[str], reason: str) -> None:
    request = UpdateUserRequest(user=user, reason=reason)
    request.update_mask.paths.extend(fields)
    call(request, User)
