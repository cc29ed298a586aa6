"""Teams, projects and users: created, changed and disabled, never deleted."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask

from proto.access_pb2 import (
    CreateProjectRequest,
    CreateTeamRequest,
    CreateUserRequest,
    ListProjectsRequest,
    ListProjectsResponse,
    ListTeamsRequest,
    ListTeamsResponse,
    ListUsersRequest,
    ListUsersResponse,
    Project,
    Team,
    UpdateProjectRequest,
    UpdateTeamRequest,
    UpdateUserRequest,
    User,
)
from services.access.audit import Actor
from services.access.changes import Change, Changes
from services.access.records import PROJECTS, TEAMS, USERS, Records
from services.access.validation import apply_mask, check_id, check_project, check_team, check_user
from services.shared.errors import AlreadyExists

Member = TypeVar("Member", Team, Project, User)
AnyMember: TypeAlias = Team | Project | User


class Directory:
    """The teams, projects and users."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def create_team(self, request: CreateTeamRequest, by: Actor) -> Team:
        team = Team(id=request.team.id, name=request.team.name or request.team.id, disabled=request.team.disabled)
        check_id("team.id", team.id)
        check_team(team)
        async with self._changes.begin(by) as change:
            await _create(change, TEAMS, team)
        return team

    async def update_team(self, request: UpdateTeamRequest, by: Actor) -> Team:
        async with self._changes.begin(by) as change:
            before = await TEAMS.get(change.connection, request.team.id)
            after = _masked(before, request.team, request.update_mask, ("name", "disabled"))
            check_team(after)
            await _update(change, TEAMS, before, after)
        return after

    async def list_teams(self, request: ListTeamsRequest) -> ListTeamsResponse:
        async with self._changes.database.read() as connection:
            page = await TEAMS.page(connection, request, {})
        return ListTeamsResponse(teams=page.entries, next_page_token=page.next_page_token)

    async def create_project(self, request: CreateProjectRequest, by: Actor) -> Project:
        project = Project()
        project.CopyFrom(request.project)
        project.name = project.name or project.id
        check_id("project.id", project.id)
        check_project(project)
        async with self._changes.begin(by) as change:
            await TEAMS.require(change.connection, project.team_id, "project.team_id")
            await _create(change, PROJECTS, project)
        return project

    async def update_project(self, request: UpdateProjectRequest, by: Actor) -> Project:
        changeable = ("name", "model_globs", "required_tags", "capture", "disabled")
        async with self._changes.begin(by) as change:
            before = await PROJECTS.get(change.connection, request.project.id)
            after = _masked(before, request.project, request.update_mask, changeable)
            check_project(after)
            await _update(change, PROJECTS, before, after)
        return after

    async def list_projects(self, request: ListProjectsRequest) -> ListProjectsResponse:
        async with self._changes.database.read() as connection:
            page = await PROJECTS.page(connection, request, {"team_id": request.team_id})
        return ListProjectsResponse(projects=page.entries, next_page_token=page.next_page_token)

    async def create_user(self, request: CreateUserRequest, by: Actor) -> User:
        user = User()
        user.CopyFrom(request.user)
        user.role = user.role or "member"
        check_id("user.id", user.id)
        check_user(user)
        async with self._changes.begin(by) as change:
            if user.team_id:
                await TEAMS.require(change.connection, user.team_id, "user.team_id")
            await _create(change, USERS, user)
        return user

    async def update_user(self, request: UpdateUserRequest, by: Actor) -> User:
        changeable = ("email", "role", "issuer", "subject", "disabled")
        async with self._changes.begin(by) as change:
            before = await USERS.get(change.connection, request.user.id)
            after = _masked(before, request.user, request.update_mask, changeable)
            check_user(after)
            await _update(change, USERS, before, after)
        return after

    async def list_users(self, request: ListUsersRequest) -> ListUsersResponse:
        async with self._changes.database.read() as connection:
            page = await USERS.page(connection, request, {"team_id": request.team_id})
        return ListUsersResponse(users=page.entries, next_page_token=page.next_page_token)


async def _create(change: Change, records: Records[Member], member: Member) -> None:
    if await records.find(change.connection, member.id):
        raise AlreadyExists(
            f"there is a {records.kind} {member.id} already", reason=f"{records.kind.upper()}_ALREADY_EXISTS"
        )
    member.created_at.GetCurrentTime()
    await records.put(change.connection, member)
    await change.record("create", records.kind, member.id, None, member)


async def _update(change: Change, records: Records[Member], before: Member, after: Member) -> None:
    if before == after:
        return
    await records.put(change.connection, after)
    await change.record(_action(before, after), records.kind, after.id, before, after)


def _action(before: AnyMember, after: AnyMember) -> str:
    if before.disabled == after.disabled:
        return "update"
    return "disable" if after.disabled else "enable"


def _masked(before: Member, given: Member, mask: FieldMask, changeable: Collection[str]) -> Member:
    after = type(before)()
    after.CopyFrom(before)
    apply_mask(after, given, mask, changeable)
    return after
