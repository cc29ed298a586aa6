"""`genai teams`: teams."""

from __future__ import annotations

import click

from genai_platform.cli.access import call, read_all
from genai_platform.cli.output import Columns, moment, output_option, say, write_records
from genai_platform.cli.parameters import reason_option
from genai_platform.v1.access_pb2 import CreateTeamRequest, ListTeamsRequest, ListTeamsResponse, Team, UpdateTeamRequest

COLUMNS: Columns = {
    "ID": lambda team: team.id,
    "NAME": lambda team: team.name,
    "STATE": lambda team: "disabled" if team.disabled else "active",
    "CREATED": lambda team: moment(team.created_at),
}


@click.group(no_args_is_help=True)
def teams() -> None:
    """Teams: projects that are paid for together."""


@teams.command()
@click.argument("team_id", metavar="ID")
@click.option("--name", default="", help="Name for people; by default the id.")
@reason_option
def create(team_id: str, name: str, reason: str) -> None:
    """Create a team."""
    call(CreateTeamRequest(team=Team(id=team_id, name=name), reason=reason), Team)
    say(f"the team {team_id} is created")


@teams.command("list")
@output_option
def list_teams(output: str | None) -> None:
    """List teams."""
    write_records(read_all(ListTeamsRequest(), ListTeamsResponse, "teams"), COLUMNS, output)


@teams.command()
@click.argument("team_id", metavar="ID")
@click.option("--name", required=True, help="Name for people.")
@reason_option
def update(team_id: str, name: str, reason: str) -> None:
    """Change the name of a team."""
    _update(Team(id=team_id, name=name), "name", reason)
    say(f"the team {team_id} is changed")


@teams.command()
@click.argument("team_id", metavar="ID")
@reason_option
def disable(team_id: str, reason: str) -> None:
    """Refuse all keys of a team."""
    _update(Team(id=team_id, disabled=True), "disabled", reason)
    say(f"the team {team_id} is disabled")


@teams.command()
@click.argument("team_id", metavar="ID")
@reason_option
def enable(team_id: str, reason: str) -> None:
    """Accept the keys of a disabled team again."""
    _update(Team(id=team_id), "disabled", reason)
    say(f"the team {team_id} is enabled")


def _update(team: Team, field: str, reason: str) -> None:
    request = UpdateTeamRequest(team=team, reason=reason)
    request.update_mask.paths.append(field)
    call(request, Team)
