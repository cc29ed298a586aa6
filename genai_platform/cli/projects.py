"""`genai projects`: projects."""

from __future__ import annotations

import click

from genai_platform.cli.access import call, read_all
from genai_platform.cli.output import Columns, moment, output_option, say, words, write_records
from genai_platform.cli.parameters import reason_option
from genai_platform.v1.access_pb2 import (
    CreateProjectRequest,
    ListProjectsRequest,
    ListProjectsResponse,
    Project,
    UpdateProjectRequest,
)

COLUMNS: Columns = {
    "ID": lambda project: project.id,
    "TEAM": lambda project: project.team_id,
    "NAME": lambda project: project.name,
    "MODELS": lambda project: words(project.model_globs),
    "REQUIRED TAGS": lambda project: words(project.required_tags),
    "CAPTURE": lambda project: project.capture,
    "STATE": lambda project: "disabled" if project.disabled else "active",
    "CREATED": lambda project: moment(project.created_at),
}


@click.group(no_args_is_help=True)
def projects() -> None:
    """Projects: what their keys create is seen by their keys only."""


@projects.command()
@click.argument("project_id", metavar="ID")
@click.option("--team", required=True, help="Team of the project.")
@click.option("--name", default="", help="Name for people; by default the id.")
@click.option("--model", "models", multiple=True, help="Models that its keys may ask: a name with *; may be repeated.")
@click.option("--require-tag", "required", multiple=True, help="Tag that each chat must have; may be repeated.")
@click.option("--capture", default="", help="Whether its content is captured: off, errors, all or sample:SHARE.")
@reason_option
def create(
    project_id: str,
    team: str,
    name: str,
    models: tuple[str, ...],
    required: tuple[str, ...],
    capture: str,
    reason: str,
) -> None:
    """Create a project."""
    project = Project(id=project_id, team_id=team, name=name, model_globs=models, capture=capture)
    project.required_tags.extend(required)
    call(CreateProjectRequest(project=project, reason=reason), Project)
    say(f"the project {project_id} is created")


@projects.command("list")
@click.option("--team", default="", help="Only those of this team.")
@output_option
def list_projects(team: str, output: str | None) -> None:
    """List projects."""
    found = read_all(ListProjectsRequest(team_id=team), ListProjectsResponse, "projects")
    write_records(found, COLUMNS, output)


@projects.command()
@click.argument("project_id", metavar="ID")
@click.option("--name", help="Name for people.")
@click.option("--model", "models", multiple=True, help="Models that its keys may ask; `*` for all; may be repeated.")
@click.option("--require-tag", "required", multiple=True, help="Tag that each chat must have; '' for none.")
@click.option("--capture", help="Whether its content is captured.")
@reason_option
def update(
    project_id: str,
    name: str | None,
    models: tuple[str, ...],
    required: tuple[str, ...],
    capture: str | None,
    reason: str,
) -> None:
    """Change a project; what is not given stays as it is."""
    project, fields = Project(id=project_id), []
    if name is not None:
        project.name = name
        fields.append("name")
    if models:
        project.model_globs.extend([] if models == ("*",) else models)
        fields.append("model_globs")
    if required:
        project.required_tags.extend([] if required == ("",) else required)
        fields.append("required_tags")
    if capture is not None:
        project.capture = capture
        fields.append("capture")
    if not fields:
        raise click.UsageError("nothing to change: give --name, --model, --require-tag or --capture")
    _update(project, fields, reason)
    say(f"the project {project_id} is changed")


@projects.command()
@click.argument("project_id", metavar="ID")
@reason_option
def disable(project_id: str, reason: str) -> None:
    """Refuse all keys of a project."""
    _update(Project(id=project_id, disabled=True), ["disabled"], reason)
    say(f"the project {project_id} is disabled")


@projects.command()
@click.argument("project_id", metavar="ID")
@reason_option
def enable(project_id: str, reason: str) -> None:
    """Accept the keys of a disabled project again."""
    _update(Project(id=project_id), ["disabled"], reason)
    say(f"the project {project_id} is enabled")


def _update(project: Project, fields: list[str], reason: str) -> None:
    request = UpdateProjectRequest(project=project, reason=reason)
    request.update_mask.paths.extend(fields)
    call(request, Project)
